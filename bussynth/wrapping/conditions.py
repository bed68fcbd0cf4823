"""Which conditions the images have: asked of a sampler, or declared by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bussynth.cohort.schema import PATHOLOGIES, check_vocabulary
from bussynth.config import suggest
from bussynth.errors import DataError
from bussynth.generator.seeds import derive_seed

__all__ = ["codes", "cohort_vocabulary", "condition_problems", "declared", "requested"]


def cohort_vocabulary(vocabulary: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the vocabulary with the column ``pathology``, which every cohort has."""
    return {"pathology": list(PATHOLOGIES)} | {
        key: list(words) for key, words in vocabulary.items()
    }


def condition_problems(
    conditions: Mapping[str, Any], vocabulary: Mapping[str, Sequence[str]]
) -> list[str]:
    """List what forbids to ask a sampler for these conditions.

    Args:
        conditions: Values held fixed, by column; None is "not stated".
        vocabulary: Values that the sampler knows, by column.
    """
    problems = []
    for column, value in conditions.items():
        if column not in vocabulary:
            known = ", ".join(vocabulary)
            problems.append(
                f"unknown condition {column!r}{suggest(column, vocabulary)} (known: {known})"
            )
        elif value is not None and value not in vocabulary[column]:
            words = vocabulary[column]
            problems.append(
                f"{column}={value!r} is not in the vocabulary{suggest(str(value), words)} "
                f"(known: {', '.join(words)})"
            )
    return problems


def declared(
    conditions: Mapping[str, Any], taken: Sequence[str] = ()
) -> tuple[dict[str, list[str]], list[str]]:
    """Read conditions that the user declares of all images.

    Args:
        conditions: A value by column.
        taken: Columns that the labels hold.

    Returns:
        The vocabulary of these columns, and what is wrong with them.
    """
    problems = [f"{column}: the labels hold it" for column in conditions if column in taken]
    problems += [
        f"{column}={value!r}: must be a word"
        for column, value in conditions.items()
        if not isinstance(value, str)
    ]
    words = {column: [value] for column, value in conditions.items() if isinstance(value, str)}
    if "pathology" in words:
        (value,) = words["pathology"]
        words["pathology"] = list(PATHOLOGIES)
        if value not in PATHOLOGIES:
            problems.append(
                f"pathology={value!r}: must be one of {', '.join(PATHOLOGIES)}"
                f"{suggest(value, PATHOLOGIES)}"
            )
    try:
        check_vocabulary(cohort_vocabulary(words))
    except DataError as error:
        problems += error.problems
    return words, problems


def requested(
    vocabulary: Mapping[str, Sequence[str]], fixed: Mapping[str, Any], seed: int, row: int
) -> dict[str, str | None]:
    """Conditions asked for in image ``row``: the fixed ones, the others drawn uniformly.

    They depend on the seed and on ``row`` alone, and fixing one column does not move another.

    Args:
        vocabulary: Values by column.
        fixed: Values held fixed, checked.
        seed: Of the request.
        row: Number of the image.
    """
    rng = np.random.default_rng(derive_seed("conditions", seed, row))
    drawn = {
        key: vocabulary[key][int(rng.integers(len(vocabulary[key])))] for key in sorted(vocabulary)
    }
    return drawn | dict(fixed)


def codes(
    conditions: Sequence[Mapping[str, str | None]], vocabulary: Mapping[str, Sequence[str]]
) -> npt.NDArray[np.int64]:
    """Encode conditions as a sampler takes them.

    Args:
        conditions: Of n images; a column absent or None is not stated.
        vocabulary: Values by column, in the order of their codes.

    Returns:
        int64 ``(n, columns)``: columns in alphabetical order, 0 for "not stated", values from 1.
    """
    tables = [
        (column, {None: 0} | {word: code for code, word in enumerate(vocabulary[column], 1)})
        for column in sorted(vocabulary)
    ]
    rows = [[table[row.get(column)] for column, table in tables] for row in conditions]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(tables))
