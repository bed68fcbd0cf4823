"""How fast files are de-identified, beside pydicom that only decodes them.

::

    python -m benchmarks.deidentify_speed [--data FOLDER ...] [--engine none] [--repeats 5]

Both work on the same files in one process, in turn: ours opens, checks, decodes, crops, rebuilds,
checks again, and writes the object and its picture for the review; pydicom reads and decodes.
Without a folder it is a phantom hospital, and loops of 60 frames in four codecs made from it.
Times are those of the processor, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from bussynth.cohort.phantom.config import HospitalConfig
from bussynth.cohort.phantom.hospital.folder import write_phantom_hospital
from bussynth.dicom.process import Job, prepare, process
from bussynth.dicom.record import KEPT
from bussynth.dicom.sources import Source, find_sources
from privacy.deidentify.settings import OnColour, Settings
from privacy.pseudonym import SiteKey

CODECS = {
    "native": ExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}


def loops(source: Path, out: Path, frames: int = 60) -> None:
    """Write a loop in each codec from a gray file of the hospital."""
    for path in sorted(source.rglob("*")):
        if not path.is_file() or path.suffix == ".TXT":
            continue
        found = dcmread(path)
        if found.get("PhotometricInterpretation") == "MONOCHROME2" and found.get(
            "SequenceOfUltrasoundRegions"
        ):
            break
    image = found.pixel_array.reshape(-1, found.Rows, found.Columns)[0]
    shifted = np.stack([np.roll(image, number, axis=1) for number in range(frames)])
    for name, syntax in CODECS.items():
        new = Dataset()
        for keyword in [
            "SOPClassUID",
            "PatientID",
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "Rows",
            "Columns",
            "BitsAllocated",
            "BitsStored",
            "HighBit",
            "SamplesPerPixel",
            "PixelRepresentation",
            "PhotometricInterpretation",
        ]:
            setattr(new, keyword, found[keyword].value)
        new.SOPInstanceUID = f"{found.SOPInstanceUID[:40]}.{len(name)}"
        new.NumberOfFrames = frames
        new.FrameTime = 40
        new.SequenceOfUltrasoundRegions = Sequence(list(found.SequenceOfUltrasoundRegions))
        new.file_meta = found.file_meta
        new.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        new.PixelData = shifted.tobytes()
        if syntax != ExplicitVRLittleEndian:
            new.compress(syntax, generate_instance_uid=False)
        folder = out / name
        folder.mkdir(parents=True)
        new.save_as(folder / "loop.dcm", enforce_file_format=True)


def seconds(job: Callable[[], object]) -> float:
    """Processor time of a job."""
    start = time.process_time()
    job()
    return time.process_time() - start


def decode(sources: list[Source]) -> None:
    """What pydicom does, frame by frame where there are several."""
    for source in sources:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = dcmread(source.path)
                _ = dataset.pixel_array
            except Exception:  # what it does not read costs it nothing
                continue


def measure(name: str, folder: Path, engine: str, repeats: int, work: Path) -> str:
    """Return a row of the table."""
    key = work / "site.key"
    secret = SiteKey.load(key) if key.exists() else SiteKey.create(key)
    sources, _ = find_sources(folder, secret)
    settings = Settings(text_engine=engine, on_colour=OnColour.KEEP)
    ratios, rates = [], []
    kept = frames = 0
    for repeat in range(repeats + 1):
        job = Job(settings=settings, key=key, work=work / f"{name}-{repeat}")
        prepare(job)
        plain = seconds(lambda: decode(sources))
        start = time.process_time()
        records = [process(source, job) for source in sources]
        own = time.process_time() - start
        kept = sum(record.decision == KEPT for record in records)
        frames = sum(len(record.images) for record in records)
        if repeat:
            ratios.append(plain / own)
            rates.append(frames / own)
    low, high = min(ratios), max(ratios)
    return (
        f"| {name} | {len(sources)} | {kept} | {frames} | {statistics.median(rates):.0f} | "
        f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}) |"
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--engine", default="none")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folders = {path.name: path for path in given.data}
        if not folders:
            write_phantom_hospital(work / "hospital", HospitalConfig(patients=12, seed=1))
            loops(work / "hospital" / "DICOM", work / "loops")
            folders = {"phantom hospital": work / "hospital" / "DICOM"}
            folders |= {f"loop, {codec}": work / "loops" / codec for codec in CODECS}
        print(f"Text engine {given.engine}; one process; pydicom's rate is 1.")
        print("| files | number | kept | frames | frames a second | rate beside pydicom's |")
        print("|---|---|---|---|---|---|")
        for name, folder in folders.items():
            print(measure(name, folder, given.engine, given.repeats, work), flush=True)


if __name__ == "__main__":
    main()
