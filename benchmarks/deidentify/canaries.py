"""Ultrasound objects on disk, with identifiers planted wherever a file can hold them.

Objects belong to patients and studies, are stored in ten ways and written in eight scripts. Half of
them are legal. Every third has one irregularity that readers tolerate, of those listed in
``IRREGULAR``, and every fourth has names where codes, numbers and dates belong. Every third has
text on the tissue, all have text around it. The same seed gives the same files.

All dates of a patient lie within 60 days and differ, so that none that was moved by two months or
more can be mistaken for another one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.deidentify import header
from benchmarks.deidentify.header import tag, vr
from benchmarks.deidentify.pixels import DEEP, KINDS, Kind, Pixels, Surplus, paint, store
from benchmarks.deidentify.raw import Element, Syntax, encode, part10
from benchmarks.deidentify.tokens import SCRIPTS, Canary, Planter, Script

__all__ = ["IRREGULAR", "Planted", "write_objects"]

PER_PATIENT: Final = 4
PER_STUDY: Final = 2
SINGLE: Final = "1.2.840.10008.5.1.4.1.1.6.1"
MULTI: Final = "1.2.840.10008.5.1.4.1.1.3.1"
_GROUP: Final = "irregular"

IRREGULAR: Final = (
    "behind native pixels",
    "behind the dataset",
    "unknown VR",
    "header of run lengths",
    "behind run lengths",
    "behind a JPEG frame",
    "a fragment too many",
    "in the offset table",
    "extended offset table",
    "behind the NUL of a code",
    "second value of a code",
    "stray item",
    "group length",
    "out of order",
    "repeated element",
    "bits above those stored",
    "unknown element of the file meta",
    "letters in a UID",
)
"""What is wrong with irregular objects, in turn."""

CODES: Final[Mapping[str, bytes | tuple[int | float, ...]]] = {
    "ImageType": rb"ORIGINAL\PRIMARY\SMALL PARTS\0001",
    "Modality": b"US",
    "SeriesNumber": b"3",
    "InstanceNumber": b"17",
    "Laterality": b"L",
    "BodyPartExamined": b"BREAST",
    "UltrasoundColorDataPresent": (0,),
    "TransducerType": b"LINEAR",
    "DepthOfScanField": b"40",
    "MechanicalIndex": b"0.98",
    "BoneThermalIndex": b"0.40",
    "SoftTissueThermalIndex": b"0.25",
    "DepthsOfFocus": (1.5,),
    "HeartRate": b"72",
    "NumberOfStages": b"1",
    "StageNumber": b"1",
    "NumberOfViewsInStage": b"2",
    "ViewNumber": b"1",
    "PixelAspectRatio": rb"1\1",
    "RecommendedDisplayFrameRate": b"25",
    "CineRate": b"25",
    "Manufacturer": b"GE Healthcare",
    "ManufacturerModelName": b"LOGIQ E9",
}
"""Attributes that Table E.1-1 of PS3.15 does not list, with values that identify nobody."""


@dataclass(frozen=True, eq=False)
class Planted:
    """One object on disk.

    Attributes:
        number: Counted from 0.
        path: Where it is, below the folder of all objects.
        patient: Number of its patient.
        study: Number of its study.
        irregular: What is wrong with it; empty when it is legal.
        canaries: What was planted in it, its paths and its pixels.
        pixels: Its frames and the texts in them.
        values: Values of identifiers, dates and codes, by keyword.
        misplaced: Keywords of codes that hold a name instead.
    """

    number: int
    path: Path
    patient: int
    study: int
    irregular: str
    canaries: tuple[Canary, ...]
    pixels: Pixels
    values: Mapping[str, str]
    misplaced: frozenset[str]

    @property
    def legal(self) -> bool:
        """Whether the standard allows the object as it is."""
        return not self.irregular and not self.misplaced


def write_objects(folder: Path, count: int, seed: int) -> list[Planted]:
    """Write objects.

    Args:
        folder: Where; sub-folders carry names of patients.
        count: How many.
        seed: Same seed, same files.

    Returns:
        What was planted in each.
    """
    planted = []
    shared: dict[str, tuple[Planter, dict[str, bytes]]] = {}
    for number in range(count):
        script = SCRIPTS[number // PER_PATIENT % len(SCRIPTS)]
        patient, study = number // PER_PATIENT, number // PER_STUDY
        first = _first_day(seed, patient)
        # Studies of a patient are as far apart as their numbers.
        begin = first + 5 + 5 * (study % (PER_PATIENT // PER_STUDY))
        for place, make, days in (
            (f"patient {patient}", _patient, range(first, first + 5)),
            (f"study {study}", _study, range(begin, begin + 5)),
        ):
            if place not in shared:
                planter = Planter(random.Random(f"{seed} {place}"), script, days)
                shared[place] = planter, make(planter)
        person, persons = shared[f"patient {patient}"]
        visit, visits = shared[f"study {study}"]
        planted.append(
            _write(
                folder,
                number,
                seed,
                script,
                persons | visits,
                (*person.canaries, *visit.canaries),
            )
        )
    return planted


def _first_day(seed: int, patient: int) -> int:
    return random.Random(f"{seed} days {patient}").randrange(300)


def _patient(planter: Planter) -> dict[str, bytes]:
    return {
        "PatientName": planter.name("PatientName", "patient"),
        "PatientID": planter.digits("PatientID", "numbers").encode(),
        "PatientBirthDate": planter.date("PatientBirthDate", "dates").encode(),
        "folder": planter.raw("folder name", "paths"),
    }


def _study(planter: Planter) -> dict[str, bytes]:
    return {
        "StudyInstanceUID": planter.uid("StudyInstanceUID", "UIDs").encode(),
        "SeriesInstanceUID": planter.uid("SeriesInstanceUID", "UIDs").encode(),
        "StudyDate": planter.date("StudyDate", "dates").encode(),
        "StudyTime": planter.time("StudyTime", "dates").encode(),
        "SeriesDate": planter.date("SeriesDate", "dates").encode(),
    }


def _write(
    folder: Path,
    number: int,
    seed: int,
    script: Script,
    values: dict[str, bytes],
    shared: tuple[Canary, ...],
) -> Planted:
    first = _first_day(seed, number // PER_PATIENT) + 15
    planter = Planter(random.Random(f"{seed} object {number}"), script, range(first, first + 45))
    irregular = IRREGULAR[number // 3 % len(IRREGULAR)] if number % 3 == 2 else ""
    kind = _kind(number, irregular)
    values = values | {
        "SOPInstanceUID": planter.uid("SOPInstanceUID", "UIDs").encode(),
        "ContentDate": planter.date("ContentDate", "dates").encode(),
        "AcquisitionDate": planter.date("AcquisitionDate", "dates").encode(),
    }
    multi = kind.frames > 1
    pixels = paint(np.random.default_rng([seed, number]), planter, kind, number)
    surplus = _surplus(irregular, planter)
    top: dict[int, Element] = {}
    for element in [
        Element(tag("SpecificCharacterSet"), "CS", script.charset.encode()),
        Element(tag("SOPClassUID"), "UI", (MULTI if multi else SINGLE).encode()),
        Element(tag("PatientSex"), "CS", b"F"),
        Element(tag("PatientAge"), "AS", b"058Y"),
        *(Element(tag(one), vr(one), CODES[one]) for one in CODES),
        *(Element(tag(one), vr(one), data) for one, data in values.items() if one != "folder"),
        *header.plain(planter),
        *header.nested(planter, _region(pixels)),
        *header.private(planter, kind.syntax),
        *header.curves_and_overlays(planter),
        *header.documents(planter),
        *store(pixels, planter, surplus),
    ]:
        top[element.tag] = element
    if kind.syntax.uid.endswith("4.50"):
        top[tag("LossyImageCompression")] = Element(tag("LossyImageCompression"), "CS", b"01")
    wrong = header.misplaced(planter) if number % 4 == 3 else {}
    for keyword, (kind_of, data) in wrong.items():
        top[tag(keyword)] = Element(tag(keyword), kind_of, data)
    file = _file(top, planter, kind.syntax, values, irregular, preamble=number % 2 == 1)
    name = planter.raw("file name", "paths").decode()
    path = Path(values["folder"].decode()) / f"{name}_{number:03}.dcm"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(file)
    codes = {one: data.decode() for one, data in CODES.items() if isinstance(data, bytes)}
    told = {one: data.decode(script.codec) for one, data in values.items() if one in _ASCII}
    return Planted(
        number=number,
        path=path,
        patient=number // PER_PATIENT,
        study=number // PER_STUDY,
        irregular=irregular,
        canaries=(*shared, *planter.canaries),
        pixels=pixels,
        values=codes | told,
        misplaced=frozenset(wrong),
    )


_ASCII: Final = frozenset(
    {
        *("PatientID", "PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate"),
        *("ContentDate", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    }
)


def _kind(number: int, irregular: str) -> Kind:
    wanted = {
        "behind native pixels": 0,
        "header of run lengths": 3,
        "behind run lengths": 8,
        "behind a JPEG frame": 5,
        "a fragment too many": 3,
        "in the offset table": 5,
        "extended offset table": 3,
        "unknown VR": 0,
    }
    if irregular == "bits above those stored":
        return DEEP
    # A step that has no divisor in common with the number of kinds, patients and texts.
    return KINDS[wanted.get(irregular, number * 7 % len(KINDS))]


def _surplus(irregular: str, planter: Planter) -> Surplus:
    def word() -> bytes:
        return planter.raw(irregular, _GROUP)

    match irregular:
        case "behind native pixels":
            return Surplus(behind=word())
        case "header of run lengths":
            return Surplus(rle_header=word())
        case "behind run lengths":
            return Surplus(rle_tail=b"\x80\x80" + word())
        case "behind a JPEG frame":
            return Surplus(fragment_tail=word())
        case "a fragment too many":
            return Surplus(fragment=word())
        case "in the offset table":
            return Surplus(table=word() + b"\0\0")
        case "extended offset table":
            return Surplus(extended=word())
        case "bits above those stored":
            return Surplus(high_bits=word())
    return Surplus()


def _region(pixels: Pixels) -> list[Element]:
    left, top, right, bottom = pixels.region
    numbers = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "RegionFlags": 0,
        "RegionLocationMinX0": left,
        "RegionLocationMinY0": top,
        "RegionLocationMaxX1": right - 1,
        "RegionLocationMaxY1": bottom - 1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.025,
        "PhysicalDeltaY": 0.025,
    }
    return [Element(tag(one), vr(one), (value,)) for one, value in numbers.items()]


def _file(
    top: dict[int, Element],
    planter: Planter,
    syntax: Syntax,
    values: dict[str, bytes],
    irregular: str,
    *,
    preamble: bool,
) -> bytes:
    undefined = planter.chance.random() < 0.5
    behind: list[Element] = []

    def word() -> bytes:
        return planter.raw(irregular, _GROUP)

    match irregular:
        case "unknown VR":
            top[0x00100052] = Element(0x00100052, "ZZ", word())
        case "behind the NUL of a code":
            top[tag("Laterality")] = Element(tag("Laterality"), "CS", b"L\0" + word())
        case "second value of a code":
            top[tag("Laterality")] = Element(tag("Laterality"), "CS", b"L\\" + word())
        case "group length":
            top[0x00100000] = Element(0x00100000, "UL", word() + b"\0\0")
        case "out of order":
            behind = [Element(tag("PatientBirthName"), "PN", word())]
        case "repeated element":
            behind = [Element(0xFFFCFFFC, "OB", word())]
        case "letters in a UID":
            name = tag("DimensionOrganizationUID")
            top[name] = Element(name, "UI", b"1.2.826." + word())
    elements = [top[one] for one in sorted(top)]
    body = encode([*elements, *behind], syntax, undefined=undefined)
    if irregular == "stray item":
        order = "little" if syntax.little else "big"
        first = word()
        body += b"".join(one.to_bytes(2, order) for one in (0xFFFE, 0xE000))  # type: ignore[arg-type]
        body += len(first).to_bytes(4, order) + first  # type: ignore[arg-type]
    if irregular == "behind the dataset":
        body += word()
    meta = [
        Element(0x00020001, "OB", b"\0\1"),
        Element(0x00020002, "UI", top[tag("SOPClassUID")].value),
        Element(0x00020003, "UI", values["SOPInstanceUID"]),
        Element(0x00020010, "UI", syntax.uid.encode()),
        Element(0x00020012, "UI", b"1.2.826.0.1.3680043.9.1"),
        *header.file_meta(planter),
    ]
    if irregular == "unknown element of the file meta":
        meta.append(Element(0x00020055, "LO", word()))
        meta.sort(key=lambda one: one.tag)
    start = b""
    if preamble:
        start = b"II*\0" + planter.raw("preamble", "file meta and preamble")
    return part10(meta, body, syntax, start)
