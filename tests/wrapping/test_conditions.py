"""Which conditions a sampler is asked for, and how they are encoded."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bussynth.wrapping.conditions import codes, condition_problems, declared, requested

VOCABULARY = {"pathology": ("normal", "benign", "malignant"), "device": ("x", "y")}


def test_conditions_depend_on_seed_and_row_alone() -> None:
    drawn = [requested(VOCABULARY, {}, 5, row) for row in range(300)]
    assert drawn == [requested(VOCABULARY, {}, 5, row) for row in range(300)]
    assert drawn != [requested(VOCABULARY, {}, 6, row) for row in range(300)]
    counts = Counter(row["pathology"] for row in drawn)
    assert all(70 < counts[word] < 130 for word in VOCABULARY["pathology"])


def test_fixing_one_column_moves_no_other() -> None:
    for row in range(50):
        free = requested(VOCABULARY, {}, 1, row)
        fixed = requested(VOCABULARY, {"device": "y"}, 1, row)
        assert fixed == free | {"device": "y"}


def test_codes_are_alphabetical_and_count_from_one() -> None:
    rows = [{"pathology": "benign", "device": "x"}, {"device": "y"}, {"pathology": None}]
    found = codes(rows, VOCABULARY)
    assert found.dtype == np.int64
    assert found.tolist() == [[1, 2], [2, 0], [0, 0]]
    assert codes([{}, {}], {}).shape == (2, 0)


def test_codes_are_those_of_our_own_generators() -> None:
    from bussynth.generator.conditions import ConditionEncoder

    rows = [requested(VOCABULARY, {}, 0, row) for row in range(20)]
    ours = ConditionEncoder(VOCABULARY, (8, 8)).encode(rows)
    assert (ours.codes.numpy() == codes(rows, VOCABULARY)).all()


def test_unknown_conditions_come_with_a_suggestion() -> None:
    (column,) = condition_problems({"divice": "x"}, VOCABULARY)
    assert 'did you mean "device"' in column
    (value,) = condition_problems({"pathology": "bening"}, VOCABULARY)
    assert 'did you mean "benign"' in value
    assert condition_problems({"pathology": None, "device": "x"}, VOCABULARY) == []


def test_declared_conditions_are_checked() -> None:
    words, problems = declared({"pathology": "benign", "device": "z"})
    assert problems == []
    assert words == {"pathology": ["normal", "benign", "malignant"], "device": ["z"]}
    assert len(declared({"device": 3})[1]) == 1
    assert len(declared({"lesion_box": "0,0,1,1"})[1]) == 1
    assert len(declared({"device": "z"}, ["device"])[1]) == 1
