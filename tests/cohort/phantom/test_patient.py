from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.phantom.patient import PhantomView, simulate_patient

CONFIG = PhantomConfig(image_size=48, seed=11, min_views=2, max_views=2)


@cache
def patients(count: int = 90) -> tuple[list[PhantomView], ...]:
    return tuple(simulate_patient(index, CONFIG) for index in range(count))


def test_a_patient_is_a_function_of_seed_and_number_alone() -> None:
    first = simulate_patient(7, CONFIG)
    simulate_patient(3, CONFIG)
    larger = PhantomConfig(**{**CONFIG.to_dict(), "patients": 5000})
    again = simulate_patient(7, larger)
    assert len(first) == len(again) == 2
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.lesion_box == other.lesion_box
    assert not np.array_equal(first[0].image, first[1].image)


def test_seed_and_number_both_matter() -> None:
    other = PhantomConfig(**{**CONFIG.to_dict(), "seed": 12})
    image = simulate_patient(0, CONFIG)[0].image
    assert not np.array_equal(image, simulate_patient(0, other)[0].image)
    assert not np.array_equal(image, simulate_patient(1, CONFIG)[0].image)


def test_boxes_are_the_bounds_of_the_masks_and_normal_has_neither() -> None:
    for views in patients():
        for view in views:
            if view.pathology == "normal":
                assert view.lesion_box is None
                assert not view.mask.any()
                assert view.birads == "1"
                continue
            rows, columns = np.nonzero(view.mask)
            assert view.lesion_box == (
                columns.min(),
                rows.min(),
                columns.max() + 1,
                rows.max() + 1,
            )
            assert view.birads in (("2", "3", "4") if view.pathology == "benign" else ("4", "5"))


def test_class_fractions_hold_even_in_a_small_cohort() -> None:
    counts = Counter(views[0].pathology for views in patients())
    assert abs(counts["normal"] - 0.20 * 90) <= 2
    assert abs(counts["malignant"] - 0.35 * 90) <= 2
    assert len({views[0].device for views in patients()}) == 5


@pytest.mark.parametrize(
    ("normal", "malignant", "expected"),
    [(1.0, 0.0, "normal"), (0.0, 1.0, "malignant"), (0.0, 0.0, "benign")],
)
def test_extreme_fractions(normal: float, malignant: float, expected: str) -> None:
    config = PhantomConfig(
        image_size=16, normal=normal, malignant=malignant, min_views=1, max_views=1
    )
    assert {simulate_patient(index, config)[0].pathology for index in range(8)} == {expected}


def test_number_of_views_stays_in_its_range() -> None:
    config = PhantomConfig(image_size=16, min_views=1, max_views=3)
    counts = {len(simulate_patient(index, config)) for index in range(20)}
    assert counts == {1, 2, 3}


def test_views_of_one_patient_agree_on_the_truth() -> None:
    for first, second in patients():
        assert first.pathology == second.pathology
        assert first.device == second.device
        assert first.birads == second.birads


def blurred(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    coarse = image.reshape(12, 4, 12, 4).mean(axis=(1, 3))
    return np.asarray((coarse - coarse.mean()) / (coarse.std() + 1e-9)).ravel()


def test_views_of_one_patient_resemble_each_other_more_than_other_patients() -> None:
    one_device = PhantomConfig(**{**CONFIG.to_dict(), "devices": ("phantom-linear-a",)})
    pairs = [simulate_patient(index, one_device) for index in range(40)]
    first = np.stack([blurred(pair[0].image) for pair in pairs])
    second = np.stack([blurred(pair[1].image) for pair in pairs])
    similarity = first @ second.T / first.shape[1]
    own = np.diag(similarity)
    others = similarity[~np.eye(len(pairs), dtype=bool)]
    assert own.mean() > others.mean() + 0.05
    rank = (similarity > own[:, None]).mean(axis=1)
    assert rank.mean() < 0.3


def test_classes_can_be_told_apart_but_not_perfectly() -> None:
    """One measurement of shape and one of shadow already inform; neither decides."""
    score, malignant = [], []
    for views in patients():
        view = views[0]
        if view.lesion_box is None:
            continue
        x0, y0, x1, y1 = view.lesion_box
        filled = view.mask.sum() / ((x1 - x0) * (y1 - y0))
        score.append((y1 - y0) / (x1 - x0) - 1.5 * filled)
        malignant.append(view.pathology == "malignant")
    values, labels = np.array(score), np.array(malignant)
    auc = (values[labels][:, None] > values[~labels][None]).mean()
    assert 0.65 < auc < 0.93
