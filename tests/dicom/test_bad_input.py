"""One folder of everything that can be wrong, and what both verbs make of it, file by file."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from bussynth.cohort import Cohort

sys.path.insert(0, str(Path(__file__).parent / "catalogue"))

from bad_files import CASES, FILE, KEPT, LEFT, PATIENT, WAITS, Tools, numbers

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="names of any bytes, and pipes, among the files"
)


@dataclass(frozen=True)
class Ran:
    """What a verb left behind."""

    answer: dict[str, Any]
    spoken: bytes
    out: Path
    link: list[dict[str, str]]
    raw_link: bytes

    def of(self, name: str) -> list[dict[str, str]]:
        """The lines of a case, in order."""
        start = numbers()[name]
        places = range(start, start + CASES[name].files)
        tails = [f"_{place:03d}" for place in places]
        return [row for tail in tails for row in self.link if row["path"].endswith(tail)]


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    make_file: Callable[..., bytes],
    make_region: Callable[..., Dataset],
    make_tissue: Callable[..., NDArray[np.uint8]],
    element: Callable[..., bytes],
) -> Path:
    """A folder with all files, in two levels."""
    root = tmp_path_factory.mktemp("hospital")
    tools = Tools(make_file, make_region, make_tissue, element)
    for name, start in numbers().items():
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")  # pydicom warns of most of them
            made = CASES[name].make(tools, start)
        assert len(made) == CASES[name].files, name
        below = root / "source" / f"{FILE}_{start % 5}"
        below.mkdir(parents=True, exist_ok=True)
        for place, data in enumerate(made):
            tail = f"_{FILE}_{start + place:03d}".encode()
            if CASES[name].names:
                # Beside the folders, so that the path begins with it.
                path = os.fsencode(root / "source") + b"/" + CASES[name].names[place] + tail
            else:
                path = os.fsencode(below) + b"/" + name.encode() + tail
            Path(os.fsdecode(path)).write_bytes(data)
    os.mkfifo(root / "source" / f"{FILE}_pipe")
    return root


def run(verb: str, root: Path, out: str, *arguments: str) -> Ran:
    command = [sys.executable, "-m", "bussynth", verb, str(root / "source"), str(root / out)]
    command += ["--site-key", str(root / "keys" / "site.key"), "--text-engine", "strokes"]
    command += ["--link", str(root / f"{out}.csv"), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    spoken = done.stdout + done.stderr
    assert done.returncode == 0, spoken.decode()
    raw = (root / f"{out}.csv").read_bytes()
    with (root / f"{out}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Ran(json.loads(done.stdout)["result"], spoken, root / out, rows, raw)


@pytest.fixture(scope="module")
def deidentified(folder: Path) -> Ran:
    return run("deidentify", folder, "out", "--keep-characteristics", "--keep-device")


@pytest.fixture(scope="module")
def ingested(folder: Path) -> Ran:
    (folder / "map.toml").write_text(
        '[dicom]\n[conditions.pathology]\nconstant = "benign"\n'
        '[conditions.device]\nfrom = "equipment"\n'
    )
    return run("ingest", folder, "cohort", "--map", str(folder / "map.toml"), "--image-size", "32")


@pytest.mark.parametrize("name", CASES)
def test_every_file_has_its_decision(name: str, deidentified: Ran, ingested: Ran) -> None:
    wanted = [(CASES[name].decision, CASES[name].reason)] * CASES[name].files
    for ran in (deidentified, ingested):
        rows = ran.of(name)
        assert [(row["decision"], row["reason"]) for row in rows] == wanted
        assert all(bool(row["outputs"]) == (row["decision"] == KEPT) for row in rows)
        assert all(bool(row["patient"]) == (row["decision"] == KEPT) for row in rows)


def test_the_counts_are_those_of_the_list(deidentified: Ran, ingested: Ran) -> None:
    for ran in (deidentified, ingested):
        kept = [row for row in ran.link if row["decision"] == KEPT]
        assert ran.answer["files"] == len(ran.link) == sum(one.files for one in CASES.values())
        assert ran.answer["kept"] == len(kept)
        assert ran.answer["patients"] == len({row["patient"] for row in kept})
        for decision, key in ((WAITS, "quarantined"), (LEFT, "left_out")):
            reasons = [row["reason"] for row in ran.link if row["decision"] == decision]
            assert ran.answer[key] == {one: reasons.count(one) for one in sorted(set(reasons))}


def texts_of(ran: Ran) -> Iterator[bytes]:
    """All that was written, compressed tables unpacked, names of files included."""
    for path in ran.out.rglob("*"):
        yield os.fsencode(path.relative_to(ran.out))
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield repr(table.schema).encode()
            for column in table.columns:
                yield b" ".join(str(one).encode() for one in column.to_pylist())
        if path.is_file():
            yield path.read_bytes()


def test_nothing_of_patients_or_files_leaves(deidentified: Ran, ingested: Ran) -> None:
    for ran in (deidentified, ingested):
        for text in (*texts_of(ran), ran.spoken):
            for canary in (PATIENT, FILE, "70707"):
                assert canary.encode() not in text
                assert canary.encode("utf-16-le") not in text
        assert PATIENT.encode() not in ran.raw_link
        assert b"\x1b" not in ran.spoken
        # What was not kept is named by nothing but our own sentences.
        assert all(row["why"].isascii() and len(row["why"]) < 300 for row in ran.link)


def test_only_files_of_our_own_naming(deidentified: Ran, ingested: Ran, folder: Path) -> None:
    objects = re.compile(r"files/[0-9a-f]{32}/2\.25\.[0-9]+\.dcm")
    found = [path for path in deidentified.out.rglob("*") if path.is_file()]
    names = {str(path.relative_to(deidentified.out)) for path in found}
    rest = {name for name in names if not objects.fullmatch(name)}
    review = {"review/decisions.jsonl", "review/previews.parquet"}
    assert rest == {"deidentification.json"} | review
    uids = {uid for row in deidentified.link for uid in row["outputs"].split()}
    assert {Path(name).stem for name in names - rest} == uids
    # No work folder, nothing beside the outputs, nothing where a UID pointed to.
    assert {path.name for path in folder.iterdir()} == {
        *("source", "out", "out.csv", "cohort", "cohort.csv", "keys", "map.toml")
    }


def test_objects_say_what_they_are_and_nothing_else(deidentified: Ran) -> None:
    paths = list(deidentified.out.rglob("*.dcm"))
    assert len(paths) == deidentified.answer["images"]
    for path in paths:
        head = path.read_bytes()[:132]
        assert head == bytes(128) + b"DICM"
        one = pydicom.dcmread(path)
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID == path.stem
        assert one.PatientID == path.parent.name
        assert one.pixel_array.shape[:2] == (one.Rows, one.Columns)
        assert one.PatientIdentityRemoved == "NO"  # no engine that reads text was used


def test_text_is_painted_over_whatever_the_file_says(deidentified: Ran) -> None:
    row = deidentified.of("n098_burned_in_whatever_is_said")[0]
    path = next(deidentified.out.rglob(f"{row['outputs']}.dcm"))
    pixels = pydicom.dcmread(path).pixel_array
    assert pixels.max() < 128  # the letters were white
    assert (pixels == 0).sum() > 500
    assert "BurnedInAnnotation" not in pydicom.dcmread(path)


def test_marks_in_colour_are_painted_over(deidentified: Ran) -> None:
    row = deidentified.of("n103_calipers_in_colour")[0]
    one = pydicom.dcmread(next(deidentified.out.rglob(f"{row['outputs']}.dcm")))
    assert one.PhotometricInterpretation == "MONOCHROME2"
    assert one.pixel_array.max() < 128


def test_two_views_become_two_objects(deidentified: Ran, ingested: Ran) -> None:
    for ran in (deidentified, ingested):
        assert len(ran.of("n102_dual_view")[0]["outputs"].split()) == 2


def test_leading_zeros_are_two_patients(deidentified: Ran) -> None:
    rows = deidentified.of("n108_leading_zeros")
    assert rows[0]["patient"] != rows[1]["patient"]


def test_both_verbs_give_the_same_pseudonyms(deidentified: Ran, ingested: Ran) -> None:
    pairs = zip(deidentified.link, ingested.link, strict=True)
    assert all((one["file"], one["patient"]) == (two["file"], two["patient"]) for one, two in pairs)
    cohort = Cohort.open(ingested.out)
    assert {row.patient for row in cohort} == {
        row["patient"] for row in ingested.link if row["patient"]
    }


def test_no_cell_is_a_formula(deidentified: Ran) -> None:
    rows = deidentified.of("n112_file_names")
    starts = [row["path"][:2] for row in rows]
    assert starts[:6] == ["'=", "'+", "'-", "'@", "'\t", "'\r"]
    cells = [cell for row in deidentified.link for cell in row.values()]
    assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for cell in cells)
