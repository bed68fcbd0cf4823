"""Files with a few bytes changed: always a decision, never an error or a name."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from bussynth.dicom.config import DeidentifyConfig
from bussynth.dicom.process import Job, process
from bussynth.dicom.run import make_settings
from bussynth.dicom.sources import find_sources
from privacy.deidentify.policy import Dates, Policy
from privacy.pseudonym import SiteKey

CANARY = b"ZZCANARY"
COUNT = 60


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Change some bytes of the header, or cut, repeat or leave out a piece."""
    out = bytearray(data)
    header = len(data) - 9000
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = int(rng.integers(128, header))
        size = int(rng.choice([1, 2, 4, 8, 40]))
        match int(rng.integers(0, 8)):
            case 0:
                out[at : at + size] = rng.bytes(size)
            case 1:
                out[at : at + size] = b"\xff" * size
            case 2:
                out[at : at + size] = b""
            case 3:
                out[at:at] = out[at : at + size]
            case _:
                out[at] ^= 1 << int(rng.integers(0, 8))
    return bytes(out)


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGBaseline8Bit],
    ids=["explicit", "implicit", "big-endian", "jpeg"],
)
@pytest.mark.parametrize("size", [None, 32], ids=["objects", "images"])
def test_broken_files_get_a_decision(
    tmp_path: Path,
    make_file: Callable[..., bytes],
    make_tissue: Callable[..., NDArray[np.uint8]],
    syntax: str,
    size: int | None,
) -> None:
    pixels: object = make_tissue(1)
    if syntax == JPEGBaseline8Bit:
        out = io.BytesIO()
        Image.fromarray(make_tissue(1)).save(out, "JPEG", quality=95, comment=b"x" * 9000)
        pixels = [out.getvalue() + b"\0" * (out.tell() % 2)]
    whole = make_file(pixels, syntax=syntax, PatientSex="F", PatientAge="058Y")
    rng = np.random.default_rng(int(size or 0))
    source, work = tmp_path / "source", tmp_path / "work"
    source.mkdir()
    for number in range(COUNT):
        data = whole if number == 0 else mutated(whole, rng)
        (source / f"{CANARY.decode()}{number:03d}").write_bytes(data)
    key = SiteKey.create(tmp_path / "site.key")
    policy = Policy(dates=Dates.SHIFT, patient_characteristics=True, device=True)
    settings = make_settings(DeidentifyConfig(text_engine="none"), (), policy)
    job = Job(settings=settings, key=tmp_path / "site.key", work=work, image_size=size)
    decisions: Counter[str] = Counter()
    for one in find_sources(source, key)[0]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # workers have no console
            record = process(one, job)
        decisions[record.decision] += 1
        assert one.number > 1 or record.decision == "kept"
        assert CANARY.decode() not in json.dumps(record.to_dict()) + repr(record)
    assert min(decisions["kept"], decisions["quarantined"]) >= 3, decisions
    for path in work.rglob("*"):
        assert CANARY.decode() not in path.name
        assert not path.is_file() or CANARY not in path.read_bytes()
    shutil.rmtree(work)
