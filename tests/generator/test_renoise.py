from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bussynth.cohort import Cohort
from bussynth.errors import UsageError
from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.generator import Generator
from bussynth.generator.renoise import renoise
from bussynth.generator.sampler import SIGMA_MAX, SIGMA_MIN, initial_noise, karras_level

Images = np.ndarray
SPREAD = 0.5


@pytest.fixture(scope="module")
def rows(cohort: Cohort) -> tuple[Images, list[dict]]:
    view = cohort.select(split="train")
    return view.images()[:5], [
        {**row.conditions, "lesion_box": row.lesion_box} for row in list(view)[:5]
    ]


def change(a: Images, b: Images) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def test_little_strength_gives_the_image_back_and_more_changes_more(
    generator: Generator, rows: tuple[Images, list[dict]]
) -> None:
    images, conditions = rows
    strengths = (1e-9, 0.1, 0.5, 1.0)
    changes = [
        change(images, generator.renoise(images, conditions, strength, [7, 8, 9, 10, 11], steps=6))
        for strength in strengths
    ]
    assert changes[0] < 1
    assert changes == sorted(changes)
    assert changes[-1] > 2 * changes[1]


def test_full_strength_forgets_the_image(
    generator: Generator, rows: tuple[Images, list[dict]]
) -> None:
    images, conditions = rows
    sampled = generator.sample(conditions, [1] * 5, steps=4)
    again = generator.renoise(images, conditions, 1.0, [1] * 5, steps=4)
    # The image is 40 times weaker than the noise, so almost the same image comes out.
    assert change(sampled, again) < change(images, again) / 2


def test_depends_on_seed_and_not_on_the_batch(
    generator: Generator, rows: tuple[Images, list[dict]]
) -> None:
    images, conditions = rows
    seeds = [5, 6, 7, 8, 9]
    whole = generator.renoise(images, conditions, 0.5, seeds, steps=3)
    assert np.array_equal(whole, generator.renoise(images, conditions, 0.5, seeds, steps=3))
    parts = generator.renoise(images, conditions, 0.5, seeds, steps=3, batch_size=2)
    assert np.abs(whole.astype(int) - parts.astype(int)).max() <= 1  # rounding of the kernels
    alone = generator.renoise(images[3:4], conditions[3:4], 0.5, seeds[3:4], steps=3)
    assert np.abs(whole[3:4].astype(int) - alone.astype(int)).max() <= 1
    other = generator.renoise(images[3:4], conditions[3:4], 0.5, [1], steps=3)
    assert change(alone, other) > 1


def test_nothing_to_do(generator: Generator) -> None:
    assert generator.renoise(np.zeros((0, 16, 16), np.uint8), [], 0.5, []).shape == (0, 16, 16)


def test_bad_requests_are_refused_at_once(
    generator: Generator, rows: tuple[Images, list[dict]]
) -> None:
    images, _ = rows
    with pytest.raises(UsageError) as caught:
        generator.renoise(images[:2], [{"pathology": "malign"}], 0.0, [1, 2], steps=0)
    text = str(caught.value)
    for part in ('"malignant"', "1 conditions but 2 seeds", "2 images but 1", "strength=0.0",
                 "steps=0"):  # fmt: skip
        assert part in text
    for wrong in (images[:1, :8], images[:1].astype(float)):
        with pytest.raises(UsageError, match=r"uint8 images \(n, 16, 16\)"):
            generator.renoise(wrong, [{}], 0.5, [1])
    for strength in (1.1, float("nan"), -1.0):
        with pytest.raises(UsageError, match="strength="):
            generator.renoise(images[:1], [{}], strength, [1])


def test_against_the_exact_solution() -> None:
    """For Gaussian data the ODE from level s keeps the sign and scales the deviation exactly."""

    def gaussian(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
        return SPREAD**2 * x / (SPREAD**2 + sigma.view(-1, 1, 1, 1) ** 2)

    clean = initial_noise([1, 2], (2, 4, 4)).double() * SPREAD
    noise = initial_noise([3, 4], (2, 4, 4)).double()
    conditions = ConditionEncoder({"pathology": ["normal"]}, (8, 8)).encode([{}] * 2)
    for strength in (0.3, 0.6, 1.0):
        start = karras_level(strength)
        found = renoise(gaussian, clean, noise, conditions, strength, steps=60)
        exact = (clean + start * noise) * SPREAD / (SPREAD**2 + start**2) ** 0.5
        assert torch.allclose(found, exact, atol=5e-3)


def test_levels_of_the_grid() -> None:
    assert karras_level(0.0) == pytest.approx(SIGMA_MIN)
    assert karras_level(1.0) == pytest.approx(SIGMA_MAX)
    # The numbers that the documentation of `renoise` gives.
    assert [karras_level(s) for s in (0.1, 0.3, 0.6)] == pytest.approx([0.034, 0.26, 3.1], rel=0.03)
