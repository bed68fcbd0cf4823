from __future__ import annotations

from typing import Any

import pytest
import torch

from bussynth.errors import UsageError
from bussynth.generator.conditions import (
    BOX_NONE,
    BOX_PRESENT,
    BOX_UNKNOWN,
    ConditionBatch,
    ConditionEncoder,
)

ENCODER = ConditionEncoder(
    {"pathology": ["normal", "benign", "malignant"], "device": ["a", "b"]}, (16, 32)
)


def encode(*rows: dict[str, Any]) -> ConditionBatch:
    return ENCODER.encode(rows)


def test_normal_is_not_null() -> None:
    batch = encode({"pathology": "normal"}, {"pathology": None}, {}, {"pathology": "benign"})
    pathology = batch.codes[:, 1]  # columns are alphabetical: device, pathology
    assert pathology.tolist() == [1, 0, 0, 2]
    assert batch.box_state.tolist() == [BOX_NONE, BOX_UNKNOWN, BOX_UNKNOWN, BOX_UNKNOWN]


def test_order_of_columns_does_not_matter() -> None:
    other = ConditionEncoder(dict(reversed(ENCODER.vocabulary.items())), (16, 32))
    row = {"device": "b", "pathology": "malignant"}
    assert torch.equal(other.encode([row]).codes, ENCODER.encode([row]).codes)


def test_no_rows() -> None:
    batch = ENCODER.encode([])
    assert batch.codes.shape == (0, 2)
    assert batch.box_map(8, 16, 2).shape == (0, 1, 8, 16)


@pytest.mark.parametrize("box", [(0, 0, 32, 16), (3.25, 2.5, 9.75, 4.125), (31, 15, 32, 16)])
def test_box_map_area(box: tuple[float, ...]) -> None:
    batch = encode({"pathology": "benign", "lesion_box": box})
    area = (box[2] - box[0]) * (box[3] - box[1])
    for factor in (1, 2, 4):
        drawn = batch.box_map(16 // factor, 32 // factor, factor)
        assert drawn.min() >= 0
        assert drawn.max() <= 1
        assert drawn.sum().item() * factor**2 == pytest.approx(area, rel=1e-5)


def test_box_map_place() -> None:
    drawn = encode({"lesion_box": (4, 2, 8, 6)}).box_map(8, 16, 2)[0, 0]
    assert drawn.nonzero().tolist() == [[y, x] for y in (1, 2) for x in (2, 3)]
    assert encode({}).box_map(8, 16, 2).abs().max() == 0


def test_mirroring_moves_the_box_with_the_image() -> None:
    batch = encode({"lesion_box": (1, 2, 5, 6)}, {"lesion_box": (1, 2, 5, 6)}, {})
    turned = batch.mirrored(torch.tensor([True, False, True]), width=32)
    assert turned.boxes[0].tolist() == [27, 2, 31, 6]
    assert turned.boxes[1].tolist() == [1, 2, 5, 6]
    assert turned.boxes[2].tolist() == [0, 0, 0, 0]
    flipped = batch.box_map(8, 16, 2)[:1].flip(-1)
    assert torch.equal(turned.box_map(8, 16, 2)[:1], flipped)


def test_dropout_is_independent_by_condition_and_row() -> None:
    n = 20_000
    row = {"pathology": "normal", "device": "b"}
    batch = ENCODER.encode([row, {**row, "pathology": "benign", "lesion_box": (0, 0, 4, 4)}])
    batch = batch[torch.arange(n) % 2]
    uniform = torch.rand((n, 4), generator=torch.Generator().manual_seed(1))
    hidden = batch.hidden(uniform, each=0.2, joint=0.1)
    null = hidden.codes == 0
    expected = 1 - 0.8 * 0.9
    assert null.float().mean(0).tolist() == pytest.approx([expected, expected], abs=0.015)
    both = null.all(1).float().mean().item()
    assert both == pytest.approx(0.1 + 0.9 * 0.2**2, abs=0.01)
    boxes = hidden.box_state[1::2]
    assert (boxes == BOX_UNKNOWN).float().mean().item() == pytest.approx(expected, abs=0.02)
    # A hidden box leaves no trace in the map.
    gone = hidden[hidden.box_state == BOX_UNKNOWN]
    assert gone.boxes.abs().max() == 0
    # A dropped pathology of a normal image leaves the box state "none".
    assert ((hidden.codes[:, 1] == 0) & (hidden.box_state == BOX_NONE)).any()


def test_dropout_extremes() -> None:
    batch = encode({"pathology": "benign", "lesion_box": (0, 0, 4, 4), "device": "a"})
    uniform = torch.zeros((1, 4))
    kept = batch.hidden(uniform, each=0.0, joint=0.0)
    assert torch.equal(kept.codes, batch.codes)
    assert kept.box_state.tolist() == [BOX_PRESENT]
    gone = batch.hidden(uniform, each=0.0, joint=1.0)
    assert torch.equal(gone.codes, batch.null().codes)
    assert torch.equal(gone.box_state, batch.null().box_state)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"pathology": "malign"}, 'did you mean "malignant"'),
        ({"pathologie": "benign"}, 'did you mean "pathology"'),
        ({"pathology": "normal", "lesion_box": (0, 0, 4, 4)}, "normal image has no lesion box"),
        ({"lesion_box": (0, 0, 33, 4)}, "x1 <= 32"),
        ({"lesion_box": (4, 0, 4, 4)}, "x0 < x1"),
        ({"lesion_box": (0, 0, float("nan"), 4)}, "finite"),
        ({"lesion_box": (0, 0, 4)}, "four numbers"),
        ({"lesion_box": "0,0,4,4"}, "four numbers"),
    ],
)
def test_bad_conditions_are_refused(row: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        encode({"pathology": "benign"}, row)


def test_all_problems_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        encode({"pathology": "x", "device": "y"}, {"lesion_box": (0, 0, 0, 0)})
    assert len(caught.value.problems) == 3
