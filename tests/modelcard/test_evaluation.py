from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import DataError
from bussynth.modelcard.evaluation import read_quality

OWN, OTHER, MADE = ("sha256:" + letter * 64 for letter in "abc")
Write = Callable[..., Path]


def test_tables(evaluation: Write) -> None:
    found = read_quality(evaluation(OWN), OWN, None)
    assert not found.trusted
    assert (found.kind, found.images, found.test["patients"]) == ("phantom", 50, 25)
    rows = {row[0]: row[1:] for row in found.obeyed}
    assert rows["pathology: AUC"][:3] == (
        "0.900 [0.850, 0.950]",
        "0.850 [0.800, 0.900]",
        "−0.050 [−0.100, +0.000]",
    )
    assert "pathology: benign / malignant" in rows
    assert rows["lesion box: mean IoU"][0].startswith("0.610")
    assert [one.name for one in found.spaces] == ["learned 1", "random multi-scale"]
    values = dict(row[:2] for row in found.spaces[0].rows)
    assert list(values) == [
        "Fréchet distance",
        "KID × 1000",
        "precision",
        "recall",
        "density",
        "coverage",
    ]
    assert values["KID × 1000"].startswith("6.250")
    remarks = "\n".join(found.remarks)
    for words in ("guessing gives", "left out", "not recognised above chance", "too few patients"):
        assert words in remarks


def test_of_another_model_is_refused(evaluation: Write) -> None:
    with pytest.raises(DataError, match="another model's images"):
        read_quality(evaluation(OTHER), OWN, None)


def test_without_a_name_it_is_trusted_unless_a_cohort_proves_it(evaluation: Write) -> None:
    folder = evaluation(None, MADE)
    assert read_quality(folder, OWN, None).trusted
    assert read_quality(folder, OWN, OTHER).trusted
    assert not read_quality(folder, OWN, MADE).trusted


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "bussynth-evaluation/9"},
        {"inputs": {}},
        {"fidelity": [{"space": "x"}]},
        {"fidelity": None},
        {"obedience": []},
        {"notes": 3},
    ],
)
def test_damaged_or_foreign_files(evaluation: Write, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"evaluation\.json"):
        read_quality(evaluation(OWN, **changes), OWN, None)


def test_numbers_that_are_none(evaluation: Write, tmp_path: Path) -> None:
    path = evaluation(OWN) / "evaluation.json"
    path.write_text(path.read_text().replace("7.25", "NaN"))
    with pytest.raises(DataError, match="lacks fields"):
        read_quality(path.parent, OWN, None)
    path.write_text("[]")
    with pytest.raises(DataError, match="no evaluation"):
        read_quality(path.parent, OWN, None)
    with pytest.raises(DataError, match="holds no evaluation"):
        read_quality(tmp_path / "absent", OWN, None)
