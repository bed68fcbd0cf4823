"""Which attributes a rebuilt ultrasound object may have; all others are dropped, unread.

By module of the information object definitions US Image and US Multi-frame Image (PS3.3 A.6 and
A.7). An attribute is here because a reader of the object needs it or a study of lesions uses it.
Sequences of the source are never copied, so nothing nested survives, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pydicom.datadict import dictionary_VR

from privacy.deidentify.elements import tag_of
from privacy.deidentify.rules import AgeBand, ImageType, Number, Ratio, Rule, Words

__all__ = [
    "ALLOWED",
    "MULTI_FRAME",
    "SINGLE_FRAME",
    "SOURCES",
    "Attribute",
    "Origin",
    "allowed",
]

SINGLE_FRAME: Final = "1.2.840.10008.5.1.4.1.1.6.1"
"""Ultrasound Image Storage."""

MULTI_FRAME: Final = "1.2.840.10008.5.1.4.1.1.3.1"
"""Ultrasound Multi-frame Image Storage."""

SOURCES: Final = frozenset(
    {
        SINGLE_FRAME,
        MULTI_FRAME,
        "1.2.840.10008.5.1.4.1.1.6",  # the retired classes, read but not written
        "1.2.840.10008.5.1.4.1.1.3",
    }
)
"""The SOP classes that are rebuilt."""


class Origin(StrEnum):
    """Where the value of a rebuilt object comes from."""

    COPIED = "copied"  # from the source, under a rule
    REPLACED = "replaced"  # a keyed function of the source
    WRITTEN = "written"  # from what the engine knows or is told
    EMPTY = "empty"  # present without a value, since its type is 2


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute that a rebuilt object may have.

    Attributes:
        keyword: Its keyword (PS3.6).
        module: Its module (PS3.3).
        origin: Where its value comes from.
        reason: Why it is kept.
        rule: What a copied value may be.
        multi_frame: Whether it belongs to multi-frame objects only.
        within: The sequence it belongs to; empty at the top.
    """

    keyword: str
    module: str
    origin: Origin
    reason: str
    rule: Rule | None = None
    multi_frame: bool = False
    within: str = ""

    @property
    def tag(self) -> int:
        """The tag as a number."""
        return tag_of(self.keyword)

    @property
    def vr(self) -> str:
        """The value representation that is written (PS3.6)."""
        if self.keyword == "PixelData":
            return "OB"  # 8 bits a sample, uncompressed (PS3.5 A.2)
        return str(dictionary_VR(self.tag))

    @property
    def type_2(self) -> bool:
        """Whether the attribute is there without a value when nothing is known."""
        return not self.within and self.keyword in _TYPE_2


# Types 2 and 2C of the mandatory modules, as the objects that are made here meet the conditions.
_TYPE_2: Final = frozenset(
    {
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
        *("SeriesNumber", "Laterality", "Manufacturer"),
        *("InstanceNumber", "PatientOrientation", "ContentDate", "ContentTime"),
    }
)

# PS3.3 C.8.5.6.1.1, value 3.
_EXAMINATIONS: Final = Words.of(
    "ABDOMINAL,BREAST,CHEST,ENDOCAVITARY,ENDORECTAL,ENDOVAGINAL,EPICARDIAL,FETAL HEART,"
    "GYNECOLOGY,INTRACARDIAC,INTRAOPERATIVE,INTRAVASCULAR,MUSCULOSKELETAL,NEONATAL HEAD,"
    "OBSTETRICAL,OPHTHALMIC,PEDIATRIC,PELVIC,RETROPERITONEAL,SCROTAL,SMALL PARTS,TEE,THYROID,"
    "TRANSCRANIAL,TTE,US BIOPSY,VASCULAR"
).words
# PS3.3 C.8.5.6, Transducer Type.
_TRANSDUCERS: Final = Words.of(
    "SECTOR_PHASED,SECTOR_MECH,SECTOR_ANNULAR,LINEAR,CURVED LINEAR,SINGLE CRYSTAL,"
    "SPLIT XTAL CWD,IV_PHASED,IV_ROT XTAL,IV_ROT MIRROR,ENDOCAV_PA,ENDOCAV_MECH,ENDOCAV_CLA,"
    "ENDOCAV_AA,ENDOCAV_LINEAR,VECTOR_PHASED"
)
_INDEX: Final = Number(0, 20, decimals=2)


def _copied(
    keyword: str, module: str, reason: str, rule: Rule, *, multi_frame: bool = False
) -> Attribute:
    return Attribute(keyword, module, Origin.COPIED, reason, rule, multi_frame)


def _replaced(keyword: str, module: str, reason: str) -> Attribute:
    return Attribute(keyword, module, Origin.REPLACED, reason)


def _written(keyword: str, module: str, reason: str, *, multi_frame: bool = False) -> Attribute:
    return Attribute(keyword, module, Origin.WRITTEN, reason, None, multi_frame)


def _empty(keyword: str, module: str) -> Attribute:
    return Attribute(keyword, module, Origin.EMPTY, "type 2: present, without a value")


def _items(sequence: str, module: str, reason: str, keywords: str) -> list[Attribute]:
    return [
        Attribute(keyword, module, Origin.WRITTEN, reason, within=sequence)
        for keyword in keywords.split()
    ]


_PATIENT: Final = [
    _replaced("PatientName", "patient", "the pseudonym, since viewers show this one"),
    _replaced("PatientID", "patient", "the pseudonym: images of one patient stay together"),
    _empty("PatientBirthDate", "patient"),
    _copied(
        "PatientSex",
        "patient",
        "a covariate; kept on request",
        Words.of("F,M,O"),
    ),
    _written("PatientIdentityRemoved", "patient", "says what was done"),
    _written("DeidentificationMethod", "patient", "says what was done"),
    _written("DeidentificationMethodCodeSequence", "patient", "says what was done"),
    *_items(
        "DeidentificationMethodCodeSequence",
        "patient",
        "the parts of a code",
        "CodeValue CodingSchemeDesignator CodeMeaning",
    ),
    _copied("PatientAge", "patient-study", "a covariate; kept on request in bands", AgeBand()),
]
_STUDY: Final = [
    _replaced("StudyInstanceUID", "general-study", "images of one study stay together"),
    _replaced("StudyDate", "general-study", "intervals, if the site shifts dates"),
    _empty("StudyTime", "general-study"),
    _empty("ReferringPhysicianName", "general-study"),
    _empty("StudyID", "general-study"),
    _empty("AccessionNumber", "general-study"),
]
_SERIES: Final = [
    _written("Modality", "general-series", "ultrasound"),
    _replaced("SeriesInstanceUID", "general-series", "images of one series stay together"),
    _copied("SeriesNumber", "general-series", "order of series", Number(0, 999)),
    _replaced("SeriesDate", "general-series", "intervals, if the site shifts dates"),
    _copied("Laterality", "general-series", "which breast", Words.of("L,R")),
    _copied(
        "BodyPartExamined",
        "general-series",
        "tells breast images from others",
        Words.of("BREAST"),
    ),
    _written("Manufacturer", "general-equipment", "device; kept on request, from a table"),
    _written("ManufacturerModelName", "general-equipment", "device; kept on request"),
]
_IMAGE: Final = [
    _copied("ImageType", "us-image", "kind of examination and mode", ImageType(_EXAMINATIONS)),
    _copied("InstanceNumber", "general-image", "order of images", Number(0, 9999)),
    _empty("PatientOrientation", "general-image"),
    _replaced("ContentDate", "general-image", "intervals, if the site shifts dates"),
    _empty("ContentTime", "general-image"),
    _replaced("AcquisitionDate", "general-acquisition", "intervals, if the site shifts dates"),
    _copied(
        "ImageLaterality",
        "general-image",
        "which breast",
        Words.of("L,R,B,U"),
    ),
    _written("BurnedInAnnotation", "general-image", "NO once pixels were cleaned"),
    _written("LossyImageCompression", "general-image", "once lossy, always told"),
    _copied(
        "LossyImageCompressionRatio",
        "general-image",
        "how much was lost",
        Number(1, 1000, decimals=1),
    ),
    _written("LossyImageCompressionMethod", "general-image", "how it was lost"),
    _copied(
        "UltrasoundColorDataPresent",
        "us-image",
        "tells colour Doppler",
        Number(0, 1, binary=True),
    ),
    *(
        _copied(keyword, "us-image", "order within a protocol", Number(0, 99))
        for keyword in ("NumberOfStages", "StageNumber", "NumberOfViewsInStage", "ViewNumber")
    ),
    _copied("PixelAspectRatio", "image-pixel", "shape of a pixel", Ratio()),
    _copied("TransducerType", "us-image", "geometry of the image", _TRANSDUCERS),
    _copied("DepthOfScanField", "us-image", "scale of the image, in mm", Number(1, 400)),
    _copied("MechanicalIndex", "us-image", "output power", _INDEX),
    _copied("BoneThermalIndex", "us-image", "output power", _INDEX),
    _copied("CranialThermalIndex", "us-image", "output power", _INDEX),
    _copied("SoftTissueThermalIndex", "us-image", "output power", _INDEX),
]
_PIXELS: Final = [
    *_items(
        "",
        "image-pixel",
        "describes the frames given",
        "SamplesPerPixel PhotometricInterpretation PlanarConfiguration Rows Columns "
        "BitsAllocated BitsStored HighBit PixelRepresentation PixelData",
    ),
    _written("NumberOfFrames", "multi-frame", "describes the frames given", multi_frame=True),
    _written("FrameIncrementPointer", "multi-frame", "points to the frame time", multi_frame=True),
    _copied(
        "FrameTime",
        "cine",
        "time from frame to frame, in ms",
        Number(0.1, 60_000, decimals=3),
        multi_frame=True,
    ),
    *(
        _copied(keyword, "cine", "how to show a loop", Number(1, 500), multi_frame=True)
        for keyword in ("RecommendedDisplayFrameRate", "CineRate")
    ),
    _written("SequenceOfUltrasoundRegions", "us-region-calibration", "size of a pixel"),
    *_items(
        "SequenceOfUltrasoundRegions",
        "us-region-calibration",
        "written anew from the numbers given",
        "RegionSpatialFormat RegionDataType RegionFlags RegionLocationMinX0 RegionLocationMinY0 "
        "RegionLocationMaxX1 RegionLocationMaxY1 PhysicalUnitsXDirection "
        "PhysicalUnitsYDirection PhysicalDeltaX PhysicalDeltaY",
    ),
]
_COMMON: Final = [
    _written("SOPClassUID", "sop-common", "what the object is"),
    _replaced("SOPInstanceUID", "sop-common", "which object it is"),
    _written("LongitudinalTemporalInformationModified", "sop-common", "what became of dates"),
    _copied(
        "SyntheticData",
        "sop-common",
        "what was made from synthetic data stays synthetic",
        Words.of("YES,NO"),
    ),
]

ALLOWED: Final[tuple[Attribute, ...]] = (
    *_PATIENT,
    *_STUDY,
    *_SERIES,
    *_IMAGE,
    *_PIXELS,
    *_COMMON,
)
"""Every attribute that a rebuilt object may have."""

_BY_PLACE: Final[Mapping[tuple[str, str], Attribute]] = MappingProxyType(
    {(attribute.within, attribute.keyword): attribute for attribute in ALLOWED}
)


def allowed(keyword: str, within: str = "") -> Attribute | None:
    """Look an attribute up.

    Args:
        keyword: Its keyword.
        within: The sequence whose items it is in; empty at the top.

    Returns:
        Its entry, or None if it may not be there.
    """
    return _BY_PLACE.get((within, keyword))
