from __future__ import annotations

import pickle

import pytest

from bussynth import errors


def test_exit_codes_are_the_documented_ones() -> None:
    codes = {name: getattr(errors, name).exit_code for name in errors.__all__}
    assert codes == {
        "BussynthError": 1,
        "UsageError": 2,
        "MissingDependencyError": 2,
        "DataError": 3,
        "AuditGateError": 4,
        "IntegrityError": 5,
    }


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.UsageError, ValueError),
        (errors.MissingDependencyError, ImportError),
        (errors.DataError, ValueError),
        (errors.IntegrityError, RuntimeError),
    ],
)
def test_the_builtin_catches_too(error: type[Exception], builtin: type[Exception]) -> None:
    with pytest.raises(builtin):
        raise error("message")


def test_text_lists_twenty_problems_and_counts_the_rest() -> None:
    text = str(errors.DataError("Refused.", [f"row {i}" for i in range(25)]))
    assert text.count("  - ") == 20
    assert "and 5 more" in text


def test_errors_cross_process_borders_whole() -> None:
    copy = pickle.loads(pickle.dumps(errors.DataError("Refused.", ["row 1"])))
    assert (copy.message, copy.problems) == ("Refused.", ("row 1",))
