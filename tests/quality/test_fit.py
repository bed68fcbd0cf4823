from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bussynth.progress import Progress, Task
from bussynth.quality import fit
from bussynth.quality.classifier import Classifier, ClassifierJob
from bussynth.quality.fit import default_steps, train_all


def job(seed: int = 0, steps: int = 2) -> ClassifierJob:
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64)).astype(np.uint8)
    return ClassifierJob(
        images=images,
        labels=np.arange(8) % 2,
        patients=np.arange(8),
        classes=2,
        steps=steps,
        seed=seed,
    )


class Counted(Progress, Task):
    """Counts what was reported."""

    total, done = 0, 0

    def task(self, description: str, total: int | None = None, **_: Any) -> Any:
        self.total = total or 0
        return self

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, n: int = 1, **info: str | float) -> None:
        self.done += n


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_larger_sets_take_more_steps() -> None:
    assert default_steps(10) < default_steps(2000) < default_steps(8000)


def test_a_seed_gives_the_same_network_wherever_it_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit, "_BATCH", 64)  # as in worker processes, which nobody patched
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    here = Counted()
    first, second, again = train_all([job(0), job(1), job(0)], progress=here)
    assert torch.equal(torch.rand(1), expected)  # global randomness is as it was
    assert (here.done, here.total) == (6, 6)
    assert equal(first, again)
    assert not equal(first, second)
    there = Counted()
    apart = train_all([job(0), job(1)], workers=2, progress=there)
    assert equal(first, apart[0])
    assert equal(second, apart[1])
    assert (there.done, there.total) == (4, 4)


def test_answers_are_probabilities_of_each_image_alone() -> None:
    classifier = Classifier(train_all([job(0), job(1)]), 2)
    images = np.random.default_rng(1).integers(0, 256, (5, 64, 64)).astype(np.uint8)
    said = classifier.probabilities(images)
    assert said.shape == (5, 2)
    assert np.allclose(said.sum(axis=1), 1)
    assert np.allclose(said[3:4], classifier.probabilities(images[3:4]), atol=1e-5)
    assert np.allclose(said, classifier.probabilities(images[:, :, ::-1].copy()), atol=1e-5)
