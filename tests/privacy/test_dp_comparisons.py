from __future__ import annotations

import pytest

from privacy.dp.accounting import epsilon
from privacy.dp.comparisons import epsilon_per_image, epsilon_replacing, group_guarantee
from privacy.dp.errors import DPInputError
from privacy.dp.mechanism import SampledGaussian


def sampled(noise: float, rate: float = 1.0, steps: int = 1) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps)


def test_replacing_a_patient_costs_more_than_adding_one() -> None:
    assert epsilon_replacing([sampled(2.0, 0.1, 1000)], 1e-4) == pytest.approx(15.94, abs=0.02)
    assert epsilon_replacing([], 1e-5) == 0


def test_a_patient_of_several_images_costs_more_than_an_image() -> None:
    one = sampled(10.0, 0.1, 200)
    assert epsilon_per_image(one, 1, 1e-4) == pytest.approx(epsilon([one], 1e-4).pld, abs=5e-3)
    # Where nothing is drawn by chance, two images are a sum of twice the sensitivity.
    twice = epsilon([sampled(50.0, steps=5)], 1e-4).pld
    assert epsilon_per_image(sampled(100.0, steps=5), 2, 1e-4) == pytest.approx(twice, rel=1e-2)
    with pytest.raises(DPInputError, match="1 image or more"):
        epsilon_per_image(one, 0, 1e-4)


def test_groups() -> None:
    assert group_guarantee(0.0, 1e-5, 3) == (0.0, pytest.approx(3e-5))
    total, delta = group_guarantee(8.0, 1e-4, 2)
    assert total == 16
    assert delta == pytest.approx(0.298, abs=0.001)
    assert group_guarantee(8.0, 1e-4, 3)[1] == 1.0
    assert group_guarantee(400.0, 1e-4, 3) == (1200.0, 1.0)
    with pytest.raises(DPInputError, match="1 member or more"):
        group_guarantee(1.0, 1e-5, 0)
