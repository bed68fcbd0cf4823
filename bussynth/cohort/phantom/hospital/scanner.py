"""The DICOM object of a screen, with identifiers wherever scanners and people put them."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import UID

from bussynth.cohort.phantom.device import DEVICES
from bussynth.cohort.phantom.hospital.encoding import store_pixels
from bussynth.cohort.phantom.hospital.machines import Machine
from bussynth.cohort.phantom.hospital.naming import uid
from bussynth.cohort.phantom.hospital.people import HOSPITAL, Examination, Person
from bussynth.cohort.phantom.hospital.shots import Kind, Regions, Screen, Shot

__all__ = ["PRIVATE_CREATOR", "dicom_bytes"]

PRIVATE_CREATOR: Final = "ACME US 1.1"
"""Creator of the private elements, which repeat identifiers."""

_SINGLE = UID("1.2.840.10008.5.1.4.1.1.6.1")
_MULTI = UID("1.2.840.10008.5.1.4.1.1.3.1")
_CM = 3  # PS3.3 C.8.5.5.1.15, Physical Units
_TISSUE, _COLOUR_FLOW = 1, 2  # C.8.5.5.1.2, Region Data Type
_FRAME_TIME = 40.0  # ms


def dicom_bytes(
    screen: Screen,
    shot: Shot,
    person: Person,
    machine: Machine,
    *,
    sop_uid: str,
    series_uid: str,
    number: int,
) -> tuple[bytes, dict[str, Any]]:
    """Make the file of a screen: US Image or, for a loop, US Multi-frame Image (PS3.3 A.6, A.7).

    Args:
        screen: What is on it.
        shot: What kind of image it is.
        person: The patient.
        machine: The machine.
        sop_uid: SOP Instance UID.
        series_uid: Series Instance UID.
        number: Instance Number.

    Returns:
        The file, and how its pixels are stored.
    """
    visit = person.examinations[shot.visit]
    when = visit.when + dt.timedelta(seconds=31 * number)
    loop = len(screen.frames) > 1
    dataset = Dataset()
    dataset.SpecificCharacterSet = person.charset
    dataset.SOPClassUID = _MULTI if loop else _SINGLE
    dataset.SOPInstanceUID = UID(sop_uid)
    _patient(dataset, person, when)
    _study(dataset, person, visit)
    _series(dataset, person, visit, machine, series_uid)
    _image(dataset, person, shot, machine, when, number, screen)
    if loop:
        dataset.NumberOfFrames = len(screen.frames)
        dataset.FrameIncrementPointer = 0x00181063
        dataset.FrameTime = f"{_FRAME_TIME:g}"
        dataset.CineRate = round(1000.0 / _FRAME_TIME)
    if shot.regions is not Regions.ABSENT:
        dataset.SequenceOfUltrasoundRegions = Sequence(_regions(screen, shot, machine))
    _private(dataset, person, visit)
    if number % 4 == 1:
        _overlay(dataset, person, machine)
    syntax = store_pixels(dataset, screen.frames, machine, colour=screen.colour_box is not None)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID(uid("implementation"))
    meta.ImplementationVersionName = "PHANTOM_1"
    meta.SourceApplicationEntityTitle = "LINDENMOOR_US1"
    dataset.file_meta = meta
    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue(), {
        "transfer_syntax": str(syntax),
        "photometric": dataset.PhotometricInterpretation,
        "frames": len(screen.frames),
    }


def _patient(dataset: Dataset, person: Person, when: dt.datetime) -> None:
    dataset.PatientName = person.name
    dataset.PatientID = person.patient_id
    dataset.IssuerOfPatientID = "LINDENMOOR"
    dataset.PatientBirthDate = f"{person.birth:%Y%m%d}"
    dataset.PatientSex = person.sex
    dataset.OtherPatientIDs = list(person.other_ids)
    dataset.OtherPatientNames = f"{person.family.title()}^{person.given.title()}"
    other = Dataset()
    other.PatientID = person.other_ids[0]
    other.IssuerOfPatientID = "OLD ARCHIVE"
    other.TypeOfPatientID = "TEXT"
    dataset.OtherPatientIDsSequence = Sequence([other])
    dataset.PatientMotherBirthName = person.birth_name
    dataset.PatientAddress = person.address
    dataset.PatientTelephoneNumbers = person.telephone
    dataset.PatientComments = f"Daughter of {person.birth_name.replace('^', ', ')}"
    years = (when.date() - person.birth).days // 365
    dataset.PatientAge = f"{years:03d}Y"
    dataset.AdditionalPatientHistory = f"{person.given.title()} felt a lump"


def _study(dataset: Dataset, person: Person, visit: Examination) -> None:
    dataset.StudyInstanceUID = UID(visit.study_uid)
    dataset.StudyDate = f"{visit.when:%Y%m%d}"
    dataset.StudyTime = f"{visit.when:%H%M%S}"
    dataset.StudyID = visit.study_id
    dataset.AccessionNumber = visit.accession
    dataset.ReferringPhysicianName = visit.referring
    dataset.NameOfPhysiciansReadingStudy = visit.performing
    dataset.StudyDescription = f"US breast {person.family.title()}"
    dataset.AdmissionID = f"ADM{visit.study_id[1:]}"


def _series(
    dataset: Dataset, person: Person, visit: Examination, machine: Machine, series_uid: str
) -> None:
    dataset.Modality = "US"
    dataset.SeriesInstanceUID = UID(series_uid)
    dataset.SeriesNumber = 1
    dataset.SeriesDate, dataset.SeriesTime = dataset.StudyDate, dataset.StudyTime
    dataset.Laterality = visit.laterality
    dataset.BodyPartExamined = "BREAST"
    dataset.SeriesDescription = f"Breast {visit.laterality} for {visit.referring.split('^')[0]}"
    dataset.PerformingPhysicianName = visit.performing
    dataset.OperatorsName = visit.operator
    dataset.PerformedProcedureStepStartDate = dataset.StudyDate
    dataset.PerformedProcedureStepDescription = f"{person.patient_id} breast ultrasound"
    request = Dataset()
    request.RequestedProcedureID = visit.study_id
    request.ScheduledProcedureStepID = visit.accession
    request.AccessionNumber = visit.accession
    request.RequestedProcedureDescription = f"Ultrasound, {person.given} {person.family}"
    request.ScheduledProcedureStepDescription = f"Seen by {visit.performing.split('^')[0]}"
    request.ReasonForTheRequestedProcedure = f"Asked by {visit.referring.replace('^', ' ')}"
    dataset.RequestAttributesSequence = Sequence([request])
    dataset.Manufacturer = machine.maker
    dataset.ManufacturerModelName = machine.model
    dataset.InstitutionName = HOSPITAL.name
    dataset.InstitutionAddress = HOSPITAL.address
    dataset.InstitutionalDepartmentName = HOSPITAL.department
    dataset.StationName = "LINDENMOOR-US1"
    dataset.DeviceSerialNumber = f"SN{sum(machine.model.encode()) * 7919}"
    dataset.SoftwareVersions = "3.1"


def _image(
    dataset: Dataset,
    person: Person,
    shot: Shot,
    machine: Machine,
    when: dt.datetime,
    number: int,
    screen: Screen,
) -> None:
    mode = "0011" if shot.kind is Kind.DOPPLER else "0001"  # C.8.5.6.1.1: 2D, and colour flow
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SMALL PARTS", mode]
    dataset.InstanceNumber = number
    dataset.ContentDate = dataset.AcquisitionDate = f"{when:%Y%m%d}"
    dataset.ContentTime = dataset.AcquisitionTime = f"{when:%H%M%S}"
    dataset.AcquisitionDateTime = f"{when:%Y%m%d%H%M%S}"
    dataset.PatientOrientation = ""
    # Machines say so although a name stands in the banner.
    dataset.BurnedInAnnotation = "NO"
    dataset.ImageComments = f"{person.family.title()} {person.birth:%d.%m.%Y}"
    dataset.UltrasoundColorDataPresent = int(shot.kind is Kind.DOPPLER)
    dataset.TransducerType = "LINEAR"
    dataset.TransducerData = machine.probe
    picture = screen.pictures[0]
    depth = 10.0 * picture.delta_cm[1] * picture.pixels.shape[0]
    dataset.DepthOfScanField = round(depth)
    dataset.MechanicalIndex = "0.9"
    dataset.ProtocolName = f"Breast {person.initials}"


def _regions(screen: Screen, shot: Shot, machine: Machine) -> list[Dataset]:
    """Describe the fields of view, and the colour box if the machine does so (C.8.5.5)."""
    places = [(one.place, one.delta_cm, _TISSUE) for one in screen.pictures]
    if shot.regions is Regions.WHOLE_FRAME:
        places = [((0, 0, machine.columns, machine.rows), places[0][1], _TISSUE)]
    elif screen.colour_box is not None and shot.colour_region:
        places.append((screen.colour_box, places[0][1], _COLOUR_FLOW))
    items = []
    for (left, top, right, bottom), delta, kind in places:
        item = Dataset()
        item.RegionSpatialFormat = 1
        item.RegionDataType = kind
        item.RegionFlags = 0
        item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
        # The last pixel belongs to the region (C.8.5.5.1.14).
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right - 1, bottom - 1
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = _CM
        item.PhysicalDeltaX, item.PhysicalDeltaY = delta
        item.TransducerFrequency = round(2000 * DEVICES[machine.style].frequency_mhz)
        items.append(item)
    return items


def _private(dataset: Dataset, person: Person, visit: Examination) -> None:
    block = dataset.private_block(0x6001, PRIVATE_CREATOR, create=True)
    block.add_new(0x01, "LO", f"{person.family}, {person.given}")
    block.add_new(0x02, "PN", person.name)
    block.add_new(0x03, "DA", f"{person.birth:%Y%m%d}")
    block.add_new(0x04, "UN", f"PID={person.patient_id};ACC={visit.accession}".encode())
    item = Dataset()
    item.PatientID = person.patient_id
    item.PatientName = person.name
    block.add_new(0x05, "SQ", Sequence([item]))
    text = f"{HOSPITAL.name}|{person.family}|{visit.operator}|{person.telephone}".encode()
    block.add_new(0x06, "OB", text + b"\0" * (len(text) % 2))


def _overlay(dataset: Dataset, person: Person, machine: Machine) -> None:
    """Add an overlay plane (C.9.2) that shows name and id as letters of single bits."""
    plane = Image.new("1", (machine.columns, machine.rows))
    draw = ImageDraw.Draw(plane)
    draw.fontmode = "1"
    words = f"{person.family} {person.patient_id}"
    draw.text((20, machine.rows - 40), words, fill=1, font=ImageFont.load_default(18))
    bits = np.packbits(np.asarray(plane, np.uint8).ravel(), bitorder="little").tobytes()
    dataset.add_new(0x60000010, "US", machine.rows)
    dataset.add_new(0x60000011, "US", machine.columns)
    dataset.add_new(0x60000022, "LO", f"Name of {person.given.title()}")
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60001500, "LO", f"{person.patient_id}")
    dataset.add_new(0x60003000, "OW", bits + b"\0" * (len(bits) % 2))
