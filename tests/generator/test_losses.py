from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bussynth.cohort import Cohort
from bussynth.errors import UsageError
from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.generator import Generator
from bussynth.generator.losses import PROXIMAL_SIGMA, denoising_losses, proximal_losses
from bussynth.generator.sampler import initial_noise
from bussynth.generator.seeds import derive_seed
from bussynth.generator.transform import SIGMA_DATA

SIGMAS = (0.1, 0.5, 2.0)


def knows(memory: Tensor):
    """A denoiser that has learned one map by heart and answers with it for all noise."""

    def denoiser(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
        return memory.expand_as(x)

    return denoiser


def gaussian(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
    return SIGMA_DATA**2 * x / (SIGMA_DATA**2 + sigma.view(-1, 1, 1, 1) ** 2)


@pytest.fixture(scope="module")
def maps() -> tuple[Tensor, ConditionBatch]:
    conditions = ConditionEncoder({"pathology": ["normal"]}, (8, 8)).encode([{}] * 3)
    return initial_noise([1, 2, 3], (4, 4, 4)) * SIGMA_DATA, conditions


def test_what_is_known_by_heart_costs_nothing(maps: tuple[Tensor, ConditionBatch]) -> None:
    clean, conditions = maps
    denoiser = knows(clean[:1])
    random = denoising_losses(denoiser, clean, conditions, SIGMAS, [4, 5, 6])
    proximal = proximal_losses(denoiser, clean, conditions, SIGMAS)
    for losses in (random, proximal):
        assert losses.dtype == torch.float64
        assert losses.shape == (3, 3)
        assert (losses[0] == 0).all()
        assert (losses[1:] > 0).all()


def test_against_the_formulas_one_image_and_level_at_a_time(
    maps: tuple[Tensor, ConditionBatch],
) -> None:
    clean, conditions = maps
    random = denoising_losses(gaussian, clean, conditions, SIGMAS, [4, 5, 4], draws=2)
    proximal = proximal_losses(gaussian, clean, conditions, SIGMAS)
    for i, seed in enumerate([4, 5, 4]):
        x = clean[i].double().numpy()
        e0 = x - x * SIGMA_DATA**2 / (SIGMA_DATA**2 + PROXIMAL_SIGMA**2)
        e0 = e0 / np.sqrt((e0**2).mean())
        for j, sigma in enumerate(SIGMAS):
            shrink = SIGMA_DATA**2 / (SIGMA_DATA**2 + sigma**2)
            weight = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
            drawn = []
            for k in range(2):
                rng = np.random.default_rng(derive_seed("loss noise", seed, j, k))
                noise = rng.standard_normal((4, 4, 4), dtype=np.float32)
                drawn.append(weight * ((shrink * (x + sigma * noise) - x) ** 2).mean())
            assert random[i, j].item() == pytest.approx(np.mean(drawn), rel=1e-4)
            expected = weight * ((shrink * (x + sigma * e0) - x) ** 2).mean()
            assert proximal[i, j].item() == pytest.approx(expected, rel=1e-4)


def test_a_model_that_sees_no_noise_gives_finite_numbers(
    maps: tuple[Tensor, ConditionBatch],
) -> None:
    def identity(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
        return x

    clean, conditions = maps
    assert (proximal_losses(identity, clean, conditions, SIGMAS) == 0).all()


@pytest.fixture(scope="module")
def rows(cohort: Cohort) -> tuple[np.ndarray, list[dict]]:
    view = cohort.select(split="train")
    conditions = [{**row.conditions, "lesion_box": row.lesion_box} for row in list(view)[:5]]
    return view.images()[:5], conditions


def test_generator_gives_one_number_an_image_and_level(
    generator: Generator, rows: tuple[np.ndarray, list[dict]]
) -> None:
    images, conditions = rows
    seeds = [1, 2, 3, 4, 5]
    whole = generator.losses(images, conditions, SIGMAS, seeds, draws=2)
    assert whole.shape == (5, 3)
    assert whole.dtype == np.float64
    assert np.isfinite(whole).all()
    assert np.array_equal(whole, generator.losses(images, conditions, SIGMAS, seeds, draws=2))
    parts = generator.losses(images, conditions, SIGMAS, seeds, draws=2, batch_size=2)
    assert np.allclose(whole, parts, rtol=1e-4)
    assert not np.allclose(whole, generator.losses(images, conditions, SIGMAS, [0] * 5, draws=2))
    proximal = generator.proximal_losses(images, conditions, SIGMAS)
    alone = generator.proximal_losses(images[2:3], conditions[2:3], SIGMAS)
    assert np.allclose(proximal[2:3], alone, rtol=1e-4)


def test_the_trained_model_knows_training_pictures_from_noise(
    generator: Generator, rows: tuple[np.ndarray, list[dict]]
) -> None:
    images, conditions = rows
    shuffled = np.random.default_rng(0).permuted(images.reshape(5, -1), axis=1)
    for found in (
        lambda x: generator.losses(x, conditions, [0.5], [1] * 5, draws=4),
        lambda x: generator.proximal_losses(x, conditions, [0.5]),
    ):
        assert found(images).mean() < found(shuffled.reshape(images.shape)).mean()


def test_no_images_and_no_levels(generator: Generator, rows: tuple[np.ndarray, list[dict]]) -> None:
    images, conditions = rows
    assert generator.losses(images[:0], [], SIGMAS, []).shape == (0, 3)
    assert generator.proximal_losses(images, conditions, []).shape == (5, 0)


def test_bad_requests_are_refused_at_once(
    generator: Generator, rows: tuple[np.ndarray, list[dict]]
) -> None:
    images, conditions = rows
    with pytest.raises(UsageError) as caught:
        generator.losses(images[:, :8], conditions, (0.0, 1.0), [1], draws=0)
    for part in ("(n, 16, 16)", "sigmas=(0.0, 1.0)", "5 conditions but 1 seeds", "draws=0"):
        assert part in str(caught.value)
    with pytest.raises(UsageError, match="noise levels"):
        generator.proximal_losses(images, conditions, (float("nan"),))
