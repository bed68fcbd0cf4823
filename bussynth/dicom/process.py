"""The work on one file, done in a worker that may be killed: a pure function of file and job."""

from __future__ import annotations

import hashlib
import io
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from bussynth.cleaning.engine import open_engine
from bussynth.dicom.descriptions import describes_axilla
from bussynth.dicom.flags import image_flags, of_axilla
from bussynth.dicom.labels import label_digest
from bussynth.dicom.record import (
    KEPT,
    LEFT_OUT,
    QUARANTINED,
    FileRecord,
    ImageRecord,
    ObjectRecord,
)
from bussynth.dicom.sources import Source
from bussynth.images import encode_png
from bussynth.ingest.geometry import Placement
from privacy.deidentify.allowlist import SOURCES
from privacy.deidentify.colour import gray_bytes
from privacy.deidentify.colour_marks import ColourKind
from privacy.deidentify.devices import normalise_device
from privacy.deidentify.elements import texts
from privacy.deidentify.errors import DeidentifyError, ProfileError
from privacy.deidentify.examine import Examined, FrameFinding, View, examine
from privacy.deidentify.media import storage_class
from privacy.deidentify.pseudonyms import decoded_text
from privacy.deidentify.rebuild import Rebuilt, rebuild
from privacy.deidentify.settings import Settings
from privacy.deidentify.text import TextEngineError
from privacy.deidentify.uids import map_uid, read_uid
from privacy.pseudonym import SiteKey

__all__ = [
    "Job",
    "OutputError",
    "image_path",
    "object_path",
    "prepare",
    "preview_path",
    "process",
]

_PREVIEW: Final = 768
# The plain class and those of several frames; 1.1.77 is another family.
_SECONDARY: Final = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.7(\..+)?")
# Numbers of objects made of single frames lie behind those of whole loops.
_SINGLES: Final = 64
_MOST_FRAMES: Final = 10_000


class OutputError(Exception):
    """What is kept cannot be written: the fault of the place, not of the file."""


class _SourceError(Exception):
    """The file could not be read any further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all files of a run share.

    Attributes:
        settings: What the site decided.
        key: File of the site key; the key itself does not travel.
        work: Folder that takes what is written.
        label: Keyword of the attribute that names the row of a table, or None.
        by_table: A table says whose the file is, so Patient ID is not asked for.
        image_size: Edge length of a cohort's images; None to write DICOM objects instead.
        geometry: How cohort images are made square.
    """

    settings: Settings
    key: Path = field(repr=False)
    work: Path = field(repr=False)
    label: str | None = None
    by_table: bool = False
    image_size: int | None = None
    geometry: str = "letterbox"


def image_path(work: Path, name: str) -> Path:
    """Where the cohort image of that id waits."""
    return work / "images" / name[:2] / f"{name}.png"


def object_path(work: Path, name: str, uid: str) -> Path:
    """Where the object with that UID waits, made from the file of that keyed name.

    Two files may make one object, and the first is taken, so each has a place of its own.
    """
    return work / "objects" / name[:2] / name / f"{uid}.dcm"


def preview_path(work: Path, name: str) -> Path:
    """Where the picture for the review of that id waits."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    return work / "previews" / digest[:2] / f"{digest}.jpg"


def process(source: Source, job: Job) -> FileRecord:
    """De-identify one file and write what is kept of it below the work folder.

    Args:
        source: The file.
        job: The run.

    Returns:
        What became of it; whatever is wrong with the file is in the record, not raised.

    Raises:
        ProfileError: The table of PS3.15 is missing, so no file can be de-identified.
        OutputError: The work folder takes nothing more.
    """
    record = FileRecord(
        number=source.number,
        name=source.name,
        size=source.size,
        changed=source.changed,
        decision=QUARANTINED,
        reason="",
    )
    try:
        with source.path.open("rb") as file:
            if _changed(file, source):
                return replace(record, reason="changed", why="the file changed while it was read.")
            done = _left_out(file, record)
            if done is None:
                done = _one(file, record, job)
                if _changed(file, source):
                    return replace(
                        record, reason="changed", why="the file changed while it was read."
                    )
            return done
    except ProfileError:
        raise
    except DeidentifyError as error:
        problems = [error.message, *error.problems[:5]]
        return replace(record, reason=error.reason, why=" ".join(problems))
    except TextEngineError:
        return replace(record, reason="text-engine", why="the text engine failed on it.")
    except (OSError, _SourceError):
        return replace(record, reason="cannot-be-read", why="the file cannot be read.")


def _changed(file: BinaryIO, source: Source) -> bool:
    status = os.fstat(file.fileno())
    return (status.st_size, status.st_mtime_ns) != (source.size, source.changed)


def _left_out(file: BinaryIO, record: FileRecord) -> FileRecord | None:
    """Tell files that are no ultrasound images at all, without reading more than their start."""
    found = storage_class(file)
    if found is None:
        return replace(record, decision=LEFT_OUT, reason="not-dicom", why="not a DICOM file.")
    if found in SOURCES or not found:
        return None
    if _SECONDARY.fullmatch(found):
        return replace(
            record,
            reason="secondary-capture",
            why="a secondary capture: a screen that nothing describes.",
        )
    return replace(
        record, decision=LEFT_OUT, reason="not-ultrasound", why="not an ultrasound image."
    )


def _one(file: BinaryIO, record: FileRecord, job: Job) -> FileRecord:
    key = _site_key(str(job.key))
    examined = examine(file, job.settings, open_engine(job.settings.text_engine))
    dataset = examined.file.dataset
    uid = read_uid(dataset, "SOPInstanceUID")
    pixels = examined.file.pixels
    record = replace(
        record,
        decision=KEPT,
        reason="kept",
        uid=map_uid(key, uid),
        study=map_uid(key, read_uid(dataset, "StudyInstanceUID")),
        identity=_identity(dataset, key),
        birth=_keyed(key, "birth-date", _birth_date(dataset)),
        label="" if job.label is None else _label(dataset, key, job.label),
        device=_device(dataset),
        frames=pixels.frames,
        frame_size=(pixels.rows, pixels.columns),
    )
    images: list[ImageRecord] = []
    objects: list[ObjectRecord] = []
    try:
        for view in examined.views:
            if job.image_size is None:
                patient, refused = _write_objects(
                    examined, view, key, job, record.name, images, objects
                )
            else:
                rebuilt = _rebuild(examined, view, key, job, single=True)
                patient, refused = rebuilt.patient, rebuilt.refused
                _write_images(examined, view, key, job, uid, images)
            record = replace(record, patient=patient, refused=refused)
    except OSError as error:
        raise OutputError(error.strerror or type(error).__name__) from None
    if describes_axilla(dataset):
        images = [replace(image, flags=of_axilla(image.flags)) for image in images]
    return replace(record, images=tuple(images), objects=tuple(objects))


def _frames(examined: Examined, view: View) -> Iterator[NDArray[np.uint8]]:
    """Yield the cleaned frames; an error in reading is not taken for one in writing."""
    try:
        yield from examined.frames(view)
    except OSError:
        raise _SourceError from None


def _rebuild(
    examined: Examined,
    view: View,
    key: SiteKey,
    job: Job,
    *,
    single: bool,
    part: int | None = None,
) -> Rebuilt:
    frames = view.format(cleaned=job.settings.reads_text, single=single, part=part)
    # Only the images are wanted then; whose they are is the table's to say.
    patient = "by-table" if job.by_table else None
    return rebuild(examined.file.dataset, frames, key, job.settings.policy, patient=patient)


def _write_objects(
    examined: Examined,
    view: View,
    key: SiteKey,
    job: Job,
    name: str,
    images: list[ImageRecord],
    objects: list[ObjectRecord],
) -> tuple[str, tuple[str, ...]]:
    """Write one object for a view, or one a frame if nobody says how long a frame lasts."""
    findings = view.findings
    if len(findings) == 1 or view.frame_time is not None:
        rebuilt = _rebuild(examined, view, key, job, single=len(findings) == 1)
        frames = _noted(_frames(examined, view), view, rebuilt, job, images)
        objects.append(_write_object(rebuilt, frames, job.work, name))
        return rebuilt.patient, rebuilt.refused
    for finding, frame in zip(findings, _frames(examined, view), strict=True):
        part = _SINGLES + view.part * _MOST_FRAMES + finding.frame
        rebuilt = _rebuild(examined, view, key, job, single=True, part=part)
        one = replace(view, findings=(finding,))
        noted = _noted(iter([frame]), one, rebuilt, job, images)
        objects.append(_write_object(rebuilt, noted, job.work, name))
    return rebuilt.patient, rebuilt.refused


def _noted(
    frames: Iterator[NDArray[np.uint8]],
    view: View,
    rebuilt: Rebuilt,
    job: Job,
    images: list[ImageRecord],
) -> Iterator[NDArray[np.uint8]]:
    """Pass frames on, and note and picture each."""
    uid = str(rebuilt.dataset.SOPInstanceUID)
    for place, (finding, frame) in enumerate(zip(view.findings, frames, strict=True)):
        name = f"{uid}#{place}"
        images.append(_image_record(name, view, finding, frame, search=False))
        _write(preview_path(job.work, name), _preview(frame))
        yield frame


def _write_object(
    rebuilt: Rebuilt, frames: Iterator[NDArray[np.uint8]], work: Path, name: str
) -> ObjectRecord:
    uid = str(rebuilt.dataset.SOPInstanceUID)
    path = object_path(work, name, uid)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as file:
        out = _Hashed(file)
        rebuilt.write(out, frames)
    temporary.replace(path)
    # Names of our own making: a pseudonym and a keyed UID.
    relative = f"files/{rebuilt.patient}/{uid}.dcm"
    return ObjectRecord(uid=uid, path=relative, bytes=out.bytes, sha256=out.digest.hexdigest())


class _Hashed:
    """A file whose digest is taken while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        # A frame is a view of several dimensions, which hashlib does not take.
        self.digest.update(memoryview(data).cast("B"))
        self.bytes += memoryview(data).nbytes


def _write_images(
    examined: Examined,
    view: View,
    key: SiteKey,
    job: Job,
    uid: str,
    images: list[ImageRecord],
) -> None:
    size = job.image_size or 0
    placement = Placement.fit((view.cut.width, view.cut.height), size, job.geometry)
    for finding, frame in zip(view.findings, _frames(examined, view), strict=True):
        name = key.digest("image", f"{uid}\\{view.part}\\{finding.frame}").hex()[:32]
        images.append(_image_record(name, view, finding, frame, search=True))
        _write(image_path(job.work, name), encode_png(placement.image(gray_bytes(frame, 8))))
        _write(preview_path(job.work, name), _preview(frame))


def _image_record(
    name: str, view: View, finding: FrameFinding, frame: NDArray[np.uint8], *, search: bool
) -> ImageRecord:
    kept = view.rectangle
    return ImageRecord(
        id=name,
        part=view.part,
        frame=finding.frame,
        rectangle=(kept.left, kept.top, kept.right, kept.bottom),
        blanked=tuple((box.left, box.top, box.right, box.bottom) for box in view.boxes(finding)),
        marks=finding.colour is ColourKind.MARKS,
        flags=image_flags(frame, view, finding, search=search),
        digest=hashlib.sha256(f"{frame.shape}".encode() + frame.tobytes()).hexdigest(),
        constant=bool(frame.min() == frame.max()),
    )


def _preview(frame: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(frame)
    picture.thumbnail((_PREVIEW, _PREVIEW), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    # Ten times as fast as PNG, and good enough to see letters by.
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two files of one object may be worked on at a time.
    temporary = path.with_suffix(f".partial-{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def _identity(dataset: Dataset, key: SiteKey) -> str:
    # Letters may be in another character set from file to file; the first of three spellings, and
    # without titles, which come and go (PS3.5 6.2.1).
    text = unicodedata.normalize("NFC", decoded_text(dataset, "PatientName")).partition("=")[0]
    name = " ".join(" ".join(text.split("^")[:3]).split()).casefold()
    born = _birth_date(dataset)
    return _keyed(key, "identity", f"{name}\\{born}") if name and born else ""


def _birth_date(dataset: Dataset) -> str:
    # Older files write 1961.02.03 (PS3.5 6.2).
    return "\\".join(texts(dataset, "PatientBirthDate")).replace(".", "")


def _label(dataset: Dataset, key: SiteKey, keyword: str) -> str:
    text = decoded_text(dataset, keyword)
    # Whether a file without one, or with several, is kept is decided with the table.
    return label_digest(key, text) if text and "\\" not in text else ""


def _keyed(key: SiteKey, domain: str, text: str) -> str:
    return key.digest(domain, text).hex()[:32] if text else ""


def _device(dataset: Dataset) -> str | None:
    maker = " ".join(texts(dataset, "Manufacturer"))
    model = " ".join(texts(dataset, "ManufacturerModelName"))
    found = normalise_device(maker, model)
    if found is None:
        return None
    return found.manufacturer if found.model is None else f"{found.manufacturer} {found.model}"


def prepare(job: Job) -> None:
    """Load what every file needs, once a worker."""
    _site_key(str(job.key))
    open_engine(job.settings.text_engine)


@lru_cache(maxsize=1)
def _site_key(path: str) -> SiteKey:
    return SiteKey.load(path)
