from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audits.settings import AuditSettings
from bussynth.auditing.history import (
    LedgerSummary,
    append_to_first,
    ledger_places,
    record_run,
    settings_digest,
    summarise,
)
from bussynth.auditing.ledger import LEDGER_FILE, LedgerEntry, LedgerState, read_ledger
from bussynth.auditing.sources import open_source
from bussynth.cohort import Cohort

Worlds = dict[str, Callable[..., Any]]

NOW = LedgerEntry(
    kind="audit", time="2026-02-01T00:00:00Z", settings="S", train="T", control="C",
    synthetic="X", images=100, generator="G", verdict="FAIL",
)  # fmt: skip
REGISTERED = LedgerEntry(
    kind="registration", time="2026-01-05T10:00:00Z", settings="S", train="T", control="C"
)


def summary(*before: LedgerEntry, now: LedgerEntry = NOW) -> LedgerSummary:
    return summarise(LedgerState(before), now, place="real data", head="h")


def test_the_first_audit() -> None:
    found = summary()
    counts = (found.control_runs, found.synthetic_runs, found.synthetic_sets, found.settings_used)
    assert counts == (1, 1, 1, 1)
    assert (found.failed_before, found.other_controls) == (0, 0)
    assert found.flags == found.problems == ()
    assert found.registration == "none"
    assert found.sentences[0] == (
        "This is audit 1 of these control patients and audit 1 of these synthetic images."
    )
    json.dumps(found.to_dict(), allow_nan=False)


def test_counts_are_of_the_same_control_patients() -> None:
    other = replace(NOW, synthetic="Y", verdict="NO EVIDENCE ABOVE FLOOR")
    found = summary(NOW, other, replace(NOW, control="D"), replace(NOW, settings="Z"))
    assert (found.control_runs, found.synthetic_runs, found.synthetic_sets) == (4, 3, 2)
    assert (found.settings_used, found.failed_before, found.other_controls) == (2, 2, 1)


def test_repeating_an_audit_is_no_misuse() -> None:
    assert summary(NOW, NOW).flags == ()


def test_another_set_after_a_fail_is_flagged() -> None:
    found = summary(NOW, now=replace(NOW, synthetic="Y"))
    assert len(found.flags) == 1
    assert "1 other synthetic set failed against these control patients" in found.flags[0]
    assert found.flags[0] in found.sentences
    passed = replace(NOW, verdict="NO EVIDENCE ABOVE FLOOR")
    assert summary(passed, now=replace(NOW, synthetic="Y")).flags == ()


def test_other_settings_on_the_same_set_are_flagged() -> None:
    found = summary(replace(NOW, settings="A"), replace(NOW, settings="B"), NOW)
    assert len(found.flags) == 1
    assert "2 other choices of settings" in found.flags[0]
    assert summary(replace(NOW, settings="A", synthetic="Y", verdict="-")).flags == ()


def test_fewer_images_of_the_same_model_are_flagged() -> None:
    earlier = replace(NOW, synthetic="Y", images=120, verdict="INCONCLUSIVE")
    assert "had 120 images, this one has 100" in summary(earlier).flags[0]
    for innocent in (
        replace(earlier, images=80),
        replace(earlier, generator="H"),
        replace(earlier, generator=None),
        replace(earlier, control="D"),
    ):
        assert summary(innocent).flags == ()
    assert summary(earlier, now=replace(NOW, generator=None)).flags == ()


@pytest.mark.parametrize(
    ("before", "status", "words"),
    [
        ([REGISTERED], "pre-registered", "pre-registered on 2026-01-05."),
        ([replace(NOW, synthetic="Y"), REGISTERED], "pre-registered", "pre-registered on"),
        ([NOW, REGISTERED], "registered late", "after a first audit of these images"),
        ([REGISTERED, NOW, REGISTERED], "pre-registered", "pre-registered on"),
        ([replace(REGISTERED, settings="Z")], "different", "differ from those registered"),
        ([replace(REGISTERED, control="D")], "none", "not pre-registered"),
        ([], "none", "not pre-registered"),
    ],
)
def test_registration(before: list[LedgerEntry], status: str, words: str) -> None:
    found = summary(*before)
    assert found.registration == status
    assert any(words in sentence for sentence in found.sentences)


def test_registering_many_and_choosing_one_is_told() -> None:
    found = summary(REGISTERED, replace(REGISTERED, settings="Z"))
    assert found.registration == "pre-registered"
    assert any("2 different ones were registered" in sentence for sentence in found.sentences)


def test_settings_digest_covers_every_setting_and_the_scope() -> None:
    base = settings_digest(AuditSettings())
    assert base == settings_digest(AuditSettings())
    assert base.startswith("sha256:")
    others = {
        settings_digest(AuditSettings(seed=1)),
        settings_digest(AuditSettings(), encoders=["a"]),
        settings_digest(AuditSettings(), encoders=["a", "b"]),
        settings_digest(AuditSettings(), release_model=True),
        base,
    }
    assert len(others) == 5
    both = [settings_digest(AuditSettings(), encoders=order) for order in (["a", "b"], ["b", "a"])]
    assert both[0] == both[1]


def run(real: Cohort, synthetic: Any, out: Path | None = None, **changes: Any) -> LedgerSummary:
    given: dict[str, Any] = {"settings": "S", "verdict": "FAIL"} | changes
    return record_run(
        train=open_source(real, "train"),
        control=open_source(real, "control"),
        synthetic=open_source(synthetic, "synthetic"),
        out=out,
        **given,
    )


@pytest.fixture
def copy(real: Cohort, tmp_path: Path) -> Cohort:
    """A cohort whose ledger is ours alone."""
    place = tmp_path / "cohort"
    shutil.copytree(real.path, place)
    (place / LEDGER_FILE).unlink(missing_ok=True)
    return Cohort.open(place)


def test_the_ledger_lies_in_the_cohort_and_breaks_nothing(
    copy: Cohort, synthetic: Cohort, tmp_path: Path
) -> None:
    digest = copy.digest
    found = run(copy, synthetic, tmp_path / "out")
    assert (found.place, found.control_runs, found.problems) == ("real data", 1, ())
    assert found.head == read_ledger(copy.path / LEDGER_FILE).entries[0].sha256
    assert not (tmp_path / LEDGER_FILE).exists()
    again = Cohort.open(copy.path)
    again.verify()
    assert again.digest == digest
    assert run(copy, synthetic).control_runs == 2
    text = (copy.path / LEDGER_FILE).read_text()
    assert "secret-" not in text
    assert str(tmp_path) not in text


def test_the_model_is_taken_from_the_synthetic_cohort(
    copy: Cohort, worlds: Worlds, tmp_path: Path
) -> None:
    images = worlds["images"](5, 3)
    all_of_them = worlds["synthetic"](tmp_path / "a", images, {"generator": "sha256:g"})
    fewer = worlds["synthetic"](tmp_path / "b", images[:4], {"generator": "sha256:g"})
    run(copy, all_of_them, verdict="INCONCLUSIVE")
    assert "had 5 images, this one has 4" in run(copy, fewer).flags[0]


def test_arrays_are_recorded_beside_the_report(
    worlds: Worlds, tmp_path: Path
) -> None:  # fmt: skip
    images = worlds["images"](6, 1)
    sources = {
        role: open_source(part, role)
        for role, part in (
            ("train", images[:2]), ("control", images[2:4]), ("synthetic", images[4:]),
        )
    }  # fmt: skip
    given: dict[str, Any] = {"settings": "S", "verdict": "FAIL", **sources}
    found = record_run(out=tmp_path / "new" / "out", **given)
    assert found.place == "beside the report"
    assert "audits written elsewhere are not counted" in found.problems[0]
    assert (tmp_path / "new" / LEDGER_FILE).is_file()
    assert not (tmp_path / "new" / "out").exists()
    nowhere = record_run(out=None, **given)
    assert (nowhere.place, nowhere.head) == ("nowhere", None)
    assert "recorded nowhere" in nowhere.problems[0]


def test_a_refused_place_gives_way_to_the_next(
    copy: Cohort, synthetic: Cohort, tmp_path: Path
) -> None:
    run(copy, synthetic)
    ledger = copy.path / LEDGER_FILE
    # A link is refused even to root, whom no permission stops.
    ledger.rename(tmp_path / "kept")
    ledger.symlink_to(tmp_path / "kept")
    found = run(copy, synthetic, tmp_path / "out")
    assert found.place == "beside the report"
    assert any("with the real data cannot be written" in text for text in found.problems)
    assert found.control_runs == 1
    assert run(copy, synthetic, tmp_path / "out").control_runs == 2


def test_entries_of_both_places_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bussynth.auditing import history

    places = {"real data": tmp_path / "a", "beside the report": tmp_path / "b" / "c"}
    append_to_first({"real data": tmp_path / "a"}, NOW)
    write = history.append_entry

    def read_only(path: Path, entry: LedgerEntry) -> Any:
        if path == tmp_path / "a":
            raise PermissionError(13, "Permission denied")
        return write(path, entry)

    monkeypatch.setattr(history, "append_entry", read_only)
    kind, before, written = append_to_first(places, NOW)
    assert (kind, len(before.entries)) == ("beside the report", 1)
    assert written is not None
    assert before.problems == (
        "The ledger with the real data cannot be written (Permission denied).",
    )


def test_places(copy: Cohort, worlds: Worlds, tmp_path: Path) -> None:
    control = open_source(copy, "control")
    assert list(ledger_places(control, None).values()) == [copy.path / LEDGER_FILE]
    assert list(ledger_places(control, tmp_path / "o")) == ["real data", "beside the report"]
    folder = open_source(worlds["folder"](tmp_path / "f", worlds["images"](2, 1)), "control")
    assert ledger_places(folder, None) == {}
    assert ledger_places(folder, tmp_path / "o") == {"beside the report": tmp_path / LEDGER_FILE}
