from __future__ import annotations

import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.features.random_multiscale import RandomMultiscaleMap
from audits.fidelity.spaces import fidelity_spaces


def test_one_space_learns_from_the_images_and_one_does_not(make_images) -> None:
    images, keys = make_images(20, 2, seed=1)
    patients = np.unique(keys, return_inverse=True)[1]
    told: list[tuple[int, int]] = []
    first, second = fidelity_spaces(
        images, patients, seed=0, steps=2, progress=lambda *step: told.append(step)
    )
    assert (first.name, second.name) == ("learned 1", "random multi-scale")
    assert first.describe()["images"] == len(images)
    assert first.describe()["patients"] == 20
    assert told == [(1, 2), (2, 2)]
    other = fidelity_spaces(images, patients, seed=1, steps=2)
    assert other[0].describe()["digest"] != first.describe()["digest"]
    assert other[1] == second == RandomMultiscaleMap()


def test_bad_input_is_refused(make_images) -> None:
    images, _ = make_images(3, 1, seed=1)
    with pytest.raises(AuditInputError, match="two patients"):
        fidelity_spaces(images, np.zeros(3, np.int64), seed=0)
    with pytest.raises(AuditInputError, match="one patient an image"):
        fidelity_spaces(images, np.zeros(2, np.int64), seed=0)
    with pytest.raises(AuditInputError, match="at least 1"):
        fidelity_spaces(images, np.arange(3), seed=0, steps=0)
