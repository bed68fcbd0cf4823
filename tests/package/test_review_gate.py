from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bussynth.cli import app
from bussynth.cohort import Cohort
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.errors import AuditGateError, DataError, IntegrityError, UsageError
from bussynth.images import encode_png
from bussynth.package import ExportConfig, check_export, export_package
from bussynth.review.approval import Approval, write_approval
from bussynth.review.folder import ReviewFolder
from bussynth.review.material import Preview, write_previews

CONFIG = ExportConfig(name="demo-bus")
PICTURE = encode_png(np.full((6, 6), 77, np.uint8))


def add_review(path: Path, **changes: Any) -> None:
    """Previews of every row and an approval, both with a canary."""
    opened = ReviewFolder.open(path)
    assert opened.cohort is not None
    ids = opened.cohort.table(["id"]).column("id").to_pylist()
    shape = {"frame_rows": 9, "frame_columns": 9, "left": 0, "top": 0, "right": 6, "bottom": 6}
    rows = [Preview(id=name, picture=PICTURE, flags=("ZZCANARY",), **shape) for name in ids]
    write_previews(opened.previews_file, rows)
    fields = {
        "digest": opened.digest(),
        "previews": opened.previews_digest() or "",
        "reviewer": "ZZCANARY",
        "recorded": "2026-11-02T10:00:00+00:00",
        "images": len(ids),
        "looked_at": len(ids),
    }
    write_approval(path, Approval(**(fields | changes)))


@pytest.fixture
def real(tmp_path: Path, new_cohort: Callable[..., Cohort]) -> Path:
    """Reviewed, then split: as it is when a model learns from it."""
    made = new_cohort(tmp_path / "plain")
    rows = [replace(row, patient=f"p{n}") for n, row in enumerate(made)]
    options = {"image_size": (16, 20), "vocabulary": made.vocabulary, "masks": True}
    path = Cohort.create(tmp_path / "real", rows, kind="real", **options).path
    add_review(path)
    split_cohort(path, SplitConfig(control=0.2, test=0.2, by=(), seed=1))
    return path


@pytest.fixture
def audit(tmp_path: Path, site: Any, real: Path, new_audit: Callable[..., Path]) -> Path:
    inputs = {
        "synthetic": {"digest": site.cohort.digest, "images": len(site.cohort)},
        "train": {"digest": Cohort.open(real).digest, "images": 4},
    }
    return new_audit(tmp_path / "audit", site.cohort, inputs=inputs)


def test_an_approved_review_lets_it_pass_and_stays_at_the_site(
    tmp_path: Path, site: Any, real: Path, audit: Path
) -> None:
    out = tmp_path / "package"
    arguments = (site.cohort.path, audit, site.key, out)
    export_package(*arguments, config=CONFIG, require_review=real)
    for file in out.rglob("*"):
        assert "review" not in file.name
        if file.is_file():
            assert b"ZZCANARY" not in file.read_bytes()


def test_files_beside_a_cohort_are_not_exported(
    tmp_path: Path, site: Any, new_cohort: Callable[..., Cohort], new_audit: Callable[..., Path]
) -> None:
    made = new_cohort(tmp_path / "cohort")
    (made.path / "review" / "pages").mkdir(parents=True)
    for place in ("review/previews.parquet", "review/pages/a.png", "notes.txt", "data/b.parquet"):
        (made.path / place).write_bytes(b"ZZSTRANGER" + PICTURE)
    audit = new_audit(tmp_path / "audit", made)
    export_package(made.path, audit, site.key, tmp_path / "package", config=CONFIG)
    names = {p.relative_to(site.package).as_posix() for p in site.package.rglob("*")}
    found = [*(tmp_path / "package").rglob("*")]
    assert {p.relative_to(tmp_path / "package").as_posix() for p in found} == names
    assert not [p for p in found if p.is_file() and b"ZZSTRANGER" in p.read_bytes()]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        (None, "none"),
        ({"looked_at": 5}, "incomplete"),
        ({"rejected": ("source-1",)}, "rejected-left"),
        ({"digest": "sha256:" + "0" * 64}, "stale"),
    ],
)
def test_other_states_of_the_review_are_refused(
    tmp_path: Path, site: Any, real: Path, audit: Path, changes: Any, state: str
) -> None:
    if changes is None:
        (real / "review" / "approval.json").unlink()
    else:
        add_review(real, **changes)
    out = tmp_path / "package"
    with pytest.raises(AuditGateError) as caught:
        check_export(site.cohort.path, audit, site.key, out, config=CONFIG, require_review=real)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [state]
    assert "source-1" not in str(caught.value)


def test_the_review_must_be_of_the_cohort_that_was_audited(
    tmp_path: Path, site: Any, real: Path, audit: Path, new_audit: Callable[..., Path]
) -> None:
    def refused(audit: Path, cohort: Path = site.cohort.path) -> str:
        with pytest.raises(AuditGateError) as caught:
            check_export(
                cohort, audit, site.key, tmp_path / "p", config=CONFIG, require_review=real
            )
        return " ".join(caught.value.problems)

    assert "another cohort" in refused(site.audit)
    inputs = {"synthetic": {"digest": site.cohort.digest, "images": len(site.cohort)}}
    unnamed = new_audit(tmp_path / "unnamed", site.cohort, inputs=inputs)
    assert "nothing links" in refused(unnamed)
    record = real / "cohort.json"
    before = record.read_bytes()
    split_cohort(real, SplitConfig(control=0.2, test=0.2, by=(), seed=2), force=True)
    assert record.read_bytes() != before
    assert "split anew" in refused(audit)


def test_what_the_images_say_of_their_training_counts(
    tmp_path: Path, site: Any, real: Path, new_cohort: Callable[..., Cohort], new_audit: Any
) -> None:
    for digest, passes in ((Cohort.open(real).digest, True), ("sha256:" + "3" * 64, False)):
        made = new_cohort(tmp_path / f"made-{passes}", provenance={"trained_on": digest})
        inputs = {
            "synthetic": {"digest": made.digest, "images": len(made)},
            "train": {"digest": Cohort.open(real).digest},
        }
        audit = new_audit(tmp_path / f"audit-{passes}", made, inputs=inputs)
        arguments = (made.path, audit, site.key, tmp_path / "package")
        if passes:
            check_export(*arguments, config=CONFIG, require_review=real)
        else:
            with pytest.raises(AuditGateError, match="another cohort"):
                check_export(*arguments, config=CONFIG, require_review=real)


def test_a_private_package_is_linked_by_its_ledger(private_site: Any, tmp_path: Path) -> None:
    config = ExportConfig(name="demo-dp", claim="formal-dp")
    hospital = Path(shutil.copytree(private_site.hospital.path, tmp_path / "hospital"))
    add_review(hospital)
    arguments = (private_site.cohort.path, None, private_site.key, tmp_path / "package")
    check_export(*arguments, config=config, ledger=hospital, require_review=hospital)
    with pytest.raises(AuditGateError, match="nothing links"):
        check_export(*arguments, config=config, require_review=hospital)


def test_damaged_or_misplaced_cohorts_are_refused(
    tmp_path: Path, site: Any, real: Path, audit: Path
) -> None:
    arguments = (site.cohort.path, audit, site.key)
    with pytest.raises(UsageError, match="reviewed cohort"):
        check_export(*arguments, real / "p", config=CONFIG, require_review=real)
    with pytest.raises(DataError):
        check_export(*arguments, tmp_path / "p", config=CONFIG, require_review=audit)
    shard = real / Cohort.open(real).shards[0].path
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(IntegrityError):
        check_export(*arguments, tmp_path / "p", config=CONFIG, require_review=real)


def test_the_command_line_refuses_with_exit_code_4(
    tmp_path: Path, site: Any, real: Path, audit: Path
) -> None:
    flags = ["--audit", audit, "--key", site.key, "--out", tmp_path / "p", "--json", "--quiet"]
    flags += ["--require-review", real]
    arguments = [str(item) for item in ("export", site.cohort.path, *flags)]
    done = CliRunner().invoke(app.app, [*arguments, "--dry-run"])
    assert done.exit_code == 0, done.output
    (real / "review" / "approval.json").unlink()
    done = CliRunner().invoke(app.app, arguments)
    assert done.exit_code == 4
    assert json.loads(done.stdout)["error"]["type"] == "AuditGateError"
