"""Small files as scanners write them, legal unless a test asks for the contrary."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from bussynth.config import RunOptions
from bussynth.dicom.cohort import DicomIngestResult, ingest_dicom
from bussynth.dicom.config import DeidentifyConfig
from bussynth.dicom.deidentify import DeidentifyResult, deidentify_folder
from bussynth.ingest.config import IngestConfig
from privacy.deidentify.bounded import Failed
from privacy.deidentify.worker import failed

US = "1.2.840.10008.5.1.4.1.1.6.1"
US_LOOP = "1.2.840.10008.5.1.4.1.1.3.1"
ROWS, COLUMNS = 80, 112
# Left, top, right, bottom; the last two belong to the region.
REGION = (16, 12, 95, 71)

MakeFile = Callable[..., bytes]


def region(corners: tuple[int, int, int, int] = REGION, *, form: int = 1, kind: int = 1) -> Dataset:
    """One item of Sequence of Ultrasound Regions."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = form, kind, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = corners[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = corners[2:]
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.005
    return item


def tissue(seed: int, shape: tuple[int, ...] = (ROWS, COLUMNS)) -> NDArray[np.uint8]:
    """Smooth gray without anything that looks like a stroke."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 90, (shape[0] // 8 + 1, shape[1] // 8 + 1)).astype(np.uint8)
    gray = np.kron(coarse, np.ones((8, 8), np.uint8))[: shape[0], : shape[1]]
    return gray if len(shape) == 2 else np.repeat(gray[..., None], shape[2], axis=2)


def plain(canary: str, number: int = 1) -> Dataset:
    """An object of one patient, whose every name and number holds a canary."""
    dataset = Dataset()
    dataset.SOPClassUID = UID(US)
    dataset.SOPInstanceUID = UID(f"1.2.3.4.{number}.1")
    dataset.StudyInstanceUID = UID(f"1.2.3.4.{number}.2")
    dataset.SeriesInstanceUID = UID(f"1.2.3.4.{number}.3")
    dataset.Modality = "US"
    dataset.PatientName = f"{canary}^Jane{number}"
    dataset.PatientID = f"{canary}-{number}"
    dataset.PatientBirthDate = "19610203"
    dataset.AccessionNumber = f"{canary}{number}"[:16]
    dataset.StudyDate = "20200310"
    dataset.InstitutionName = f"{canary} clinic"
    dataset.StudyDescription = f"{canary} left breast"
    dataset.Manufacturer = "GE Medical Systems"
    dataset.ManufacturerModelName = "LOGIQE9"
    dataset.SequenceOfUltrasoundRegions = [region()]
    return dataset


@pytest.fixture(scope="session")
def make_file() -> MakeFile:
    """Write a file.

    ``pixels`` is an array, bytes, a list of compressed frames or None for none; attributes go by
    name, and one of None is left out; ``extra`` may do what it likes to the dataset.
    """

    def make(
        pixels: NDArray[Any] | bytes | Sequence[bytes] | None = None,
        *,
        canary: str = "ZZCANARY",
        number: int = 1,
        syntax: str = ExplicitVRLittleEndian,
        preamble: bytes = bytes(128),
        extra: Callable[[Dataset], object] | None = None,
        absent: Sequence[str] = (),
        meta: dict[str, Any] | None = None,
        **attributes: Any,
    ) -> bytes:
        dataset = plain(canary, number)
        if pixels is None:
            pixels = tissue(number)
        shape = pixels.shape if isinstance(pixels, np.ndarray) else (ROWS, COLUMNS)
        colour = len(shape) > 2 and shape[-1] == 3
        size = shape[:-1] if colour else shape
        if len(size) == 3:
            dataset.NumberOfFrames = size[0]
            dataset.SOPClassUID = UID(US_LOOP)
        dataset.Rows, dataset.Columns = size[-2:]
        dataset.SamplesPerPixel = 3 if colour else 1
        dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
        if colour:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        for keyword in absent:
            delattr(dataset, keyword)
        if extra is not None:
            extra(dataset)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        for keyword, value in (meta or {}).items():
            setattr(dataset.file_meta, keyword, value)
        dataset.preamble = preamble
        if isinstance(pixels, np.ndarray):
            data = pixels.tobytes()
            dataset.add_new(0x7FE00010, "OB", data + b"\0" * (len(data) % 2))
        elif isinstance(pixels, bytes):
            dataset.add_new(0x7FE00010, "OB", pixels)
        else:
            dataset.add_new(0x7FE00010, "OB", encapsulate(list(pixels), has_bot=False))
            dataset["PixelData"].is_undefined_length = True
        out = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tests write what pydicom warns of
            dcmwrite(out, dataset, enforce_file_format=True, force_encoding=False)
        return out.getvalue()

    return make


@pytest.fixture(scope="session")
def make_region() -> Callable[..., Dataset]:
    return region


@pytest.fixture(scope="session")
def make_tissue() -> Callable[..., NDArray[np.uint8]]:
    return tissue


@pytest.fixture(scope="session")
def element() -> Callable[..., bytes]:
    """Write an element in explicit VR, little endian, of any length told."""

    def write(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
        size = len(value) if length is None else length
        head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
        if vr in ("OB", "OW", "SQ", "UN", "UT"):
            return head + struct.pack("<HL", 0, size) + value
        return head + struct.pack("<H", size) + value

    return write


MAP = """
[dicom]
[conditions.pathology]
constant = "benign"
[conditions.device]
from = "equipment"
"""


@dataclass
class Hospital:
    """A folder of files, and both verbs on it."""

    root: Path
    make: MakeFile

    @property
    def src(self) -> Path:
        return self.root / "source"

    @property
    def key(self) -> Path:
        return self.root / "keys" / "site.key"

    def add(self, name: str, *pixels: Any, **options: Any) -> Path:
        path = self.src / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.make(*pixels, **options))
        return path

    def deidentify(
        self,
        out: str = "out",
        *,
        workers: int = 1,
        key: Path | None = None,
        link: Path | None = None,
        force: bool = False,
        **options: Any,
    ) -> DeidentifyResult:
        options.setdefault("text_engine", "none")
        return deidentify_folder(
            self.src,
            self.root / out,
            config=DeidentifyConfig(**options),
            site_key=key or self.key,
            link=link,
            options=RunOptions(workers=workers),
            force=force,
        )

    def ingest(
        self, out: str = "cohort", *, map: str = MAP, table: str | None = None, **options: Any
    ) -> DicomIngestResult:
        options = {"text_engine": "none", "image_size": 32} | options
        (self.root / "map.toml").write_text(map)
        if table is not None:
            (self.root / "table.csv").write_text(table)
        return ingest_dicom(
            self.src,
            self.root / out,
            map_path=self.root / "map.toml",
            table=None if table is None else self.root / "table.csv",
            site_key=self.key,
            config=IngestConfig(**options),
        )

    def tree(self, out: str = "out") -> dict[str, bytes]:
        """All bytes of an output, by place."""
        folder = self.root / out
        paths = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    def works(self, out: str = "out") -> list[Path]:
        """Work folders beside an output."""
        return sorted(self.root.glob(f".{out}.*"))


@pytest.fixture
def hospital(tmp_path: Path, make_file: MakeFile) -> Hospital:
    return Hospital(tmp_path, make_file)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do the work of workers in this process, for tests that are about something else."""

    def results(
        work: Callable[[Any], Any], items: Iterable[Any], *, prepare: Callable[[], object], **_: Any
    ) -> Generator[tuple[int, Any | Failed], None, None]:
        prepare()
        for position, item in enumerate(items):
            try:
                result = work(item)
            except Exception as error:
                result = failed(error)
            yield position, result

    monkeypatch.setattr("bussynth.dicom.run.bounded_results", results)
