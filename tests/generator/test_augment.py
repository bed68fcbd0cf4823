from __future__ import annotations

import pytest
import torch

from bussynth.generator.augment import LABELS, Draws, augment
from bussynth.generator.conditions import BOX_PRESENT, BOX_UNKNOWN, ConditionBatch, ConditionEncoder

SIDE = 32
ENCODER = ConditionEncoder({"pathology": ["normal", "benign"]}, (SIDE, SIDE))


def draws(amount: list[float], used: bool = True) -> Draws:
    return Draws(torch.tensor([amount]), torch.full((1, LABELS), 0.0 if used else 0.9))


def one_box(*box: int) -> tuple[torch.Tensor, ConditionBatch]:
    pixels = torch.full((1, SIDE, SIDE), 40, dtype=torch.uint8)
    x0, y0, x1, y1 = box
    pixels[0, y0:y1, x0:x1] = 200
    return pixels, ENCODER.encode([{"pathology": "benign", "lesion_box": box}])


def test_unaltered_images_are_not_touched() -> None:
    pixels, conditions = one_box(8, 8, 20, 16)
    out, told = augment(pixels, conditions, 0.5, draws([1.0] * LABELS, used=False))
    assert torch.equal(out, pixels.float())
    assert told.augment is not None
    assert told.augment.abs().max() == 0
    assert torch.equal(told.boxes, conditions.boxes)


@pytest.mark.parametrize(
    "amount",
    [
        [1.5, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.5, 0.0, 0.0, 0.0],
        [0.0, 0.0, 2.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, -2.0, 0.0],
        [-1.0, 0.5, 1.0, 1.0, 0.0],
    ],
)
def test_boxes_move_with_their_images(amount: list[float]) -> None:
    pixels, conditions = one_box(10, 12, 22, 20)
    out, told = augment(pixels, conditions, 0.5, draws(amount))
    x0, y0, x1, y1 = told.boxes[0].tolist()
    bright = (out[0] > 120).nonzero()
    assert bright[:, 1].min().item() == pytest.approx(x0, abs=1)
    assert bright[:, 1].max().item() + 1 == pytest.approx(x1, abs=1)
    assert bright[:, 0].min().item() == pytest.approx(y0, abs=1)
    assert bright[:, 0].max().item() + 1 == pytest.approx(y1, abs=1)
    assert told.augment is not None
    assert told.augment.tolist() == [pytest.approx(amount)]


def test_gain_changes_brightness_alone() -> None:
    pixels, conditions = one_box(10, 12, 22, 20)
    out, told = augment(pixels, conditions, 0.5, draws([0.0, 0.0, 0.0, 0.0, -1.0]))
    assert torch.allclose(out, pixels.float() * 2**-0.3, atol=1e-3)
    assert torch.equal(told.boxes, conditions.boxes)


def test_a_box_out_of_view_becomes_unknown() -> None:
    pixels, conditions = one_box(26, 12, 32, 20)
    _, told = augment(pixels, conditions, 0.5, draws([0.0, 0.0, 5.0, 0.0, 0.0]))
    assert told.box_state.tolist() == [BOX_UNKNOWN]
    assert told.boxes.abs().max() == 0
    _, told = augment(pixels, conditions, 0.5, draws([0.0, 0.0, -5.0, 0.0, 0.0]))
    assert told.box_state.tolist() == [BOX_PRESENT]


def test_a_normal_image_stays_normal() -> None:
    conditions = ENCODER.encode([{"pathology": "normal"}])
    pixels = torch.zeros((1, SIDE, SIDE), dtype=torch.uint8)
    _, told = augment(pixels, conditions, 1.0, draws([1.0] * LABELS))
    assert torch.equal(told.box_state, conditions.box_state)
