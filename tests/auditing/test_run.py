from __future__ import annotations

import csv
import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.auditing.config import AuditConfig
from bussynth.auditing.record import AuditReport
from bussynth.auditing.run import audit, check_audit
from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.package.audit_gate import check_gate, read_audit
from bussynth.report.render import read_grid, read_report, render_report

Worlds = dict[str, Callable[..., Any]]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "audit"


@pytest.fixture(scope="module")
def report(real: Cohort, synthetic: Cohort, quick: AuditConfig, out: Path) -> AuditReport:
    return audit(synthetic.path, real=real.path, config=quick, out=out)


@pytest.fixture(scope="module")
def failed(
    real: Cohort, quick: AuditConfig, worlds: Worlds, tmp_path_factory: pytest.TempPathFactory
) -> AuditReport:
    copied = worlds["images"](30, 99)
    copied[:8] = real.select(split="train").images()[:8]
    made = worlds["synthetic"](tmp_path_factory.mktemp("f") / "s", copied)
    return audit(made, real=real, config=quick)


@pytest.fixture(scope="module")
def saved(failed: AuditReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("failed") / "audit"
    assert failed.save(place).to_dict()["environment"]["run"] == 1
    return place


def test_folder_holds_the_whole_audit(report: AuditReport, out: Path, tmp_path: Path) -> None:
    assert {file.name for file in out.iterdir()} - {"samples.png"} == {
        "report.json", "report.sha256", "report.html", "report.internal.html", "metrics.csv",
        "private.json",
    }  # fmt: skip
    written = (out / "report.json").read_bytes()
    assert json.loads(written) == json.loads(json.dumps(report.to_dict()))
    assert (out / "report.sha256").read_text().split()[0] == hashlib.sha256(written).hexdigest()
    stays = {"report.json", "metrics.csv", "private.json", "report.internal.html"}
    # What leaves is as readable as any new file of this user.
    (tmp_path / "new").touch()
    usual = stat.S_IMODE((tmp_path / "new").stat().st_mode)
    for file in out.iterdir():
        mode = stat.S_IMODE(file.stat().st_mode)
        assert mode == (0o600 if file.name in stays else usual), file.name
    assert (out / "samples.png").exists() == report.passed


def test_html_is_a_function_of_the_files(report: AuditReport, out: Path) -> None:
    again = render_report(read_report(out / "report.json"), grid_png=read_grid(out / "report.json"))
    assert again == (out / "report.html").read_text()


def test_report_names_its_inputs(report: AuditReport, real: Cohort, synthetic: Cohort) -> None:
    inputs = report.to_dict()["inputs"]
    assert inputs["synthetic"] == {
        "digest": synthetic.digest, "images": 30, "source": "cohort", "generator": None,
        "derived": False,
    }  # fmt: skip
    assert inputs["train"]["digest"] == real.digest
    assert report.to_dict()["comparison"]["randomised"]


def test_changed_settings_are_said_everywhere(report: AuditReport) -> None:
    sentence = report.reasons[-1]
    assert "min_control_patients 5 (default 200)" in sentence
    assert report.to_dict()["aggregate"]["reasons"][-1] == sentence


def test_export_gate_reads_it(report: AuditReport, out: Path, synthetic: Cohort) -> None:
    read = read_audit(out)
    assert (read.verdict, read.reasons) == (report.verdict, report.reasons)
    check_gate(read, cohort_digest=synthetic.digest, images=30, accept_inconclusive=True)


def test_no_patient_and_no_place_anywhere(report: AuditReport, out: Path) -> None:
    for file in out.iterdir():
        data = file.read_bytes()
        assert b"secret-" not in data, file.name
        assert str(out.parent).encode() not in data, file.name
    # What may leave names the real images by no digest.
    page = (out / "report.html").read_text()
    assert report.to_dict()["inputs"]["train"]["digest"] not in page


def test_only_time_differs_between_runs_and_workers(
    report: AuditReport, real: Cohort, synthetic: Cohort, quick: AuditConfig
) -> None:
    again = audit(synthetic, real=real, config=quick, options=RunOptions(workers=2)).to_dict()
    first = report.to_dict()
    # The ledger counts runs, so it differs too.
    rest = {"environment": 0, "ledger": 0}
    assert json.dumps(again | rest) == json.dumps(first | rest)


def test_copies_fail_and_are_not_shown(failed: AuditReport, saved: Path) -> None:
    assert failed.verdict == "FAIL"
    assert not failed.passed
    assert failed.grid_png is None
    assert not (saved / "samples.png").exists()
    assert "data:image" not in (saved / "report.html").read_text()
    assert "INTERNAL" in (saved / "report.internal.html").read_text()
    private = json.loads((saved / "private.json").read_text())
    assert len(private["identical_to_train"]) == 8
    assert not set(private) & set(failed.to_dict())


def test_metrics_are_a_table_of_plain_cells(saved: Path) -> None:
    with (saved / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["name"] == "FAIL"
    tests = {row["name"]: row for row in rows if row["part"] == "test"}
    assert tests["identity"]["fired"] == "True"
    assert float(tests["identity"]["estimate"]) == pytest.approx(8 / 30)
    assert {"planted copies", "null comparison", "closest share"} <= {row["part"] for row in rows}


def test_saving_again_counts_the_run(failed: AuditReport, saved: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        failed.save(saved)
    assert failed.save(saved, force=True).to_dict()["environment"]["run"] == 2
    assert read_report(saved / "report.json")["environment"]["run"] == 2


def test_single_images_are_inconclusive(worlds: Worlds, quick: AuditConfig) -> None:
    images = worlds["images"](3, 1)
    keys = {"train": ["a"], "control": ["b"]}
    report = audit(
        images[:1], train=images[1:2], control=images[2:], patients=keys, config=quick
    )  # fmt: skip
    assert report.verdict == "INCONCLUSIVE"
    assert report.grid_png is None
    assert "too few" in " ".join(report.reasons)
    assert "VERDICT: INCONCLUSIVE" in report.to_html()


def test_errors_of_the_audit_keep_their_exit_code(worlds: Worlds) -> None:
    tiny = worlds["images"](3, 1, 4)
    with pytest.raises(DataError, match="cannot be audited") as caught:
        audit(tiny[:1], train=tiny[1:2], control=tiny[2:])
    assert caught.value.problems
    with pytest.raises(UsageError, match="settings"):
        audit(tiny, train=tiny, control=tiny, config=AuditConfig(tails=(2.0,)))


def test_dry_run_says_what_can_come_out(
    real: Cohort, synthetic: Cohort, worlds: Worlds, tmp_path: Path
) -> None:
    notes = check_audit(synthetic, real=real, out=tmp_path / "new")
    assert notes[0].startswith("30 synthetic images, ")
    assert "10 control patients are fewer than 200" in notes[1]
    assert not (tmp_path / "new").exists()
    images = worlds["images"](6, 1)
    notes = check_audit(images[:2], train=images[2:4], control=images[4:])
    assert any("can only be FAIL or INCONCLUSIVE" in note for note in notes)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        check_audit(synthetic, real=real, out=tmp_path / "file")
