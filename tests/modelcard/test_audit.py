from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import DataError, IntegrityError
from bussynth.modelcard.audit import read_summary
from bussynth.modelcard.model import CardModel, open_card_model

OTHER = "sha256:" + "e" * 64
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def opened(model: Path) -> CardModel:
    return open_card_model(str(model))


def inputs(opened: CardModel, synthetic: str = OTHER) -> dict[str, Any]:
    return {
        "synthetic": {"digest": synthetic, "images": 400, "source": "cohort"},
        "train": {"digest": opened.cohort, "images": 600, "source": "cohort"},
        "control": {"digest": opened.cohort, "images": 480, "source": "cohort"},
    }


def problems(folder: Path, opened: CardModel, *known: str) -> str:
    with pytest.raises(DataError, match="not an audit of this model's images") as caught:
        read_summary(folder, opened, known)
    return "\n".join(caught.value.problems)


def test_summary(audit: Write, opened: CardModel) -> None:
    found = read_summary(audit(opened.digest), opened)
    assert found.verdict == "NO EVIDENCE ABOVE FLOOR"
    assert not found.failed
    assert not found.trusted
    tests = {name: rest for name, *rest in found.tests}
    assert tests["Same picture"][:2] == ["NO SIGN", "0 images"]
    assert "at most" in tests["Patients with a close image"][1]
    assert "Membership" in tests
    assert not found.losses
    assert (found.planted.kinds, found.planted.recall) == (2, "99.7\N{NO-BREAK SPACE}%")
    assert found.planted.missed == ("blur 6 % (4.0\N{NO-BREAK SPACE}% found)",)
    assert found.counts["control_patients"] == 240


def test_membership_by_losses_is_told_from_none(
    audit: Write, opened: CardModel, report: dict[str, Any]
) -> None:
    attack = next(test for test in report["tests"] if test["name"] == "membership")
    tests = [*report["tests"], attack | {"name": "white_box"}]
    adjusted = report["adjusted_p_values"] | {"white_box": 0.8}
    folder = audit(opened.digest, tests=tests, adjusted_p_values=adjusted)
    assert read_summary(folder, opened).losses


def test_of_another_model_or_cohort_is_refused(audit: Write, opened: CardModel) -> None:
    assert "it names another model" in problems(audit(OTHER), opened)
    assert "other images than those the model learned from" in problems(audit(None), opened)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, "names no generator"),  # a loose folder, or a report of an earlier version
        ({"generator": None, "derived": False}, "names no generator"),
        ({"generator": OTHER, "derived": False}, "name another generator"),  # a wrapped folder
        ({"generator": "OWN", "derived": True}, "derived from those of another cohort"),
    ],
)
def test_images_that_the_model_did_not_make_are_refused(
    audit: Write, opened: CardModel, made: dict[str, Any], words: str
) -> None:
    """The training cohort fits, which says nothing of who made the images audited."""
    given = inputs(opened)
    given["synthetic"] |= {
        key: opened.digest if value == "OWN" else value for key, value in made.items()
    }
    assert words in problems(audit(None, inputs=given), opened)


def test_images_that_the_audit_knows_for_those_of_the_model(
    audit: Write, opened: CardModel
) -> None:
    given = inputs(opened)
    given["synthetic"] |= {"generator": opened.digest, "derived": False}
    assert not read_summary(audit(None, inputs=given), opened).trusted


def test_a_cohort_of_the_model_proves_images_that_the_audit_does_not_name(
    audit: Write, opened: CardModel
) -> None:
    folder = audit(None, inputs=inputs(opened))
    assert not read_summary(folder, opened, [OTHER]).trusted
    assert "names no generator" in problems(folder, opened, "sha256:" + "9" * 64)


def test_folders_of_images_leave_more_on_trust(audit: Write, opened: CardModel) -> None:
    loose = {"digest": OTHER, "images": 600, "source": "folder"}
    folder = audit(None, inputs=inputs(opened) | {"train": loose})
    (line,) = read_summary(folder, opened, [OTHER]).trusted
    assert "learned from the training images compared is taken on trust" in line
    notes = ["That the given model made the synthetic images is taken on trust."]
    named = {"digest": opened.digest, "released": False, "notes": notes}
    assert read_summary(audit(None, model=named), opened).trusted == tuple(notes)


def test_an_edited_report_is_refused(audit: Write, opened: CardModel) -> None:
    folder = audit(opened.digest)
    content = (folder / "report.json").read_bytes()
    (folder / "report.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  report.json\n")
    assert read_summary(folder, opened).counts["train_images"] == 600
    (folder / "report.json").write_bytes(content + b" ")
    with pytest.raises(IntegrityError, match="changed after the audit"):
        read_summary(folder, opened)


def test_missing_and_damaged_reports(audit: Write, opened: CardModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no audit"):
        read_summary(tmp_path / "no", opened)
    with pytest.raises(DataError, match="lacks fields"):
        read_summary(audit(opened.digest, controls={}), opened)


def test_planted_copies_that_were_not_planted(
    audit: Write, opened: CardModel, report: dict[str, Any]
) -> None:
    folder = audit(opened.digest, controls=report["controls"] | {"planted": []})
    planted = read_summary(folder, opened).planted
    assert (planted.kinds, planted.recall) == (0, "not measured")
