"""Runs that are killed, starved, misdirected or repeated."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

import bussynth.cli.deidentify
import bussynth.cli.ingest  # noqa: F401  (registers the verbs)
from bussynth.cli.verb import VERBS
from bussynth.dicom import process as process_module
from bussynth.dicom.config import DeidentifyConfig
from bussynth.dicom.journal import Journal
from bussynth.dicom.process import Job, image_path, object_path, preview_path, process
from bussynth.dicom.record import FileRecord
from bussynth.dicom.run import make_settings, work_folder
from bussynth.dicom.sources import find_sources
from bussynth.errors import DataError, UsageError
from privacy.deidentify.bounds import Bounds, Failed, Failure
from privacy.pseudonym import SiteKey

CANARY = "ZZCANARY"
Tissue = Callable[..., NDArray[np.uint8]]


# Killed and started again


def start(hospital: Any, out: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bussynth", "deidentify", str(hospital.src)]
    command += [str(hospital.root / out), "--site-key", str(hospital.key), "--quiet"]
    command += ["--text-engine", "strokes"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def lines_of(work: Path) -> list[FileRecord]:
    lines = (work / "journal.jsonl").read_bytes().split(b"\n")[:-1]
    return [FileRecord.from_dict(json.loads(line)) for line in lines]


def end_when(
    hospital: Any, run: subprocess.Popen[bytes], out: str, count: int, how: signal.Signals
) -> Path:
    """Send a signal when the journal has so many lines; return the work folder."""
    stop = time.monotonic() + 60
    while time.monotonic() < stop and run.poll() is None:
        for work in hospital.works(out):
            journal = work / "journal.jsonl"
            if journal.exists() and journal.read_bytes().count(b"\n") >= count:
                os.killpg(run.pid, how)
                run.wait(30)
                return Path(work)
        time.sleep(0.002)
    run.kill()
    pytest.fail("it ended before it could be ended")


def stamps(work: Path, records: list[FileRecord]) -> dict[str, tuple[int, int]]:
    """When each object was written, and which file it is."""
    found = {}
    for record in records:
        for one in record.objects:
            status = object_path(work, record.name, one.uid).stat()
            found[one.path] = (status.st_mtime_ns, status.st_ino)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_interrupted_then_killed_then_finished(
    hospital: Any, make_tissue: Tissue, inline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = make_tissue(3, (240, 320))
    loop = np.stack([np.roll(pixels, shift, 1) for shift in range(6)])
    for number in range(1, 41):
        own = np.roll(loop, 6 * number, 2)
        hospital.add(f"{CANARY}{number % 3}/{number}", own, number=number, FrameTime="33.3")
    # One archive sends an object several times, with another header: the first is taken, whoever
    # of the workers is faster.
    for place in range(12):
        hospital.add(f"copies/{place:02d}", pixels, number=99, InstanceNumber=place)
    whole = hospital.deidentify("whole", text_engine="strokes")
    assert whole.counts["kept"] == 41
    assert whole.counts["left_out"] == {"duplicate": 11}

    add = Journal.add

    def interrupt(self: Journal, record: FileRecord) -> None:
        add(self, record)
        if record.number == 5:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as context:
        context.setattr(Journal, "add", interrupt)
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command("deidentify")(VERBS["deidentify"][0])
        arguments = [str(hospital.src), str(hospital.root / "out"), "--text-engine", "strokes"]
        result = CliRunner().invoke(app, [*arguments, "--site-key", str(hospital.key)])
    assert result.exit_code == 130
    assert "Interrupted" in result.output
    assert CANARY not in result.output
    assert not (hospital.root / "out").exists()
    (work,) = hospital.works("out")
    interrupted = lines_of(work)
    assert len(interrupted) == 5
    before = stamps(work, interrupted)

    with start(hospital, "out") as run:
        again = end_when(hospital, run, "out", len(interrupted) + 3, signal.SIGKILL)
    assert again == work
    assert not (hospital.root / "out").exists()
    killed = lines_of(work)
    assert len(interrupted) + 3 <= len(killed) < 52
    assert len({record.name for record in killed}) == len(killed)
    assert before.items() <= stamps(work, killed).items()
    before = stamps(work, killed)
    # A line of another version, and one of which the disk took only half.
    with (work / "journal.jsonl").open("ab") as file:
        file.write(b'{"number": 1}\n{"number": 39, "name": "ab')

    monkeypatch.undo()
    done = hospital.deidentify("out", text_engine="strokes", workers=2)
    assert done.digest == whole.digest
    assert hospital.tree("out") == hospital.tree("whole")
    assert hospital.works("out") == []
    # Files of the output are those of the work folder: none was made twice.
    written = {
        place.name: (place.stat().st_mtime_ns, place.stat().st_ino)
        for place in (hospital.root / "out").rglob("*.dcm")
    }
    kept = {Path(place).name: stamp for place, stamp in before.items()}
    single = [name for name in kept if name in written]
    assert len(single) >= len(kept) - 1
    copies = {record.objects[0].uid for record in killed if record.frames == 1}
    assert all(written[name] == kept[name] for name in single if Path(name).stem not in copies)


def test_digests_are_those_of_the_first_of_several_copies(
    hospital: Any, make_tissue: Tissue, inline: None
) -> None:
    for number in range(4):
        hospital.add(f"{number}", make_tissue(1), number=1, InstanceNumber=number)
    done = hospital.deidentify()
    assert (done.counts["kept"], done.counts["left_out"]) == (1, {"duplicate": 3})
    (one,) = json.loads((hospital.root / "out" / "deidentification.json").read_text())["objects"]
    data = (hospital.root / "out" / one["path"]).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
    assert pydicom.dcmread(io.BytesIO(data)).InstanceNumber == 0


def _around(rows: int, columns: int) -> list[pydicom.Dataset]:
    item = pydicom.Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionFlags = item.RegionLocationMinX0 = 0
    item.RegionLocationMinY0 = 16
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = columns - 1, rows - 1
    return [item]


def test_a_file_that_hangs_costs_itself_only(hospital: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 96), dtype=np.uint8)
    loop = np.broadcast_to(noise[:, None], (64, 40, 96, 96)).reshape(-1, 96, 96)
    hospital.add("1", loop, number=1, FrameTime="33.3", SequenceOfUltrasoundRegions=_around(96, 96))
    hospital.add("2", number=2)
    done = hospital.deidentify(text_engine="strokes", time_limit=1)
    assert done.counts["kept"] == 1
    assert done.counts["quarantined"] == {"timed-out": 1}


def test_what_workers_report_becomes_a_reason(
    hospital: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = [*Failure, "fine"]
    for number in range(1, 6):
        hospital.add(str(number), number=number)

    def results(work: Any, items: list[Any], *, workers: int, bounds: Bounds, **_: Any) -> Any:
        assert workers == 3
        assert bounds == Bounds(seconds=7, memory_bytes=300 << 20)
        for place, (item, report) in enumerate(zip(items, reports, strict=True)):
            name = "JaneError" if report is Failure.ERROR else ""
            yield place, work(item) if report == "fine" else Failed(failure=report, error=name)

    monkeypatch.setattr("bussynth.dicom.run.bounded_results", results)
    done = hospital.deidentify(workers=3, time_limit=7, memory_limit=300)
    assert done.counts["kept"] == 1
    assert done.counts["quarantined"] == {
        "crashed": 1,
        "error": 1,
        "out-of-memory": 1,
        "timed-out": 1,
    }


# The work folder


@pytest.fixture
def job(hospital: Any) -> Job:
    SiteKey.create(hospital.key)
    settings = make_settings(DeidentifyConfig(text_engine="none"), ())
    return Job(settings=settings, key=hospital.key, work=hospital.root / "work")


def processed(hospital: Any, job: Job) -> list[FileRecord]:
    job.work.mkdir(exist_ok=True)
    sources, _ = find_sources(hospital.src, SiteKey.load(job.key))
    return [process(source, job) for source in sources]


@pytest.mark.parametrize("size", [None, 32])
def test_a_journal_believes_only_what_is_there(hospital: Any, job: Job, size: int | None) -> None:
    for number in range(1, 6):
        hospital.add(str(number), number=number)
    hospital.add("6", number=6, absent=["Rows"])
    job = replace(job, image_size=size)
    records = processed(hospital, job)
    journal = Journal(job.work)
    assert journal.read() == []
    journal.start(records[:2])
    with journal:
        for record in records[2:]:
            journal.add(record)
    assert journal.read() == records

    def written(record: FileRecord) -> Path:
        if size is not None:
            return image_path(job.work, record.images[0].id)
        return object_path(job.work, record.name, record.objects[0].uid)

    written(records[0]).unlink()
    data = written(records[1]).read_bytes()
    written(records[1]).write_bytes(data[:-100])
    written(records[2]).write_bytes(bytes(len(data)))
    preview_path(job.work, records[3].images[0].id).write_bytes(b"")
    assert journal.read() == records[4:]
    path = job.work / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])  # torn
    assert journal.read() == records[4:5]
    path.write_bytes(b"\xff\xfe\n[]\n" + b"[" * 100_000 + b"\n" + path.read_bytes())
    assert journal.read() == records[4:5]


def test_what_a_run_left_is_used_only_where_it_fits(
    hospital: Any, inline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5):
        hospital.add(f"{number}.dcm", number=number)
    seen: list[int] = []
    monkeypatch.setattr(
        "bussynth.dicom.run.process", lambda one, job: seen.append(one.number) or process(one, job)
    )
    monkeypatch.setattr(
        "bussynth.dicom.deidentify.write_link",
        lambda *_: (_ for _ in ()).throw(DataError("nothing today")),
    )

    def run(**options: Any) -> list[int]:
        seen.clear()
        with pytest.raises(DataError, match="nothing today"):
            hospital.deidentify(force=True, **options)
        assert len(hospital.works()) >= 1
        return list(seen)

    assert run() == [1, 2, 3, 4]
    assert run() == []
    assert run(dates="shift") == [1, 2, 3, 4]
    other = hospital.root / "other" / "site.key"
    SiteKey.create(other)
    assert run(key=other) == [1, 2, 3, 4]
    # The first folder is still there; a changed file and a new one are what is left to do.
    os.utime(hospital.src / "2.dcm", ns=(1, 1))
    hospital.add("0.dcm", number=9)
    hospital.src.joinpath("4.dcm").unlink()
    assert run() == [1, 3]
    assert run(time_limit=7) == [1, 2, 3, 4]
    monkeypatch.undo()


def test_a_file_that_could_not_be_read_is_tried_again(
    hospital: Any, inline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.add("1", number=1)
    path = hospital.add("2", number=2)

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return original(self, *arguments, **options)

    original = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    with monkeypatch.context() as context:
        context.setattr(
            "bussynth.dicom.deidentify._write",
            lambda *_, **__: (_ for _ in ()).throw(OSError("later")),
        )
        with pytest.raises(OSError, match="later"):
            hospital.deidentify()
    assert hospital.works()
    monkeypatch.setattr(Path, "open", original)
    assert hospital.deidentify().counts["kept"] == 2


def test_two_runs_of_one_command_do_not_meet(hospital: Any) -> None:
    content = {"some": "settings"}
    out = hospital.root / "out"
    with work_folder(out, "deidentifying", content) as work:
        with (
            pytest.raises(UsageError, match="running already"),
            work_folder(out, "deidentifying", content),
        ):
            pass
        with work_folder(out, "deidentifying", {"other": 1}) as other:
            assert other != work
    assert hospital.works() == []


def test_work_folders_of_other_outputs_stay(hospital: Any) -> None:
    beside = hospital.root / ".a.deidentifying-0123"
    beside.mkdir()
    with work_folder(hospital.root / "[ab]", "deidentifying", {}) as work:
        assert work.stat().st_mode & 0o077 == 0
    assert beside.exists()
    assert not work.exists()


def test_memory_does_not_grow_with_the_frames(
    hospital: Any, job: Job, make_tissue: Tissue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privacy.deidentify.examine._HELD_BYTES", 1 << 20)
    frame = make_tissue(1, (256, 256))
    around = {"FrameTime": "33.3", "SequenceOfUltrasoundRegions": _around(256, 256)}
    for name, count in (("0", 2), ("1", 30), ("2", 150)):
        hospital.add(name, np.repeat(frame[None], count, 0), number=count, **around)
    peaks = []
    sources, _ = find_sources(hospital.src, SiteKey.load(job.key))
    for source in sources:
        tracemalloc.start()
        record = process(source, job)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert record.decision == "kept"
    # 120 more frames of 64 KiB are 7 MiB.
    assert peaks[2] - peaks[1] < 2 << 20


# Places that cannot be used


def test_a_full_disk_stops_the_run_and_blames_no_file(
    hospital: Any, inline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        hospital.add(f"{CANARY}{number}", number=number)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as context:
        context.setattr(process_module, "_write", full)
        with pytest.raises(DataError, match="free space") as caught:
            hospital.deidentify()
    assert CANARY not in str(caught.value)
    assert not (hospital.root / "out").exists()
    assert [lines_of(work) for work in hospital.works()] == [[]]
    assert hospital.deidentify().counts["kept"] == 3


def test_errors_of_reading_and_of_writing_are_told_apart(
    hospital: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.add("1", number=1)
    job.work.mkdir()
    (job.work / "previews").write_bytes(b"")  # no folder can be made there
    sources, _ = find_sources(hospital.src, SiteKey.load(job.key))
    with pytest.raises(process_module.OutputError):
        process(sources[0], job)

    def broken(self: Any, view: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")
        yield

    monkeypatch.setattr("privacy.deidentify.examine.Examined.frames", broken)
    assert process(sources[0], job).reason == "cannot-be-read"


def test_n110_files_that_cannot_be_read(hospital: Any, job: Job) -> None:
    paths = [hospital.add(f"{CANARY}{number}", number=number) for number in range(3)]
    sources, _ = find_sources(hospital.src, SiteKey.load(job.key))
    job.work.mkdir()
    paths[0].unlink()
    paths[1].unlink()
    paths[1].mkdir()
    records = [process(source, job) for source in sources]
    assert [(one.decision, one.reason) for one in records] == [
        *[("quarantined", "cannot-be-read")] * 2,
        ("kept", "kept"),
    ]
    assert CANARY not in repr(records)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_n110_permissions(hospital: Any, job: Job) -> None:
    hospital.add("1", number=1).chmod(0)
    assert [one.reason for one in processed(hospital, job)] == ["cannot-be-read"]


def test_n111_files_that_change(hospital: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hospital.add("1", number=1)
    during = hospital.add("2", number=2)
    sources, _ = find_sources(hospital.src, SiteKey.load(job.key))
    job.work.mkdir()
    before.write_bytes(before.read_bytes() + b"\0\0")
    original = process_module.examine

    def grow(file: Any, *arguments: Any) -> Any:
        found = original(file, *arguments)
        during.write_bytes(hospital.make(number=7))
        return found

    monkeypatch.setattr(process_module, "examine", grow)
    records = [process(source, job) for source in sources]
    assert [(one.decision, one.reason) for one in records] == [("quarantined", "changed")] * 2


# Results


def names_in(tree: dict[str, bytes]) -> set[str]:
    """All pseudonyms and UIDs of an output."""
    found = set()
    for place, data in tree.items():
        if place.endswith(".dcm"):
            one = pydicom.dcmread(io.BytesIO(data))
            found |= {str(one[word].value) for word in ("PatientID", "SOPInstanceUID")}
            found |= {str(one.StudyInstanceUID), str(one.SeriesInstanceUID)}
            found.add(str(one.StudyDate))
    return found


def test_one_key_gives_the_same_bytes_and_another_nothing_in_common(
    hospital: Any, inline: None
) -> None:
    for number in range(1, 5):
        hospital.add(f"{number}", number=number)
    first, other = hospital.deidentify("a", dates="shift"), hospital.root / "other.key"
    assert first.site_key_created
    assert not hospital.deidentify("b", dates="shift").site_key_created
    assert hospital.tree("a") == hospital.tree("b")
    # The same files elsewhere, in another order.
    hospital.src.rename(hospital.root / "moved")
    (hospital.root / "moved" / "1").rename(hospital.root / "moved" / "9")
    (hospital.root / "moved").rename(hospital.src)
    hospital.deidentify("c", dates="shift")
    objects = {place for place in hospital.tree("a") if place.startswith("files/")}
    assert {place: hospital.tree("c")[place] for place in objects} == {
        place: hospital.tree("a")[place] for place in objects
    }
    hospital.deidentify("d", dates="shift", key=other)
    mine, theirs = hospital.tree("a"), hospital.tree("d")
    assert not names_in(mine) & names_in(theirs)
    decisions = mine["review/decisions.jsonl"], theirs["review/decisions.jsonl"]
    words = [{word for word in text.decode().split('"') if len(word) == 32} for text in decisions]
    assert words[0]
    assert not words[0] & words[1]


def test_nothing_kept(hospital: Any, inline: None) -> None:
    hospital.add("1", number=1, absent=["SequenceOfUltrasoundRegions"])
    hospital.src.joinpath("notes.txt").write_text(CANARY)
    done = hospital.deidentify()
    assert (done.counts["kept"], done.counts["quarantined"]) == (0, {"absent": 1})
    assert (hospital.root / "out" / "deidentification.json").exists()
    with pytest.raises(DataError, match="No image could be kept") as caught:
        hospital.ingest()
    assert [problem[:10] for problem in caught.value.problems] == ["1  absent:", "1  not-dic"]
    assert "--site-rules" in caught.value.problems[0]
    assert not (hospital.root / "cohort").exists()
    rows = next(hospital.key.parent.glob("cohort-*.link.csv")).read_text().splitlines()
    assert len(rows) == 3


def test_the_link_is_private(hospital: Any, inline: None) -> None:
    hospital.add(CANARY, number=1)
    link = hospital.root / "private" / "link.csv"
    for _ in range(2):
        hospital.deidentify(link=link, force=True)
        assert link.stat().st_mode & 0o777 == 0o600
    assert link.parent.stat().st_mode & 0o077 == 0
    assert CANARY in link.read_text()
    assert [path.name for path in link.parent.iterdir()] == ["link.csv"]
    assert CANARY.encode() not in b"".join(hospital.tree().values())


BY_ACCESSION = """
[dicom]
key = "AccessionNumber"
column = "number"
{more}
[conditions.pathology]
column = "dx"
vocabulary = ["benign", "malignant"]
[conditions.device]
from = "equipment"
"""


def test_files_that_no_row_names(hospital: Any, inline: None) -> None:
    hospital.add("1", number=1, AccessionNumber="A1")
    hospital.add("2", number=2, AccessionNumber="A2")
    hospital.add("3", number=3, absent=["AccessionNumber"])
    hospital.add("4", number=4, AccessionNumber=["A1", "A2"])
    table = "number,case,dx\nA1,p,malignant\n"
    for more in ("", 'patient = "case"', 'patient = "case"\nunlisted = "keep"'):
        done = hospital.ingest(map=BY_ACCESSION.format(more=more), table=table)
        assert done.counts["kept"] == 1
        assert done.counts["quarantined"] == {"no-label": 2, "not-in-table": 1}
        shutil.rmtree(hospital.root / "cohort")
    kept = hospital.ingest(map=BY_ACCESSION.format(more='unlisted = "keep"'), table=table)
    found = sorted(str(row.conditions["pathology"]) for row in kept.cohort)
    assert found == ["None", "None", "None", "malignant"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_a_finished_run_leaves_the_folder_of_another_that_is_at_work(tmp_path: Path) -> None:
    with work_folder(tmp_path / "out", "kind", {"a": 1}) as first:
        (tmp_path / ".out.kind-0000").mkdir()
        with work_folder(tmp_path / "out", "kind", {"a": 2}) as second:
            assert first != second
        assert list(tmp_path.iterdir()) == [first]
    assert not list(tmp_path.iterdir())
