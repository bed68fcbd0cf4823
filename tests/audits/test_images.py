from __future__ import annotations

import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.images import ImageSet, check_roles, number_patients


def _set(n: int, *, patients: list[str] | None = None, size: int = 16, **more: object) -> ImageSet:
    return ImageSet(np.zeros((n, size, size), np.uint8), patients, **more)  # type: ignore[arg-type]


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(AuditInputError) as error:
        check_roles(
            ImageSet(np.zeros((2, 16, 16))),  # type: ignore[arg-type]
            _set(2, patients=["a"]),
            _set(1, patients=[""]),
        )
    text = "\n".join(error.value.problems)
    assert "synthetic: expected uint8" in text
    assert "train: 1 patients for 2 images" in text
    assert "control: row 0 of patients is empty" in text


def test_sizes_must_agree() -> None:
    with pytest.raises(AuditInputError, match="synthetic 16x16, train 32x32"):
        check_roles(_set(1), _set(1, patients=["a"], size=32), _set(1, patients=["b"]))


def test_a_patient_on_both_sides_is_refused_by_row_and_never_named() -> None:
    with pytest.raises(AuditInputError) as error:
        check_roles(_set(1), _set(1, patients=["SECRET"]), _set(2, patients=["x", "SECRET"]))
    assert "control rows 1" in str(error.value)
    assert "SECRET" not in str(error.value)


def test_swapped_roles_are_noticed() -> None:
    with pytest.raises(AuditInputError, match="swapped"):
        check_roles(_set(1, patients=["a"]), _set(1, patients=["b"]), _set(1, patients=["c"]))


def test_patients_or_strata_on_one_side_only_are_refused() -> None:
    with pytest.raises(AuditInputError, match="only one of train and control"):
        check_roles(_set(1), _set(1, patients=["b"]), _set(1))


def test_empty_sets_are_allowed() -> None:
    check_roles(_set(0), _set(0), _set(0))


def test_repr_holds_counts_only() -> None:
    assert "SECRET" not in repr(_set(1, patients=["SECRET"]))


def test_numbering_keeps_patients_and_combines_their_strata() -> None:
    train = _set(3, patients=["a", "b", "a"], strata=["x", "x", "y"])
    control = _set(2, patients=["c", "d"], strata=["x", "y"])
    numbered = number_patients(train, control)
    assert numbered.of_image.tolist() == [0, 1, 0, 2, 3]
    assert numbered.member.tolist() == [True, True, False, False]
    assert (numbered.n_members, numbered.n_controls) == (2, 2)
    # a: {x, y}; b: {x}; c: {x}; d: {y}
    assert numbered.stratum[1] == numbered.stratum[2]
    assert len(set(numbered.stratum.tolist())) == 3


def test_unknown_patients_count_one_an_image() -> None:
    numbered = number_patients(_set(2), _set(1))
    assert not numbered.known
    assert numbered.of_image.tolist() == [0, 1, 2]
    assert number_patients(_set(0), _set(0)).member.shape == (0,)
