from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.auditing.places import place_of, refuse_overlap
from bussynth.cohort import Cohort
from bussynth.errors import UsageError


def test_places_that_overlap_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for out in ("in/audit", "in/deep/audit", "link/audit", "in/../in/audit"):
        with pytest.raises(UsageError, match="overlaps") as caught:
            refuse_overlap(tmp_path / out, {"train": tmp_path / "in", "model": tmp_path / "m"})
        assert len(caught.value.problems) == 1
        assert caught.value.problems[0].startswith("train: ")
        assert "lies inside it" in caught.value.problems[0]
    with pytest.raises(UsageError) as caught:
        refuse_overlap(tmp_path, {"train": tmp_path / "in", "control": tmp_path})
    assert caught.value.problems == (
        f"train: lies inside {tmp_path}", "control: the same place",
    )  # fmt: skip


def test_neighbours_do_not_overlap(tmp_path: Path) -> None:
    inputs = {"train": tmp_path / "in", "patients": tmp_path / "p.csv", "control": None}
    for out in ("in-audit", "audit", "i"):
        refuse_overlap(tmp_path / out, inputs)


def test_place_of(real: Cohort, worlds: dict[str, Callable[..., Any]]) -> None:
    assert place_of(real) == real.path
    assert place_of("a/b") == Path("a/b")
    assert place_of(worlds["images"](1, 1)) is None
    assert place_of(None) is None
