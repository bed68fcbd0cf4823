from __future__ import annotations

import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort
from bussynth.errors import IntegrityError
from bussynth.generator.dataset import training_view
from bussynth.generator.prior import ConditionPrior

VOCABULARY = {"device": ["a", "b"], "pathology": ["normal", "benign", "malignant"]}
SIZE = (100, 200)


def rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        pathology = ("benign", "benign", "malignant", "normal")[i % 4]
        w = 30.0 if pathology == "benign" else 60.0
        x, y = rng.uniform(10, 120), rng.uniform(10, 50)
        made.append(
            {
                "pathology": pathology,
                "device": "a" if pathology == "benign" else "b",
                "lesion_box": None if pathology == "normal" else (x, y, x + w, y + w / 2),
            }
        )
    return made


def fit(data: list[dict[str, Any]], min_patients: int = 5) -> ConditionPrior:
    patients = [f"p{i}" for i in range(len(data))]
    return ConditionPrior.fit(data, patients, VOCABULARY, SIZE, min_patients)


def draws(prior: ConditionPrior, n: int, **fixed: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [prior.draw(rng, fixed) for _ in range(n)]


def holds_number(data: bytes, value: float) -> bool:
    """Whether a file holds a number as text or as a binary float."""
    forms = [struct.pack(f, value) for f in ("<f", ">f", "<d", ">d")]
    texts = {repr(value), repr(float(np.float32(value))), f"{value:.4f}", f"{value:.6g}"}
    return any(form in data for form in forms) or any(text.encode() in data for text in texts)


def test_draws_follow_the_data() -> None:
    made = draws(fit(rows(400)), 2000)
    share = Counter(row["pathology"] for row in made)
    assert share["benign"] / 2000 == pytest.approx(0.5, abs=0.04)
    assert share["normal"] / 2000 == pytest.approx(0.25, abs=0.04)
    assert all(row["device"] == "a" for row in made if row["pathology"] == "benign")
    width = {
        p: np.median([r["lesion_box"][2] - r["lesion_box"][0] for r in made if r["pathology"] == p])
        for p in ("benign", "malignant")
    }
    assert width["benign"] == pytest.approx(30, rel=0.15)
    assert width["malignant"] == pytest.approx(60, rel=0.15)


def test_boxes_lie_inside_the_image_and_normal_has_none() -> None:
    for row in draws(fit(rows(60)), 500):
        if row["pathology"] == "normal":
            assert row["lesion_box"] is None
        else:
            x0, y0, x1, y1 = row["lesion_box"]
            assert 0 <= x0 < x1 <= SIZE[1]
            assert 0 <= y0 < y1 <= SIZE[0]


def test_fixed_conditions_are_kept() -> None:
    prior = fit(rows(200))
    for row in draws(prior, 50, pathology="malignant", device="a"):  # a pair never seen
        assert (row["pathology"], row["device"]) == ("malignant", "a")
        assert row["lesion_box"] is not None
    box = (10.0, 10.0, 30.0, 30.0)
    made = draws(prior, 200, lesion_box=box)
    assert {row["lesion_box"] for row in made} == {box}
    assert "normal" not in {row["pathology"] for row in made}
    assert {row["pathology"] for row in draws(prior, 20, pathology=None)} == {None}


def test_rare_combinations_are_pooled() -> None:
    data = [*rows(200), {"pathology": "malignant", "device": "a", "lesion_box": (0, 0, 9, 9)}]
    prior = fit(data)
    assert ("a", "malignant") not in prior.cells
    assert ("a", "benign") in prior.cells
    # Two images of each of four patients are four patients, not eight.
    few = [{"pathology": "benign", "device": "a", "lesion_box": (5, 5, 50, 50)}] * 8
    patients = [f"p{i // 2}" for i in range(8)]
    assert ConditionPrior.fit(few, patients, VOCABULARY, SIZE, 5).boxes == {}
    assert ConditionPrior.fit(few, patients, VOCABULARY, SIZE, 4).boxes != {}


def test_one_patient_with_a_rare_value_leaves_no_trace_in_the_prior() -> None:
    data = [row for row in rows(200) if row["pathology"] != "normal"]
    before = fit(data)
    cut_off = {"pathology": "malignant", "device": "a", "lesion_box": None}
    alone = {"pathology": "normal", "device": "a", "lesion_box": (1.0, 1.0, 3.0, 3.0)}
    for added in (cut_off, alone):
        after = fit([*data, added])
        for kind in ("benign", "malignant"):
            assert after.values["device"][kind] == before.values["device"][kind]
        assert "normal" not in after.values["device"]
        normal = (prior.values["pathology"]["any"][1] for prior in (before, after))
        assert len(set(normal)) == 1
        assert after.boxes == before.boxes
    # Five such patients are enough to count.
    rare = fit([*data, *[cut_off] * 5])
    assert rare.values["device"]["malignant"] != before.values["device"]["malignant"]
    assert fit([*data, *[alone] * 5]).boxes != before.boxes


def test_rare_pathologies_that_are_many_together_share_one_box_model() -> None:
    data = [
        {"pathology": kind, "device": "a", "lesion_box": (5.0 + i, 5.0, 50.0, 50.0)}
        for kind in ("benign", "malignant")
        for i in range(3)
    ]
    assert set(fit(data).boxes) == {"any"}


def test_patients_weigh_the_same() -> None:
    data = [{"pathology": "benign", "device": "a"}] * 90
    data += [{"pathology": "malignant", "device": "b"}] * 10
    patients = ["one"] * 90 + [f"p{i}" for i in range(9)] + ["p9"]
    prior = ConditionPrior.fit(data, patients, VOCABULARY, SIZE, 1)
    assert prior.cells["a", "benign"] == pytest.approx(1 / 11, abs=0.001)


def test_extremes() -> None:
    one = fit([{"pathology": "benign", "device": "a", "lesion_box": (0, 0, 200, 100)}])
    assert one.cells == {}
    assert one.boxes == {}
    assert all(row["lesion_box"] is None for row in draws(one, 20))
    alike = fit([{"pathology": "benign", "device": "a", "lesion_box": (5, 5, 50, 50)}] * 50)
    boxes = {row["lesion_box"] for row in draws(alike, 30, pathology="benign")}
    assert len(boxes) == 30  # equal boxes do not come back
    assert min(abs(box[0] - 5) for box in boxes) > 1e-3
    unstated = fit([{"pathology": None, "device": None, "lesion_box": (5, 5, 50, 50)}] * 9)
    assert {row["pathology"] for row in draws(unstated, 20)} == {None}


def test_json_round_trip() -> None:
    prior = fit(rows(100))
    again = ConditionPrior.from_dict(json.loads(json.dumps(prior.to_dict())))
    assert again == prior
    assert draws(again, 20) == draws(prior, 20)
    with pytest.raises(IntegrityError):
        ConditionPrior.from_dict({"cells": 3})


def test_model_folder_holds_no_training_box(
    model_folder: Path, cohort: Cohort, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in model_folder.iterdir()}
    assert set(files) == {"model.json", "weights.safetensors", "prior.json", "loss.jsonl"}
    boxes = [row.lesion_box for row in training_view(cohort) if row.lesion_box is not None]
    assert len(boxes) > 20
    leaks = [
        name
        for name, data in files.items()
        for box in boxes
        if sum(holds_number(data, edge) for edge in box) > 1
    ]
    assert leaks == []
    # The search is able to find: a box planted in any of the forms is seen.
    x0 = float(boxes[0][0])
    for planted in (struct.pack("<d", x0), struct.pack("<f", x0), repr(x0).encode()):
        assert holds_number(b"abc" + planted + b"xyz", x0)


def test_model_folder_holds_no_pseudonym(model_folder: Path, cohort: Cohort) -> None:
    content = b"".join(path.read_bytes() for path in model_folder.iterdir())
    for row in cohort:
        assert (row.patient or "").encode() not in content
        assert row.id.encode() not in content


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cells", [[["a"], 0.5]]),
        ("cells", [[["a", "cyst"], 0.5]]),
        ("cells", [[["a", "benign"], -1]]),
        ("values", {}),
        ("values", {"device": {"any": [1.0]}, "pathology": {"any": [0, 0, 0, 1]}}),
        ("boxes", {"any": {"mean": [0], "covariance": []}}),
        ("boxes", {"any": {"mean": [1e9, 0, 0, 0], "covariance": [[0] * 4] * 4}}),
        ("boxes", {"any": {"mean": [float("nan"), 0, 0, 0], "covariance": [[0] * 4] * 4}}),
        ("image_size", [1]),
    ],
)
def test_unsound_prior_is_refused(key: str, value: Any) -> None:
    with pytest.raises(IntegrityError):
        ConditionPrior.from_dict(fit(rows(50)).to_dict() | {key: value})
