"""Typed values out of parsed JSON that strangers wrote, with every problem collected."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from bussynth.package.names import shown, text_problem

__all__ = ["Reader"]


class Reader:
    """Takes typed values out of parsed JSON; what is wrong goes to a list, not up.

    Args:
        problems: The list, shared with readers of other parts of the document.
        where: Put before each key in a problem, such as ``"guarantee."``.
    """

    def __init__(self, problems: list[str] | None = None, where: str = "") -> None:
        self.problems: list[str] = [] if problems is None else problems
        self.where = where

    def within(self, part: str) -> Reader:
        """Return a reader of a part of the document, with the same list of problems."""
        return Reader(self.problems, f"{self.where}{part}.")

    def problem(self, key: str, text: str) -> None:
        """Note what is wrong with a value."""
        self.problems.append(f"{self.where}{key}: {text}")

    def table(self, parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Return an object; an empty one if it is none."""
        value = parent.get(key)
        if isinstance(value, dict):
            return value
        self.problem(key, "is missing or not an object")
        return {}

    def keys(self, parent: Mapping[str, Any], known: Collection[str]) -> None:
        """Refuse keys beyond the known ones; a missing one is noted where it is read."""
        for key in parent:
            if key not in known:
                self.problem(shown(key, 40), "is not known here")

    def text(self, parent: Mapping[str, Any], key: str, max_length: int) -> str:
        """Return a line of text for people; an empty one if it is none."""
        value = parent.get(key)
        problem = text_problem(value, what=f"{self.where}{key}", max_length=max_length)
        if problem is not None or not isinstance(value, str):
            self.problems.append(problem or f"{self.where}{key}")
            return ""
        return value

    def match(self, parent: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
        """Return a text of a form; an empty one if it is of another."""
        value = parent.get(key)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        self.problem(key, f"{shown(value)} is not of the expected form")
        return ""

    def one_of(self, parent: Mapping[str, Any], key: str, words: tuple[str, ...]) -> str:
        """Return one of some words; an empty text if it is none of them."""
        value = parent.get(key)
        if isinstance(value, str) and value in words:
            return value
        self.problem(key, f"{shown(value)} is none of {', '.join(words)}")
        return ""

    def flag(self, parent: Mapping[str, Any], key: str) -> bool:
        """Return true or false; False if it is neither."""
        value = parent.get(key)
        if not isinstance(value, bool):
            self.problem(key, "expected true or false")
        return value is True

    def count(self, parent: Mapping[str, Any], key: str, what: str = "") -> int:
        """Return a whole number, 0 or more; 0 if it is none."""
        value = parent.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.problem(what or key, "expected a whole number, 0 or more")
        return 0

    def number(
        self,
        parent: Mapping[str, Any],
        key: str,
        *,
        low: float = 0.0,
        high: float = math.inf,
        above: bool = False,
    ) -> float:
        """Return a finite number from ``low`` (or above it) to ``high``; NaN if it is none."""
        value = parent.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # A whole number may be larger than any float.
            found = float(value) if abs(value) < 1e300 else math.inf
            if math.isfinite(found) and low <= found <= high and not (above and found == low):
                return found
        least = f"above {low:g}" if above else f"{low:g} or more"
        self.problem(
            key, f"expected a number {least}{'' if high == math.inf else f', at most {high:g}'}"
        )
        return math.nan

    def lines(self, parent: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """Return a list of at most 100 lines of text."""
        values = parent.get(key)
        if not isinstance(values, list) or len(values) > 100:
            self.problem(key, "expected a list of at most 100 lines")
            return ()
        found = [text_problem(one, what=f"{self.where}{key}", max_length=1000) for one in values]
        self.problems += [problem for problem in found if problem]
        return tuple(value for value in values if isinstance(value, str))
