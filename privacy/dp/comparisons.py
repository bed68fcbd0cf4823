"""Other ways to put what a guarantee costs, for comparison with what is claimed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from privacy.dp.accounting import check_probability, pld_accountant
from privacy.dp.errors import DPInputError
from privacy.dp.mechanism import SampledGaussian

__all__ = ["epsilon_per_image", "epsilon_replacing", "group_guarantee"]


def epsilon_replacing(mechanisms: Sequence[SampledGaussian], delta: float) -> float:
    """Epsilon where neighbours have one patient replaced by another.

    Args:
        mechanisms: All that looked at the patients, fixed before the first of them did.
        delta: In (0, 1).
    """
    check_probability(delta)
    done = [one for one in mechanisms if one.steps]
    return float(pld_accountant(done, replacing=True).get_epsilon(delta)) if done else 0.0


def epsilon_per_image(mechanism: SampledGaussian, images: int, delta: float) -> float:
    """Epsilon **of a patient** where single images are sampled and clipped.

    A patient with several images is then in a sum with as many of them as the draw took: a mixture
    of Gaussians (Ganesh 2024, arXiv:2401.10294).

    Args:
        mechanism: The mechanism as it runs, on images.
        images: Most images a patient has, 1 or more.
        delta: In (0, 1).
    """
    from dp_accounting import dp_event
    from scipy.stats import binom

    check_probability(delta)
    if images < 1:
        raise DPInputError(f"A patient has 1 image or more, not {images}.")
    counts = np.arange(images + 1)
    event = dp_event.MixtureOfGaussiansDpEvent(
        mechanism.noise_multiplier,
        counts.tolist(),
        binom.pmf(counts, images, mechanism.sampling_rate).tolist(),
    )
    accountant = pld_accountant()
    accountant.compose(event, mechanism.steps)
    return float(accountant.get_epsilon(delta))


def group_guarantee(epsilon: float, delta: float, members: int) -> tuple[float, float]:
    """What (epsilon, delta) for one member means for a group.

    Vadhan 2017, "The Complexity of Differential Privacy", Lemma 2.2. The delta soon exceeds 1, and
    then nothing is guaranteed: image-level claims do not become patient-level ones this way.

    Args:
        epsilon: For one.
        delta: For one.
        members: Size of the group, 1 or more.

    Returns:
        Epsilon and delta of the group; delta at most 1.
    """
    if members < 1:
        raise DPInputError(f"A group has 1 member or more, not {members}.")
    total = members * epsilon
    if epsilon == 0:
        return 0.0, min(1.0, members * delta)
    if total > 700:  # beyond what a float can hold
        return total, 1.0
    return total, min(1.0, delta * math.expm1(total) / math.expm1(epsilon))
