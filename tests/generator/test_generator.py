from __future__ import annotations

import numpy as np
import pytest

from bussynth.errors import UsageError
from bussynth.generator.generator import Generator, Sampler

ROWS = [
    {"pathology": "benign", "device": "linear", "lesion_box": (1, 1, 7, 7)},
    {"pathology": "normal"},
    {},
    {"pathology": "malignant", "lesion_box": (8, 8, 15, 15)},
    {"birads": "5"},
]
SEEDS = [3, 1, 2, 2**62, 5]


def grey_levels(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def test_images_do_not_depend_on_the_batch(generator: Generator) -> None:
    whole = generator.sample(ROWS, SEEDS, steps=4)
    assert whole.shape == (5, 16, 16)
    assert whole.dtype == np.uint8
    parts = generator.sample(ROWS, SEEDS, steps=4, batch_size=2)
    assert grey_levels(whole, parts) <= 1  # rounding of the kernels
    alone = generator.sample(ROWS[3:4], SEEDS[3:4], steps=4)
    assert grey_levels(whole[3:4], alone) <= 1
    other = generator.sample(ROWS[3:4], [0], steps=4)
    assert grey_levels(alone, other) > 10


def test_guidance_is_by_row(generator: Generator) -> None:
    plain = generator.sample(ROWS, SEEDS, steps=4)
    mixed = generator.sample(ROWS, SEEDS, steps=4, guidance=[1.0, 1.0, 3.0, 3.0, 1.0])
    for i in (0, 1, 4):
        assert grey_levels(plain[i], mixed[i]) <= 1
    assert grey_levels(plain[3], mixed[3]) > 1
    # Row 2 asks for nothing, and there is nothing to be guided by.
    assert grey_levels(plain[2], mixed[2]) <= 1


def test_the_lesion_lies_in_its_box(generator: Generator) -> None:
    left, right = (1, 4, 7, 12), (9, 4, 15, 12)
    rows = [{"pathology": "malignant", "lesion_box": box} for box in [left, right] * 12]
    images = generator.sample(rows, list(range(24)), steps=10).astype(float)
    inside_left, inside_right = (
        images[:, 5:11, 2:6].mean((1, 2)),
        images[:, 5:11, 10:14].mean((1, 2)),
    )
    contrast = np.where(
        np.arange(24) % 2 == 0, inside_right - inside_left, inside_left - inside_right
    )
    assert contrast.mean() > 20


def test_no_images(generator: Generator) -> None:
    assert generator.sample([], []).shape == (0, 16, 16)


def test_bad_requests_are_refused_at_once(generator: Generator) -> None:
    with pytest.raises(UsageError) as caught:
        generator.sample([{"pathology": "malign"}, {}], [-1], steps=0, guidance=[1.0])
    text = str(caught.value)
    for part in ('"malignant"', "2 conditions but 1 seeds", "guidance scales", "0 .. 2", "steps=0"):
        assert part in text


def test_unknown_device_is_refused(model_folder: object) -> None:
    for device in ("tpu", "mps", "cuda:99"):
        with pytest.raises(UsageError, match="device="):
            Generator.load(str(model_folder), device)


def test_is_a_sampler(generator: Generator) -> None:
    sampler: Sampler = generator
    assert sampler.image_size == (16, 16)
    assert "benign" in sampler.vocabulary["pathology"]
