"""A new ultrasound object from the allow-list and cleaned frames, checked before it is given.

The source is only ever read, attribute by attribute of the list; nothing of it is copied whole.
The new object has file meta information of its own and a preamble of zeros, is little endian with
explicit VR, and holds ASCII only, so it needs no character set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian

from privacy.deidentify.allowlist import (
    ALLOWED,
    MULTI_FRAME,
    SINGLE_FRAME,
    SOURCES,
    Attribute,
    allowed,
)
from privacy.deidentify.compression import read_loss
from privacy.deidentify.dates import offset_days, shift_date
from privacy.deidentify.devices import normalise_device
from privacy.deidentify.elements import find, plain_bytes, tag_of, texts
from privacy.deidentify.errors import PixelError, UnsupportedObjectError, name_of
from privacy.deidentify.frame_data import Calibration, FrameFormat
from privacy.deidentify.policy import Dates, Policy
from privacy.deidentify.profile import load_profile
from privacy.deidentify.pseudonyms import patient_identifier, patient_pseudonym
from privacy.deidentify.second_check import check
from privacy.deidentify.uids import map_uid, read_uid
from privacy.pseudonym import SiteKey

__all__ = ["IMPLEMENTATION_UID", "Rebuilt", "Writable", "rebuild"]

IMPLEMENTATION_UID: Final = "2.25.194593052385458905864039913292822893028"
"""Who wrote the file (PS3.10 7.1): this engine."""

_VERSION_NAME: Final = "BUSSYNTH"
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_DATES: Final = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_CHARACTERISTICS: Final = frozenset({"PatientSex", "PatientAge"})
# Format 2D and data type tissue share the number (PS3.3 C.8.5.5.1).
_TISSUE_2D: Final = 1
_CENTIMETRE: Final = 3

# Value 4 of Image Type (PS3.3 C.8.5.6.1.1) when nothing but two-dimensional imaging was on.
_MODE_PLACE: Final = 3
_IMAGING_2D: Final = "0001"
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00OB\0\0"

_Content = dict[str, object]


class Writable(Protocol):
    """Takes bytes."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take bytes."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A de-identified object without its frames, and what became of the source's attributes.

    Attributes:
        dataset: The new object; Pixel Data (7FE0,0010) comes when it is written.
        frames: What its frames are like.
        patient: The patient's pseudonym.
        copied: Keywords of attributes whose value was taken over under a rule.
        refused: Keywords of attributes that may be kept, but whose value was outside its rule.
        dropped: How many other elements the top level of the source had.
    """

    dataset: Dataset
    frames: FrameFormat
    patient: str
    copied: tuple[str, ...]
    refused: tuple[str, ...]
    dropped: int

    def write(self, out: Writable, frames: Iterable[NDArray[np.uint8]]) -> None:
        """Write the object as a DICOM file (PS3.10), frame by frame.

        No more than one frame is held, however many there are. The same object and frames give
        the same bytes.

        Args:
            out: Where to write.
            frames: uint8 arrays in the form that was told to :func:`rebuild`, in order.

        Raises:
            PixelError: If a frame has another form or there are more or fewer than told; what was
                written by then is no whole file.
        """
        header = BytesIO()
        dcmwrite(header, self.dataset, enforce_file_format=True)
        out.write(header.getvalue())
        size = self.frames.pixel_bytes
        # The last element there is, so it can follow the others (PS3.5 7.1.2: explicit VR, OB).
        out.write(_PIXEL_DATA + (size + size % 2).to_bytes(4, "little"))
        count = 0
        for count, frame in enumerate(frames, 1):
            self.frames.check(frame)
            if count > self.frames.count:
                break
            out.write(np.ascontiguousarray(frame).data)
        if count != self.frames.count:
            raise PixelError("There are more or fewer frames than were told.")
        out.write(b"\0" * (size % 2))

    def to_bytes(self, frames: Iterable[NDArray[np.uint8]]) -> bytes:
        """Return what :meth:`write` writes; for objects that fit into memory twice."""
        out = BytesIO()
        self.write(out, frames)
        return out.getvalue()


def rebuild(
    source: Dataset,
    frames: FrameFormat,
    key: SiteKey,
    policy: Policy | None = None,
    *,
    patient: str | None = None,
) -> Rebuilt:
    """Make a new object from an allow-list, and check it against the table of PS3.15.

    Args:
        source: The untrusted object. It is read, never changed.
        frames: What its frames will be like.
        key: The key of the site, under which identifiers are replaced.
        policy: What the site keeps beyond the Basic Profile; by default nothing.
        patient: The patient's identifier, if a table knows better than Patient ID (0010,0020):
            when several patients share one there, or when it is empty.

    Returns:
        The new object.

    Raises:
        UnsupportedObjectError: If the source is no ultrasound image of the classes that are read.
        MissingIdentifierError: If it lacks the patient's identifier or a UID.
        PixelError: If there are several frames and nobody says how long a frame lasts.
        NestingError: If its sequences are nested too deep to be checked.
        UnreadableError: If a sequence of it cannot be parsed.
        ProfileError: If the table of PS3.15 is missing.
        LeakError: If the result fails the second check.
    """
    policy = policy or Policy()
    _require_ultrasound(source)
    identifier = patient_identifier(source) if patient is None else patient
    pseudonym = patient_pseudonym(key, identifier)
    multi_frame = frames.count > 1
    copied, refused = _copied(source, policy, multi_frame)
    if not frames.colour:
        _without_colour(copied)
    content: _Content = {
        **_identity(source, key, pseudonym, frames.part),
        **_dates(source, policy, key, pseudonym),
        **copied,
        **_statement(policy, frames.cleaned),
        **_device(source, policy),
        **_lossy(source, copied),
        **_pixels(frames),
    }
    if multi_frame:
        content |= _timing(frames, copied)
    if "ImageLaterality" in content:
        content.pop("Laterality", None)
    dataset = _assemble(content, multi_frame)
    check(dataset, source, policy)
    known = {attribute.tag for attribute in ALLOWED if not attribute.within}
    return Rebuilt(
        dataset=dataset,
        frames=frames,
        patient=pseudonym,
        copied=tuple(copied),
        refused=tuple(refused),
        dropped=sum(int(tag) not in known for tag in source.keys()),  # noqa: SIM118
    )


def _require_ultrasound(source: Dataset) -> None:
    classes = texts(source, "SOPClassUID")
    if len(classes) != 1 or classes[0] not in SOURCES:
        raise UnsupportedObjectError(
            f"{name_of(tag_of('SOPClassUID'))} is not Ultrasound Image or Ultrasound "
            "Multi-frame Image Storage."
        )


def _identity(source: Dataset, key: SiteKey, pseudonym: str, part: int) -> _Content:
    content: _Content = {"PatientID": pseudonym, "PatientName": pseudonym, "Modality": "US"}
    for keyword in _UIDS:
        number = part if keyword == "SOPInstanceUID" else 0
        content[keyword] = map_uid(key, read_uid(source, keyword), number)
    return content


def _dates(source: Dataset, policy: Policy, key: SiteKey, pseudonym: str) -> _Content:
    if policy.dates is Dates.REMOVE:
        return {"LongitudinalTemporalInformationModified": "REMOVED"}
    days = offset_days(key, pseudonym)
    content: _Content = {"LongitudinalTemporalInformationModified": "MODIFIED"}
    for keyword in _DATES:
        values = texts(source, keyword)
        date = shift_date(values[0], days) if len(values) == 1 else None
        if date is not None:
            content[keyword] = date
    return content


def _copied(source: Dataset, policy: Policy, multi_frame: bool) -> tuple[_Content, list[str]]:
    content: _Content = {}
    refused = []
    for attribute in ALLOWED:
        if attribute.rule is None or (attribute.multi_frame and not multi_frame):
            continue
        if attribute.keyword in _CHARACTERISTICS and not policy.patient_characteristics:
            continue
        value = attribute.rule(source, attribute.keyword)
        element = find(source, attribute.keyword)
        if value is not None:
            content[attribute.keyword] = value
        elif element is not None and plain_bytes(element):
            refused.append(attribute.keyword)
    return content, refused


def _without_colour(content: _Content) -> None:
    """Take back what speaks of colour or Doppler: gray frames show neither any more."""
    if "UltrasoundColorDataPresent" in content:
        content["UltrasoundColorDataPresent"] = 0
    kind = content.get("ImageType")
    if isinstance(kind, list) and len(kind) > _MODE_PLACE and kind[_MODE_PLACE] != _IMAGING_2D:
        kind = kind[:_MODE_PLACE]
        while not kind[-1]:
            kind.pop()
        content["ImageType"] = kind


def _statement(policy: Policy, cleaned: bool) -> _Content:
    profile = load_profile()
    content: _Content = {
        # By definition YES speaks of the pixels as well (PS3.3 C.7.1.1).
        "PatientIdentityRemoved": "YES" if cleaned else "NO",
        "DeidentificationMethod": [
            "Rebuilt from an allow-list",
            f"Checked with PS3.15 {profile.edition} Table E.1-1",
        ],
        "DeidentificationMethodCodeSequence": [
            _code_item(code) for code in policy.codes(pixels_cleaned=cleaned)
        ],
    }
    if cleaned:
        content["BurnedInAnnotation"] = "NO"
    return content


def _device(source: Dataset, policy: Policy) -> _Content:
    if not policy.device:
        return {}
    maker, model = (
        " ".join(texts(source, keyword)) for keyword in ("Manufacturer", "ManufacturerModelName")
    )
    device = normalise_device(maker, model)
    if device is None:
        return {}
    content: _Content = {"Manufacturer": device.manufacturer}
    if device.model is not None:
        content["ManufacturerModelName"] = device.model
    return content


def _lossy(source: Dataset, copied: _Content) -> _Content:
    loss = read_loss(source)
    if loss.lossy != "01":
        copied.pop("LossyImageCompressionRatio", None)
    content: _Content = {}
    if loss.lossy is not None:
        content["LossyImageCompression"] = loss.lossy
    if loss.method is not None and "LossyImageCompressionRatio" in copied:
        content["LossyImageCompressionMethod"] = loss.method
    return content


def _pixels(frames: FrameFormat) -> _Content:
    content: _Content = {
        "SOPClassUID": MULTI_FRAME if frames.count > 1 else SINGLE_FRAME,
        "SamplesPerPixel": 3 if frames.colour else 1,
        "PhotometricInterpretation": "RGB" if frames.colour else "MONOCHROME2",
        "Rows": frames.rows,
        "Columns": frames.columns,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    if frames.colour:
        content["PlanarConfiguration"] = 0
    if frames.calibration:
        content["SequenceOfUltrasoundRegions"] = [_region(one) for one in frames.calibration]
    return content


def _timing(frames: FrameFormat, copied: _Content) -> _Content:
    time = copied.get("FrameTime")
    if frames.frame_time is not None:
        time = f"{frames.frame_time:.3f}"
    if time is None:
        raise PixelError(
            f"{name_of(tag_of('FrameTime'))} is absent or unusable, and frame_time is not given; "
            "several frames cannot be written without it."
        )
    return {
        "NumberOfFrames": str(frames.count),
        "FrameIncrementPointer": tag_of("FrameTime"),
        "FrameTime": time,
    }


def _region(calibration: Calibration) -> Dataset:
    return _item(
        "SequenceOfUltrasoundRegions",
        {
            "RegionSpatialFormat": _TISSUE_2D,
            "RegionDataType": _TISSUE_2D,
            "RegionFlags": 0,
            "RegionLocationMinX0": calibration.x0,
            "RegionLocationMinY0": calibration.y0,
            "RegionLocationMaxX1": calibration.x1,
            "RegionLocationMaxY1": calibration.y1,
            "PhysicalUnitsXDirection": _CENTIMETRE,
            "PhysicalUnitsYDirection": _CENTIMETRE,
            # Six digits are more than a scanner measures, and too few to hide a number in.
            "PhysicalDeltaX": float(f"{calibration.delta_x:.6g}"),
            "PhysicalDeltaY": float(f"{calibration.delta_y:.6g}"),
        },
    )


def _code_item(code: Code) -> Dataset:
    return _item(
        "DeidentificationMethodCodeSequence",
        {
            "CodeValue": code.value,
            "CodingSchemeDesignator": code.scheme_designator,
            "CodeMeaning": code.meaning,
        },
    )


def _assemble(content: _Content, multi_frame: bool) -> Dataset:
    for attribute in ALLOWED:
        if attribute.type_2 and not (
            attribute.keyword == "Laterality" and "ImageLaterality" in content
        ):
            content.setdefault(attribute.keyword, None)
    dataset = _item("", content)
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = _VERSION_NAME
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    return dataset


def _item(within: str, content: _Content) -> Dataset:
    dataset = Dataset()
    for attribute in _entries(within, content):
        value = content[attribute.keyword]
        if attribute.vr == "SQ":
            value = Sequence(value)  # type: ignore[arg-type]
        dataset.add(DataElement(attribute.tag, attribute.vr, value))
    return dataset


def _entries(within: str, content: Iterable[str]) -> list[Attribute]:
    entries = []
    for keyword in content:
        attribute = allowed(keyword, within)
        if attribute is None:
            raise KeyError(keyword)  # a mistake of this file, found by any test
        entries.append(attribute)
    return sorted(entries, key=lambda entry: entry.tag)
