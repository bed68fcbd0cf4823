"""Where identifiers stand in the header of an ultrasound object, as scanners and sites put them.

All of it is legal, except :func:`misplaced`: names where codes and numbers belong, which sites
write nevertheless.
"""

from __future__ import annotations

from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

from benchmarks.deidentify.raw import Element, Syntax, encode
from benchmarks.deidentify.tokens import Planter

__all__ = [
    "curves_and_overlays",
    "documents",
    "file_meta",
    "misplaced",
    "nested",
    "plain",
    "private",
    "tag",
]

_PERSONS: Final = """
OtherPatientNames PatientBirthName PatientMotherBirthName ResponsiblePerson
"""
_STAFF: Final = """
ReferringPhysicianName ConsultingPhysicianName PerformingPhysicianName NameOfPhysiciansReadingStudy
OperatorsName PhysiciansOfRecord RequestingPhysician ScheduledPerformingPhysicianName
"""
_DEMOGRAPHIC: Final = """
PatientAddress PatientTelephoneNumbers PatientTelecomInformation MilitaryRank BranchOfService
CountryOfResidence RegionOfResidence PatientReligiousPreference Occupation EthnicGroup
AdditionalPatientHistory PatientComments MedicalAlerts Allergies SpecialNeeds PatientState
PatientInstitutionResidence CurrentPatientLocation
"""
_SITE: Final = """
InstitutionName InstitutionAddress InstitutionalDepartmentName ReferringPhysicianAddress
ReferringPhysicianTelephoneNumbers RequestingService StationName ResponsibleOrganization
"""
_NUMBERS: Final = """
OtherPatientIDs IssuerOfPatientID MedicalRecordLocator AccessionNumber StudyID AdmissionID
ServiceEpisodeID PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
PerformedProcedureStepID DeviceSerialNumber GantryID DetectorID ClinicalTrialSubjectID
ClinicalTrialSponsorName
"""
_DESCRIPTIONS: Final = """
StudyDescription SeriesDescription ProtocolName ImageComments RequestedProcedureDescription
PerformedProcedureStepDescription ReasonForStudy DerivationDescription AcquisitionComments
InterpretationText StageName ViewName TransducerData ProcessingFunction ContrastBolusAgent
SoftwareVersions DeviceDescription TextComments ArbitraryRetired ServiceEpisodeDescription
AdmittingDiagnosesDescription
"""
_DATES: Final = """
InstanceCreationDate PerformedProcedureStepStartDate AdmittingDate ScheduledStudyStartDate
LastMenstrualDate DateOfLastCalibration DateOfSecondaryCapture
"""
_TIMES: Final = """
SeriesTime AcquisitionTime InstanceCreationTime PerformedProcedureStepStartTime
PatientBirthTime
"""
_UIDS: Final = """
FrameOfReferenceUID IrradiationEventUID StorageMediaFileSetUID InstanceCreatorUID
DeviceUID SynchronizationFrameOfReferenceUID ConcatenationUID
"""
# Keywords of retired attributes that pydicom has under another name.
_RETIRED: Final = {"TextComments": 0x40004000, "ArbitraryRetired": 0x40000010}


def tag(keyword: str) -> int:
    """Return the tag of a keyword."""
    found = _RETIRED.get(keyword) or tag_for_keyword(keyword)
    if found is None:
        raise KeyError(keyword)
    return found


def vr(keyword: str) -> str:
    """Return the value representation of a keyword."""
    return "LT" if keyword in _RETIRED else dictionary_VR(tag(keyword)).split(" ")[0]


def plain(planter: Planter) -> list[Element]:
    """Plant in attributes of the top level, as a hospital fills them."""
    found = []
    for group, keywords in (
        ("patient", _DEMOGRAPHIC),
        ("staff and site", _SITE),
        ("numbers", _NUMBERS),
        ("descriptions", _DESCRIPTIONS),
    ):
        for keyword in keywords.split():
            kind = vr(keyword)
            short = kind in ("SH", "CS", "AE")
            value = (
                planter.raw(keyword, group)
                if short or kind == "UR"
                else planter.text(keyword, group)
            )
            found.append(Element(tag(keyword), kind, value))
    for group, keywords in (("patient", _PERSONS), ("staff and site", _STAFF)):
        for keyword in keywords.split():
            found.append(Element(tag(keyword), "PN", planter.name(keyword, group)))
    for keyword in _DATES.split():
        found.append(Element(tag(keyword), "DA", planter.date(keyword, "dates").encode()))
    for keyword in _TIMES.split():
        found.append(Element(tag(keyword), "TM", planter.time(keyword, "dates").encode()))
    for keyword in _UIDS.split():
        found.append(Element(tag(keyword), "UI", planter.uid(keyword, "UIDs").encode()))
    day, moment = (
        planter.date("AcquisitionDateTime, date", "dates"),
        planter.time("AcquisitionDateTime, time", "dates"),
    )
    found.append(Element(tag("AcquisitionDateTime"), "DT", f"{day}{moment}".encode()))
    # Elements that the standard does not know, in groups that are its own.
    found.append(Element(0x00108888, "LO", planter.text("unknown (0010,8888)", "unknown")))
    found.append(Element(0x00431002, "UN", planter.raw("unknown VR (0043,1002)", "unknown")))
    found.append(Element(0x43220002, "LO", planter.text("unknown (4322,0002)", "unknown")))
    found.append(
        Element(tag("InterpretationAuthor"), "UN", planter.raw("UN for a name", "unknown"))
    )
    return found


def _code(planter: Planter, place: str) -> list[Element]:
    return [
        Element(tag("CodeValue"), "SH", planter.raw(f"{place}, CodeValue", "nested")),
        Element(tag("CodingSchemeDesignator"), "SH", b"99SITE"),
        Element(tag("CodeMeaning"), "LO", planter.text(f"{place}, CodeMeaning", "nested")),
    ]


def _person(planter: Planter, place: str) -> list[Element]:
    return [
        Element(tag("PatientName"), "PN", planter.name(f"{place}, PatientName", "nested")),
        Element(tag("PatientID"), "LO", planter.digits(f"{place}, PatientID", "nested").encode()),
        Element(tag("StudyDate"), "DA", planter.date(f"{place}, StudyDate", "nested").encode()),
        Element(tag("ImageComments"), "LT", planter.text(f"{place}, ImageComments", "nested")),
    ]


def nested(planter: Planter, region: list[Element]) -> list[Element]:
    """Plant in sequences, among them those that tools keep.

    Args:
        planter: Where words come from.
        region: The item that describes the region of tissue; it is kept legal and gets company.

    Returns:
        Sequences.
    """
    reference = [
        Element(tag("ReferencedSOPClassUID"), "UI", b"1.2.840.10008.5.1.4.1.1.6.1"),
        Element(
            tag("ReferencedSOPInstanceUID"),
            "UI",
            planter.uid("ReferencedImageSequence, UID", "nested").encode(),
        ),
        *_person(planter, "ReferencedImageSequence"),
    ]
    deep = _person(planter, "six sequences deep")
    for keyword in (
        *("ModifiedAttributesSequence", "OriginalAttributesSequence", "RequestAttributesSequence"),
        *("ReferencedSeriesSequence", "ReferencedStudySequence", "SourceImageSequence"),
    ):
        deep = [Element(tag(keyword), "SQ", [deep])]
    company = [
        Element(tag("PatientName"), "PN", planter.name("region, PatientName", "nested")),
        Element(tag("ImageComments"), "LT", planter.text("region, ImageComments", "nested")),
        Element(0x00090010, "LO", planter.raw("region, private creator", "nested")),
        Element(0x00091001, "LO", planter.raw("region, private", "nested")),
    ]
    request = [
        Element(tag(keyword), vr(keyword), planter.raw(f"RequestAttributes, {keyword}", "nested"))
        for keyword in ("RequestedProcedureID", "ScheduledProcedureStepID")
    ]
    return [
        Element(tag("SequenceOfUltrasoundRegions"), "SQ", [[*region, *company]]),
        Element(tag("ReferencedImageSequence"), "SQ", [reference]),
        deep[0],
        Element(tag("RequestAttributesSequence"), "SQ", [request]),
        Element(tag("OtherPatientIDsSequence"), "SQ", [_person(planter, "OtherPatientIDs")]),
        Element(tag("AnatomicRegionSequence"), "SQ", [_code(planter, "AnatomicRegion")]),
        Element(tag("ViewCodeSequence"), "SQ", [_code(planter, "ViewCode")]),
        Element(tag("ProcedureCodeSequence"), "SQ", [_code(planter, "ProcedureCode")]),
        Element(
            tag("DeidentificationMethodCodeSequence"), "SQ", [_code(planter, "earlier method")]
        ),
        Element(tag("ReferencedPatientPhotoSequence"), "SQ", [_person(planter, "photo")]),
    ]


def private(planter: Planter, syntax: Syntax) -> list[Element]:
    """Plant in private blocks of known and unknown creators, one of which holds a whole object."""
    group = "private"
    inner = [
        Element(tag("PatientName"), "PN", planter.raw("object in private OB, PatientName", group)),
        Element(tag("PatientID"), "LO", planter.raw("object in private OB, PatientID", group)),
    ]
    whole = bytes(128) + b"DICM" + encode(inner, Syntax("", implicit=True))
    wide = planter.word("UTF-16 in private UN", group)
    item = _person(planter, "private sequence")
    return [
        Element(0x00090010, "LO", b"GEIIS"),
        Element(0x00091001, "LO", planter.text("known creator, LO", group)),
        Element(0x00091010, "SQ", [item]),
        Element(0x00110010, "LO", planter.raw("creator", group)),
        Element(0x00111001, "LO", planter.text("unknown creator, LO", group)),
        Element(0x00111002, "OB", whole),
        Element(0x00111003, "UN", wide.encode("utf-16-le")),
        Element(0x00111004, "DA", planter.date("private date", group).encode()),
        Element(0x60030010, "LO", b"GEMS_Ultrasound_ImageGroup_001"),
        Element(0x60031010, "SQ", [[Element(0x60031011, "UN", planter.raw("GE loop", group))]]),
        Element(0x7FE10010, "LO", b"GEMS_Ultrasound_MovieGroup_001"),
        Element(0x7FE11001, "UT", planter.text("GE movie group", group)),
    ]


def curves_and_overlays(planter: Planter) -> list[Element]:
    """Plant in overlays (60xx) and curves (50xx)."""
    group = "overlays and curves"
    found = []
    for base, label in ((0x60000000, "overlay 6000"), (0x601E0000, "overlay 601E")):
        data = planter.raw(f"{label}, data", group).ljust(32, b"\0")
        found += [
            Element(base | 0x0010, "US", (16,)),
            Element(base | 0x0011, "US", (16,)),
            Element(base | 0x0022, "LO", planter.text(f"{label}, description", group)),
            Element(base | 0x0040, "CS", b"G"),
            Element(base | 0x0050, "SS", (1, 1)),
            Element(base | 0x0100, "US", (1,)),
            Element(base | 0x0102, "US", (0,)),
            Element(base | 0x1500, "LO", planter.text(f"{label}, label", group)),
            Element(base | 0x3000, "OW", data),
            Element(base | 0x4000, "LT", planter.text(f"{label}, comments", group)),
        ]
    found += [
        Element(0x50000005, "US", (1,)),
        Element(0x50000010, "US", (16,)),
        Element(0x50000020, "CS", b"ECG"),
        Element(0x50000022, "LO", planter.text("curve, description", group)),
        Element(0x50000040, "SH", planter.raw("curve, axis label", group)),
        Element(0x50000103, "US", (0,)),
        Element(0x5000200C, "OW", planter.raw("curve, audio", group)),
        Element(0x50002500, "LO", planter.text("curve, label", group)),
        Element(0x50003000, "OW", planter.raw("curve, data", group).ljust(32, b"\0")),
    ]
    return found


def documents(planter: Planter) -> list[Element]:
    """Plant in what travels with pixels: icon, document, colour profile, waveform, signature."""
    group = "beside pixels"
    icon = [
        Element(tag("ImageComments"), "LT", planter.text("icon, comments", group)),
        Element(tag("SamplesPerPixel"), "US", (1,)),
        Element(tag("PhotometricInterpretation"), "CS", b"MONOCHROME2"),
        Element(tag("Rows"), "US", (8,)),
        Element(tag("Columns"), "US", (8,)),
        Element(tag("BitsAllocated"), "US", (8,)),
        Element(tag("BitsStored"), "US", (8,)),
        Element(tag("HighBit"), "US", (7,)),
        Element(tag("PixelRepresentation"), "US", (0,)),
        Element(tag("PixelData"), "OB", planter.raw("icon, pixels", group).ljust(64, b"\0")),
    ]
    wave = [
        Element(tag("WaveformData"), "OB", planter.raw("waveform, data", group)),
        Element(tag("MultiplexGroupLabel"), "SH", planter.raw("waveform, label", group)),
    ]
    signature = [
        Element(tag("DigitalSignatureUID"), "UI", planter.uid("signature, UID", group).encode()),
        Element(
            tag("DigitalSignatureDateTime"),
            "DT",
            f"{planter.date('signature, date', group)}120000".encode(),
        ),
        Element(tag("CertificateOfSigner"), "OB", planter.raw("signature, certificate", group)),
        Element(tag("Signature"), "OB", planter.raw("signature, bytes", group)),
    ]
    return [
        Element(tag("IconImageSequence"), "SQ", [icon]),
        Element(tag("DocumentTitle"), "ST", planter.text("document, title", group)),
        Element(tag("EncapsulatedDocument"), "OB", planter.raw("document, bytes", group)),
        Element(tag("ICCProfile"), "OB", planter.raw("colour profile", group)),
        Element(tag("WaveformSequence"), "SQ", [wave]),
        Element(0xFFFAFFFA, "SQ", [signature]),
        Element(0xFFFCFFFC, "OB", planter.raw("trailing padding", group)),
    ]


def misplaced(planter: Planter) -> dict[str, tuple[str, bytes]]:
    """Plant names where codes, numbers and dates belong: VR and value by keyword."""
    group = "wrong place"
    return {
        keyword: (kind, planter.raw(f"name in {kind}, {keyword}", group))
        for keyword, kind in (
            ("BodyPartExamined", "CS"),
            ("ImageType", "CS"),
            ("SeriesDate", "DA"),
            ("PatientAge", "AS"),
            ("SeriesNumber", "IS"),
            ("BoneThermalIndex", "DS"),
            ("ContentTime", "TM"),
            ("TransducerType", "LO"),
            ("BurnedInAnnotation", "CS"),
        )
    }


def file_meta(planter: Planter) -> list[Element]:
    """Plant in the optional elements of the file meta information."""
    group = "file meta and preamble"
    return [
        Element(0x00020013, "SH", planter.raw("ImplementationVersionName", group)),
        Element(0x00020016, "AE", planter.raw("SourceApplicationEntityTitle", group)),
        Element(0x00020017, "AE", planter.raw("SendingApplicationEntityTitle", group)),
        Element(0x00020018, "AE", planter.raw("ReceivingApplicationEntityTitle", group)),
        Element(0x00020026, "UR", planter.raw("SourcePresentationAddress", group)),
        Element(0x00020100, "UI", planter.uid("PrivateInformationCreatorUID", group).encode()),
        Element(0x00020102, "OB", planter.raw("PrivateInformation", group)),
    ]
