"""A legal ultrasound object as a scanner makes it, full of what must not survive."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from privacy.deidentify.frame_data import FrameFormat
from privacy.pseudonym import SiteKey

US = "1.2.840.10008.5.1.4.1.1.6.1"


def plain_source(sop_class: str = US) -> Dataset:
    """An object as it comes from a scanner, without anything hostile."""
    source = Dataset()
    source.SOPClassUID = UID(sop_class)
    source.SOPInstanceUID = UID("1.2.3.4.5.6.7.1")
    source.StudyInstanceUID = UID("1.2.3.4.5.6.7")
    source.SeriesInstanceUID = UID("1.2.3.4.5.6.7.2")
    source.ImageType = ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0001"]
    source.Modality = "US"
    source.PatientID = "00012345"
    source.PatientName = "Doe^Jane"
    source.PatientBirthDate = "19610203"
    source.PatientSex = "F"
    source.PatientAge = "058Y"
    source.StudyDate = "20200310"
    source.StudyTime = "101112"
    source.ContentDate = "20200311"
    source.SeriesNumber = "3"
    source.InstanceNumber = "12"
    source.Manufacturer = "GE Medical Systems"
    source.ManufacturerModelName = "LOGIQE9"
    source.Laterality = "L"
    source.BodyPartExamined = "BREAST"
    source.TransducerType = "LINEAR"
    source.DepthOfScanField = "40"
    source.MechanicalIndex = "0.98765"
    source.UltrasoundColorDataPresent = 0
    source.FrameTime = "33.3333"
    source.Rows, source.Columns = 4, 6
    source.SamplesPerPixel = 1
    source.BitsAllocated = source.BitsStored = 8
    source.HighBit = 7
    source.PixelRepresentation = 0
    source.PhotometricInterpretation = "MONOCHROME2"
    source.PixelData = bytes(24)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    source.file_meta = meta
    return source


def as_read(source: Dataset) -> Dataset:
    """The object after a round trip through a file, so that its elements are unconverted."""
    buffer = BytesIO()
    dcmwrite(buffer, source, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def deep(levels: int) -> Dataset:
    """An object with sequences in sequences."""
    inner = Dataset()
    inner.PatientName = "Deep^Down"
    for _ in range(levels):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([inner])
        inner = outer
    source = plain_source()
    source.ReferencedImageSequence = inner.ReferencedImageSequence
    return source


@pytest.fixture
def source() -> Dataset:
    return plain_source()


@pytest.fixture
def make_source() -> Callable[..., Dataset]:
    return plain_source


@pytest.fixture
def read() -> Callable[[Dataset], Dataset]:
    return as_read


@pytest.fixture
def make_deep() -> Callable[[int], Dataset]:
    return deep


@pytest.fixture
def site_key() -> SiteKey:
    return SiteKey(bytes(range(32)))


@pytest.fixture
def other_key() -> SiteKey:
    return SiteKey(bytes(range(1, 33)))


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.arange(24, dtype=np.uint8).reshape(1, 4, 6)


@pytest.fixture
def frames(pixels: NDArray[np.uint8]) -> FrameFormat:
    return FrameFormat.of(pixels, cleaned=True)
