from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from privacy.guard.classifier import (
    LabelClassifier,
    label_accuracy,
    random_codes,
    recognised_share,
)
from privacy.guard.cpsample import CPSampleGuard, derived_steps
from privacy.guard.errors import GuardInputError


def latents(n: int, seed: int) -> Tensor:
    """Smooth random maps with a standard deviation of 0.5."""
    coarse = torch.randn((n, 4, 4, 4), generator=torch.Generator().manual_seed(seed))
    maps = torch.nn.functional.interpolate(coarse, size=8, mode="bilinear", align_corners=True)
    return 0.5 * maps / maps.std()


TRAIN, OTHER = latents(12, 0), latents(200, 1)
PATIENTS = [f"p{i // 2}" for i in range(12)]


@pytest.fixture(scope="module")
def guard() -> CPSampleGuard:
    torch.manual_seed(1234)
    before = torch.random.get_rng_state()
    made = CPSampleGuard.fit(TRAIN, PATIENTS, steps=200, tolerance=0.05)
    assert torch.equal(before, torch.random.get_rng_state())
    return made


EVERYTHING = torch.cat([TRAIN, OTHER]).flatten(1)
# As if the model had seen each training latent ten times.
WEIGHTS = torch.cat([torch.full((len(TRAIN),), 10.0), torch.ones(len(OTHER))]).log()


def copying(x: Tensor, sigma: Tensor, conditions: Any) -> Tensor:
    """The ideal denoiser of a distribution in which training latents are far too frequent."""
    squared = (x.flatten(1)[:, None] - EVERYTHING).square().sum(dim=2)
    weights = torch.softmax(WEIGHTS - squared / (2 * sigma.view(-1, 1) ** 2), dim=1)
    return (weights @ EVERYTHING).view_as(x)


def sampled(denoiser: Any, n: int, seed: int = 0) -> Tensor:
    """Euler steps of the probability-flow ODE from noise level 5 to 0."""
    levels = [5.0 * (0.02 / 5.0) ** (i / 15) for i in range(16)]
    x = levels[0] * torch.randn((n, 4, 8, 8), generator=torch.Generator().manual_seed(seed))
    for sigma, following in zip(levels, [*levels[1:], 0.0], strict=True):
        denoised = denoiser(x, x.new_full((n,), sigma), None)
        x = (following / sigma) * x + (1 - following / sigma) * denoised
    return x


def nearest(x: Tensor) -> Tensor:
    return torch.cdist(x.flatten(1), TRAIN.flatten(1)).min(dim=1).values / math.sqrt(256)


def test_the_classifier_knows_its_labels_under_fresh_noise(guard: CPSampleGuard) -> None:
    accuracy = guard.record["accuracy"]
    assert list(accuracy) == ["0.02", "0.05", "0.3", "1", "3"]
    assert accuracy["0.3"] > 0.99
    assert accuracy["3"] <= accuracy["0.3"]


def test_the_record_says_on_how_many_training_latents_the_guard_acts(guard: CPSampleGuard) -> None:
    said = guard.describe()["recognised"]
    assert list(said) == list(guard.record["accuracy"])
    assert said["0.05"] == 1
    assert said["3"] < said["0.3"]
    # Naively, one latent at a time; noise as the record draws it.
    noise = torch.randn(TRAIN.shape, generator=torch.Generator().manual_seed(1))
    for sigma in (0.3, 1.0, 3.0):
        level = torch.tensor([sigma])
        noisy = (TRAIN + sigma * noise).split(1)
        acts = [float(guard.uncertainty(x, level)) < guard.tolerance for x in noisy]
        assert said[f"{sigma:g}"] == pytest.approx(sum(acts) / 12, abs=1e-4)


def test_shares_of_all_and_of_none(guard: CPSampleGuard) -> None:
    assert recognised_share(guard.classifier, TRAIN, 0.1, 0.5, seed=0) == 1
    assert recognised_share(guard.classifier, TRAIN, 0.1, 0.0, seed=0) == 0


@pytest.mark.parametrize(
    ("latents", "steps"), [(1, 1000), (256, 1000), (2000, 7813), (10**6, 50_000)]
)
def test_steps_follow_from_the_number_of_latents(latents: int, steps: int) -> None:
    assert derived_steps(latents) == steps


def test_steps_are_derived_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privacy.guard.cpsample._FEWEST", 130)
    assert CPSampleGuard.fit(TRAIN, PATIENTS).record["steps"] == 130


def test_training_latents_are_recognised_and_others_less(guard: CPSampleGuard) -> None:
    known, unknown = (
        guard.uncertainty(clean, torch.full((len(clean),), 0.1)) for clean in (TRAIN, OTHER)
    )
    assert (known < guard.tolerance).all()
    assert unknown.mean() > 10 * known.mean()


def test_fewer_copies_are_made(guard: CPSampleGuard) -> None:
    strong = replace(guard, tolerance=0.1, limit=3.0)
    copies, kept = (
        (nearest(sampled(denoiser, 256)) < 0.05).float().mean()
        for denoiser in (copying, strong.protected(copying))
    )
    assert copies > 0.25
    assert kept < 0.7 * copies


def test_the_push_lowers_certainty(guard: CPSampleGuard) -> None:
    sigma = torch.full((12,), 0.3)
    pushed = guard.protected(lambda x, s, c: torch.zeros_like(x))(TRAIN, sigma, None)
    small = 0.01 * pushed / pushed.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    before, after = (guard.uncertainty(x, sigma) for x in (TRAIN, TRAIN + small))
    assert (after > before).all()


def test_the_push_is_no_longer_than_the_limit(guard: CPSampleGuard) -> None:
    sigma = torch.linspace(0.05, 5.0, 12)
    strong = replace(guard, scale=1e6, limit=0.5, tolerance=0.49)
    push = strong.protected(lambda x, s, c: torch.zeros_like(x))(TRAIN, sigma, None)
    lengths = push.flatten(1).norm(dim=1)
    assert (lengths <= 0.5 * sigma * math.sqrt(256) * 1.0001).all()
    assert (lengths > 0.1 * sigma * math.sqrt(256)).any()


@pytest.mark.parametrize("change", [{"scale": 0.0}, {"limit": 0.0}, {"tolerance": 1e-30}])
def test_without_strength_nothing_changes(guard: CPSampleGuard, change: dict[str, float]) -> None:
    sigma = torch.full((12,), 0.3)
    noisy = TRAIN + 0.3 * latents(12, 5)
    guarded = replace(guard, **change).protected(copying)(noisy, sigma, None)  # type: ignore[arg-type]
    assert torch.equal(guarded, copying(noisy, sigma, None))


def test_above_the_highest_level_nothing_changes(guard: CPSampleGuard) -> None:
    sigma = torch.full((12,), 10.5)
    loose = replace(guard, tolerance=0.499)
    assert torch.equal(loose.protected(copying)(TRAIN, sigma, None), copying(TRAIN, sigma, None))


def test_rows_do_not_depend_on_the_batch(guard: CPSampleGuard) -> None:
    denoise = guard.protected(copying)
    noisy, sigma = TRAIN + 0.3 * latents(12, 5), torch.linspace(0.05, 2, 12)
    whole = denoise(noisy, sigma, None)
    single = torch.cat([denoise(noisy[i : i + 1], sigma[i : i + 1], None) for i in range(12)])
    torch.testing.assert_close(whole, single, atol=1e-4, rtol=1e-4)


def test_conditions_are_passed_on(guard: CPSampleGuard) -> None:
    seen = []

    def noted(x: Tensor, sigma: Tensor, conditions: Any) -> Tensor:
        seen.append(conditions)
        return x

    marker = object()
    guard.protected(noted)(TRAIN, torch.ones(12), marker)
    assert seen == [marker]


def test_samplers_in_inference_mode_and_half_precision_are_served(guard: CPSampleGuard) -> None:
    denoise = guard.protected(copying)
    plain = denoise(TRAIN, torch.full((12,), 0.3), None)
    with torch.inference_mode():
        held = denoise(TRAIN.clone(), torch.full((12,), 0.3), None)
    torch.testing.assert_close(held, plain)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = guard.protected(lambda x, s, c: torch.zeros_like(x))(
            TRAIN, torch.full((12,), 0.3), None
        )
    assert half.dtype == torch.float32


def test_fitting_is_reproducible(guard: CPSampleGuard) -> None:
    assert CPSampleGuard.fit(TRAIN, PATIENTS, steps=200, tolerance=0.05).digest == guard.digest
    assert replace(guard, tolerance=0.06).digest != guard.digest


def test_workers_can_be_given_a_guard(guard: CPSampleGuard) -> None:
    assert pickle.loads(pickle.dumps(guard)).digest == guard.digest


def test_describe_is_plain_and_names_the_void_claim(guard: CPSampleGuard) -> None:
    found = guard.describe()
    assert json.loads(json.dumps(found)) == found
    assert found["voids"] == "formal-dp"
    assert (found["latents"], found["patients"], found["labels"]) == (12, 6, 16)


def test_patients_share_their_labels() -> None:
    codes = random_codes(["b", "a", "b", "c"], 16, seed=0)
    assert torch.equal(codes[0], codes[2])
    assert not torch.equal(codes[0], codes[1])
    assert set(codes.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(codes, random_codes(["b", "a", "b", "c"], 16, seed=1))


@pytest.mark.parametrize("shape", [(16, 16, 16), (4, 32, 32), (4, 10, 14)])
def test_the_classifier_takes_any_latent(shape: tuple[int, int, int]) -> None:
    classifier = LabelClassifier(shape, 3)
    assert classifier(torch.zeros(2, *shape), torch.ones(2)).shape == (2, 3)


def test_accuracy_of_an_untrained_classifier_is_a_guess() -> None:
    codes = random_codes([str(i) for i in range(200)], 16, seed=0)
    found = label_accuracy(LabelClassifier((4, 8, 8), 16), OTHER, codes, 0.1, seed=0)
    assert 0.4 < found < 0.6


def test_a_classifier_that_learned_nothing_is_refused() -> None:
    with pytest.raises(GuardInputError, match=r"labels at .* after 1 steps.*more steps"):
        CPSampleGuard.fit(TRAIN, PATIENTS, steps=1)


def test_labels_must_be_known_under_more_than_a_trace_of_noise() -> None:
    # After 200 steps all labels are known at level 0.02, and too few at 0.3.
    with pytest.raises(GuardInputError, match=r"knows 9\d\.\d% of its labels at noise level 0\.3 "):
        CPSampleGuard.fit(OTHER, steps=200)


def test_bad_input_is_named_all_at_once() -> None:
    with pytest.raises(GuardInputError) as caught:
        CPSampleGuard.fit(
            TRAIN[0],
            ["a"],
            sigmas=(1.0, 0.5),
            labels=0,
            steps=0,
            tolerance=0.5,
            scale=-1.0,
            limit=math.inf,
        )
    assert len(caught.value.problems) == 8


def test_latents_that_are_not_finite_are_refused() -> None:
    broken = TRAIN.clone()
    broken[3, 0, 0, 0] = math.nan
    with pytest.raises(GuardInputError, match="not finite"):
        CPSampleGuard.fit(broken)
