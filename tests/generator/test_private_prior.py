from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bussynth.generator.private_prior import patient_vectors, prior_bins, private_prior

VOCABULARY = {"device": ("a", "b"), "pathology": ("normal", "benign", "malignant")}
SIZE = (64, 48)


def boxes() -> st.SearchStrategy[tuple[float, float, float, float]]:
    def ordered(four: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        x, w, y, h = four
        return x * 40, y * 60, x * 40 + 1e-3 + w * 7, y * 60 + 1e-3 + h * 3

    return st.tuples(*[st.floats(0, 1)] * 4).map(ordered)


rows = st.fixed_dictionaries(
    {
        "device": st.sampled_from(["a", "b", "c", None]),
        "pathology": st.sampled_from(["normal", "benign", "malignant", "other", None]),
        "lesion_box": st.none() | boxes(),
    }
)


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=6))
def test_a_patient_adds_a_vector_no_longer_than_one(images: list[dict[str, Any]]) -> None:
    (vector,) = patient_vectors(images, ["p"] * len(images), VOCABULARY, SIZE)
    assert vector.shape == (prior_bins(VOCABULARY),)
    assert np.linalg.norm(vector) <= 1 + 1e-12


def cohort(patients: int) -> tuple[list[dict[str, Any]], list[str]]:
    rng = np.random.default_rng(0)
    images, owners = [], []
    for patient in range(patients):
        pathology = ("benign", "malignant", "benign", "normal")[patient % 4]
        for _ in range(1 + patient % 3):
            x, y = rng.normal(24, 3), rng.normal(20, 4)
            w, h = 14 * np.exp(rng.normal(0, 0.2)), 10 * np.exp(rng.normal(0, 0.2))
            box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            images.append(
                {
                    "pathology": pathology,
                    "device": "a" if patient % 5 else "b",
                    "lesion_box": None if pathology == "normal" else box,
                }
            )
            owners.append(f"p{patient}")
    return images, owners


def test_without_noise_it_is_what_the_patients_have() -> None:
    images, owners = cohort(400)
    total = np.sum(patient_vectors(images, owners, VOCABULARY, SIZE), axis=0)
    prior = private_prior(total, 1e-9, VOCABULARY, SIZE)
    assert prior.values["pathology"]["any"] == pytest.approx([0, 0.25, 0.5, 0.25], abs=0.005)
    assert prior.values["device"]["malignant"] == pytest.approx([0, 0.8, 0.2], abs=0.01)
    assert "normal" not in prior.boxes
    drawn = np.array([prior.draw(np.random.default_rng(i), {"pathology": "benign"})["lesion_box"]
                      for i in range(400)])  # fmt: skip
    x = (drawn[:, 0] + drawn[:, 2]) / 2
    y = (drawn[:, 1] + drawn[:, 3]) / 2
    assert x.mean() == pytest.approx(24, abs=1)
    assert x.std() == pytest.approx(3, rel=0.25)
    assert y.mean() == pytest.approx(20, abs=1.5)
    assert (drawn[:, 2] - drawn[:, 0]).mean() == pytest.approx(14, rel=0.1)


@pytest.mark.parametrize("noise", [3.0, 30.0, 3000.0])
def test_any_noise_gives_a_prior_that_can_be_drawn_from(noise: float) -> None:
    images, owners = cohort(60)
    rng = np.random.default_rng(1)
    for _ in range(20):
        total = np.sum(patient_vectors(images, owners, VOCABULARY, SIZE), axis=0)
        total += noise * rng.standard_normal(len(total))
        prior = private_prior(total, noise, VOCABULARY, SIZE)
        assert type(prior).from_dict(prior.to_dict()) == prior
        for i in range(20):
            row = prior.draw(np.random.default_rng(i))
            box = row["lesion_box"]
            assert box is None or (0 <= box[0] < box[2] <= 48 and 0 <= box[1] < box[3] <= 64)


def test_noise_alone_says_nothing() -> None:
    bins = prior_bins(VOCABULARY)
    prior = private_prior(np.zeros(bins), 5.0, VOCABULARY, SIZE)
    assert prior.values["pathology"]["any"] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.001)
    assert prior.boxes.keys() == {"any"}


def test_what_noise_feigns_has_little_say() -> None:
    images, owners = cohort(60)
    rng, least = np.random.default_rng(2), []
    for _ in range(200):
        total = np.sum(patient_vectors(images, owners, VOCABULARY, SIZE), axis=0)
        total += 60.0 * rng.standard_normal(len(total))
        shares = private_prior(total, 60.0, VOCABULARY, SIZE).values["pathology"]["any"]
        least.append(min(shares[1:]))
    # Even shares would be a third each.
    assert np.quantile(least, 0.1) > 0.08
