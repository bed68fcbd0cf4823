"""Small ultrasound files with any pixels, legal unless a test asks for the contrary."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

CANARY = "ZZCANARY"

MakeFile = Callable[..., io.BytesIO]


def plain(rows: int = 4, columns: int = 6, samples: int = 1) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.6.1")
    dataset.SOPInstanceUID = UID("1.2.3.4")
    dataset.PatientName = CANARY
    dataset.PatientID = CANARY
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.Rows = rows
    dataset.Columns = columns
    dataset.BitsAllocated = 8
    dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    return dataset


@pytest.fixture
def make_file() -> MakeFile:
    """Write a file: ``pixels`` as bytes, or as a list of compressed frames; attributes by name.

    An attribute of None is left out; ``regions`` is a list of datasets.
    """

    def make(
        pixels: bytes | Sequence[bytes],
        *,
        shape: tuple[int, ...] = (4, 6),
        syntax: str = ExplicitVRLittleEndian,
        vr: str = "OB",
        table: bool = False,
        fragments: int = 1,
        extra: Callable[[Dataset], object] | None = None,
        **attributes: Any,
    ) -> io.BytesIO:
        dataset = plain(shape[0], shape[1], shape[2] if len(shape) == 3 else 1)
        if attributes.get("BitsStored") and "HighBit" not in attributes:
            attributes["HighBit"] = attributes["BitsStored"] - 1
        for name, value in attributes.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        if extra is not None:
            extra(dataset)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = UID(syntax)
        dataset.file_meta = meta
        compressed = not isinstance(pixels, bytes)
        data = (
            encapsulate(list(pixels), fragments_per_frame=fragments, has_bot=table)
            if compressed
            else pixels
        )
        dataset.add_new(0x7FE00010, "OB" if compressed else vr, data)
        if compressed:
            dataset["PixelData"].is_undefined_length = True
        out = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tests write what pydicom warns of
            dcmwrite(out, dataset, enforce_file_format=True, force_encoding=False)
        out.seek(0)
        return out

    return make
