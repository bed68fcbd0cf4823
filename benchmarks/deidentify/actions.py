"""Which actions a de-identification owes an object, under the names of MIDI-B, and were they done.

MIDI-B (NCI, MICCAI 2024; arXiv:2507.23608) scores correct actions over required ones. The ten names
are its own; what is required here follows from what was planted:

* ``tag_retained``: attributes that Table E.1-1 of PS3.15 does not list and whose values identify
  nobody (``CODES`` of :mod:`benchmarks.deidentify.canaries`), the Image Pixel module and the
  regions. They must be there with a value. What a tool drops on principle counts against it.
* ``text_retained``: the coded and numeric ones of these have their value; Image Type, which changes
  with the pixels, and the maker, whose spelling may, are left out.
* ``text_notnull``: identifiers that an object cannot be without, and what was done to it.
* ``text_removed``: every word, number and date planted elsewhere is gone, in every form.
* ``date_shifted``: study, series, acquisition and content date are there and were moved by one
  number of days, give or take one, for all of a patient.
* ``uid_changed``: every planted UID is gone. ``uid_consistent``: objects of one study and series
  share the new ones, objects of others do not, and the file meta information names the object.
* ``patid_consistent``: objects of one patient share the new Patient ID, no others do.
* ``pixels_hidden``: burned-in text is not legible. ``pixels_retained``: of the region of tissue
  without the boxes of text, 99 of 100 pixels are as they were in every frame.

Only legal objects count. One that was not delivered hides everything, retains nothing and is not
consistent.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.deidentify.canaries import CODES, Planted
from benchmarks.deidentify.pictures import Text, legible
from benchmarks.deidentify.search import Index, views

__all__ = ["ACTIONS", "LEGIBLE", "Delivered", "Score", "deliver", "score", "still_legible"]

ACTIONS: Final = (
    "tag_retained",
    "text_notnull",
    "text_removed",
    "text_retained",
    "date_shifted",
    "uid_changed",
    "uid_consistent",
    "patid_consistent",
    "pixels_hidden",
    "pixels_retained",
)
"""The names of MIDI-B."""

LEGIBLE: Final = 0.45
"""Correlation of letters with grays from which on a text counts as legible."""

_MODULE: Final = (
    *("SOPClassUID", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    "SequenceOfUltrasoundRegions",
)
_CINE: Final = ("NumberOfFrames", "FrameIncrementPointer", "FrameTime")
_DATES: Final = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_NOT_NULL: Final = ("PatientID", *_UIDS, "PatientIdentityRemoved", "DeidentificationMethod")
_MARGIN: Final = 8


@dataclass(frozen=True, eq=False)
class Delivered:
    """What a tool made of an object.

    Attributes:
        planted: The object.
        path: The file that it became; None if there is none.
        dataset: What is in it; None if it cannot be read.
        frames: float (frames, H, W) of its grays; None if it cannot be decoded.
    """

    planted: Planted
    path: Path | None
    dataset: Any = None
    frames: npt.NDArray[np.float64] | None = None

    def text(self, keyword: str) -> str:
        """Return a value as text, empty if it is absent."""
        try:
            value = self.dataset.get(keyword)
            if keyword == "PixelData":
                return "pixels" if value else ""
            if value is None or value == "":
                return ""
            several = isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue"
            return "\\".join(map(str, value)) if several else str(value)
        except Exception:  # what cannot be read is not there
            return ""


def deliver(planted: Planted, path: Path | None) -> Delivered:
    """Read what a tool made of an object."""
    if path is None:
        return Delivered(planted, None)
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path)
        except Exception:  # any kind; the file is there, but nobody can use it
            return Delivered(planted, path)
        try:
            frames = _frames(dataset)
        except Exception:
            frames = None
        return Delivered(planted, path, dataset, frames)


def _frames(dataset: Any) -> npt.NDArray[np.float64]:
    from pydicom.pixels import apply_color_lut

    pixels = dataset.pixel_array
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset) >> 8
    if dataset.BitsAllocated == 16:
        pixels = (pixels & (1 << dataset.BitsStored) - 1) >> dataset.BitsStored - 8
    shape = (count, dataset.Rows, dataset.Columns, -1)
    return np.asarray(pixels.reshape(shape).mean(-1), np.float64)


def _offset(delivered: Delivered) -> tuple[int, int] | None:
    """Say how many columns and rows were cropped away at the left and at the top."""
    frames, pixels = delivered.frames, delivered.planted.pixels
    if frames is None:
        return None
    left, top, right, bottom = pixels.region
    if frames.shape[1:] == pixels.gray.shape[1:]:
        return 0, 0
    if frames.shape[1:] == (bottom - top, right - left):
        return left, top
    return None


def still_legible(delivered: Delivered) -> list[Text]:
    """Return the burned-in texts that can still be read in some frame.

    A banner is looked for everywhere, text on tissue where it was. Frames that cannot be decoded
    or are of an unexpected size are searched for all texts everywhere.
    """
    from skimage.feature import match_template

    if delivered.path is None:
        return []
    if delivered.frames is None:
        # The bytes of the pixels are there, whoever finds a way to decode them.
        return list(delivered.planted.pixels.texts) if delivered.text("PixelData") else []
    offset = _offset(delivered)
    found = []
    for text in delivered.planted.pixels.texts:
        best = 0.0
        for frame in delivered.frames:
            if offset is not None:
                best = max(best, legible(frame, text, offset=offset))
            fits = all(a <= b for a, b in zip(text.mask.shape, frame.shape, strict=True))
            if fits and (offset is None or not text.inside) and frame.std() > 0:
                best = max(best, _anywhere(match_template(frame, text.mask.astype(float))))
        if best >= LEGIBLE:
            found.append(text)
    return found


def _anywhere(match: npt.NDArray[np.float64]) -> float:
    # Over thousands of places chance alone correlates letters with speckle up to 0.5.
    best = float(np.abs(match).max())
    return best if best >= 0.6 else 0.0


def _retained(delivered: Delivered) -> bool:
    offset, pixels = _offset(delivered), delivered.planted.pixels
    if offset is None or delivered.frames is None:
        return False
    left, top, right, bottom = pixels.region
    if len(delivered.frames) != len(pixels.gray):
        return False
    there = delivered.frames[:, top - offset[1] : bottom - offset[1], left - offset[0] :]
    there = there[:, :, : right - left]
    want = pixels.gray[:, top:bottom, left:right].astype(np.float64)
    asked = np.ones(want.shape[1:], np.bool_)
    for text in pixels.texts:
        if text.inside:
            x0, y0, x1, y1 = text.box
            asked[
                max(y0 - top - _MARGIN, 0) : y1 - top + _MARGIN,
                max(x0 - left - _MARGIN, 0) : x1 - left + _MARGIN,
            ] = False
    same = np.abs(there - want) <= pixels.kind.tolerance + 0.5
    return bool(same[:, asked].mean() >= 0.99)


@dataclass(slots=True)
class Score:
    """Actions done and required, and what was not done.

    Attributes:
        done: By action.
        required: By action.
        missed: By action, how often which part was not done.
    """

    done: Counter[str] = field(default_factory=Counter)
    required: Counter[str] = field(default_factory=Counter)
    missed: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, action: str, what: str, done: bool) -> None:
        """Count one action."""
        self.required[action] += 1
        self.done[action] += done
        if not done:
            self.missed[action][what] += 1


def score(delivered: Iterable[Delivered]) -> Score:
    """Score what a tool made of legal objects.

    Args:
        delivered: One an object; those that are not legal do not count.

    Returns:
        The counts.
    """
    every = [one for one in delivered if one.planted.legal]
    result = Score()
    for one in every:
        _retained_tags(one, result)
        _removed(one, result)
        readable = still_legible(one)
        for text in one.planted.pixels.texts:
            result.add("pixels_hidden", f"{text.place}: {text.style}", text not in readable)
        result.add("pixels_retained", one.planted.pixels.kind.name, _retained(one))
    _consistent(every, result)
    _shifted(every, result)
    return result


def _retained_tags(one: Delivered, result: Score) -> None:
    planted = one.planted
    cine = _CINE if planted.pixels.kind.frames > 1 else ()
    for keyword in (*CODES, *_MODULE, *cine):
        result.add("tag_retained", keyword, bool(one.text(keyword)))
    for keyword in CODES:
        if keyword not in ("ImageType", "Manufacturer"):
            same = _same(one.text(keyword), CODES[keyword])
            result.add("text_retained", keyword, same)
    for keyword in _NOT_NULL:
        result.add("text_notnull", keyword, bool(one.text(keyword)))


def _same(found: str, planted: bytes | tuple[int | float, ...]) -> bool:
    wanted = planted.decode() if isinstance(planted, bytes) else str(planted[0])
    try:
        numbers = [[float(part) for part in text.split("\\")] for text in (found, wanted)]
        return numbers[0] == numbers[1]
    except ValueError:
        return found == wanted


def _removed(one: Delivered, result: Score) -> None:
    canaries = [
        canary
        for canary in one.planted.canaries
        if not canary.group.startswith(("burned in", "paths")) and canary.place not in _DATES
    ]
    found: set[Any] = set()
    if one.path is not None:
        index = Index(canaries)
        for _, data in views("", one.path.read_bytes()):
            found |= index.find(data)
    for canary in canaries:
        action = "uid_changed" if canary.place.endswith("UID") else "text_removed"
        result.add(action, f"{canary.group}: {canary.place}", canary not in found)


def _consistent(every: list[Delivered], result: Score) -> None:
    groups = {
        "StudyInstanceUID": lambda one: one.planted.study,
        "SeriesInstanceUID": lambda one: one.planted.study,
        "SOPInstanceUID": lambda one: one.planted.number,
        "PatientID": lambda one: one.planted.patient,
    }
    for keyword, group in groups.items():
        names: dict[int, set[str]] = defaultdict(set)
        owners: dict[str, set[int]] = defaultdict(set)
        for one in every:
            if value := one.text(keyword):
                names[group(one)].add(value)
                owners[value].add(group(one))
        action = "patid_consistent" if keyword == "PatientID" else "uid_consistent"
        for one in every:
            value = one.text(keyword)
            whole = bool(value) and len(names[group(one)]) == len(owners[value]) == 1
            result.add(action, keyword, whole and value != one.planted.values[keyword])
    for one in every:
        meta = getattr(one.dataset, "file_meta", {})
        named = str(meta.get("MediaStorageSOPInstanceUID", ""))
        same = bool(named) and named == one.text("SOPInstanceUID")
        result.add("uid_consistent", "file meta information", same)


def _shifted(every: list[Delivered], result: Score) -> None:
    moved: dict[int, Counter[int]] = defaultdict(Counter)
    shifts: dict[tuple[int, str], int | None] = {}
    for one in every:
        for keyword in _DATES:
            days = _days(one.planted.values, keyword, one.text(keyword))
            shifts[one.planted.number, keyword] = days
            if days:
                moved[one.planted.patient][days] += 1
    for one in every:
        usual = moved[one.planted.patient].most_common(1)
        for keyword in _DATES:
            days = shifts[one.planted.number, keyword]
            # A tool that moves by hours crosses midnight with some of them.
            near = days is not None and bool(usual) and abs(days - usual[0][0]) <= 1
            result.add("date_shifted", keyword, near and days != 0)


def _days(values: Mapping[str, str], keyword: str, found: str) -> int | None:
    try:
        before, after = (
            dt.datetime.strptime(text, "%Y%m%d").date() for text in (values[keyword], found)
        )
    except ValueError:
        return None
    # A dummy of the year 1 is no date that intervals could be taken from.
    return (before - after).days if after.year > 1900 else None
