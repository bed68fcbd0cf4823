from __future__ import annotations

import json
from pathlib import Path
from xml.dom import minidom

import pytest

from bussynth.errors import IntegrityError
from bussynth.modelcard.loss import LossCurve, draw_losses, read_losses

ROWS = [{"step": 50, "loss": 0.9}, {"step": 100, "loss": 0.5}, {"step": 120, "loss": 0.4}]
TRAINING = {"steps": 120, "loss": 0.4}


def write(folder: Path, rows: list[object]) -> Path:
    (folder / "loss.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_reads_what_a_training_wrote(model: Path) -> None:
    training = json.loads((model / "model.json").read_text())["training"]
    curve = read_losses(model, training)
    assert curve is not None
    assert curve.steps[-1] == training["steps"]


def test_no_file_is_no_curve(tmp_path: Path) -> None:
    assert read_losses(tmp_path, TRAINING) is None


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [3],
        [{"step": 50}],
        [{"step": 50, "loss": float("nan")}, *ROWS[1:]],
        [ROWS[1], ROWS[0], ROWS[2]],
        ROWS[:2],
        [*ROWS[:2], {"step": 120, "loss": 0.41}],
    ],
)
def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path, rows: list[object]) -> None:
    with pytest.raises(IntegrityError, match=r"loss\.jsonl"):
        read_losses(write(tmp_path, rows), TRAINING)


def test_the_figure_is_a_file_of_its_own_and_always_the_same(tmp_path: Path) -> None:
    curve = read_losses(write(tmp_path, ROWS), TRAINING)
    assert curve is not None
    drawn = draw_losses(curve)
    assert drawn == draw_losses(curve)
    root = minidom.parseString(drawn).documentElement
    assert root is not None
    assert root.tagName == "svg"
    assert root.getAttribute("xmlns") == "http://www.w3.org/2000/svg"
    assert root.getAttribute("width").endswith("pt")
    assert "from 0.900 to 0.400" in root.getAttribute("aria-label")
    assert "training step" in drawn


def test_one_point_is_drawn() -> None:
    assert "<svg" in draw_losses(LossCurve(steps=[4], losses=[0.5]))
