"""What a kept value may be: a word of a list or a number in a range, never what is just there.

A rule reads an element of the untrusted source and gives a value that it could have written
without the source: words come from our list, numbers are rounded so that digits hide nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from pydicom.dataset import Dataset

from privacy.deidentify.elements import number, texts

__all__ = ["AgeBand", "ImageType", "Number", "Ratio", "Rule", "Value", "Words"]

Value = str | int | list[str]
"""What a rule gives."""

_AGE: Final = re.compile(r"(\d{3})Y", re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_MODE: Final = re.compile(r"[0-9A-F]{4}", re.ASCII)
# The modes of PS3.3 C.8.5.6.1.1, value 4, are one bit each; any other bit could hide a number.
_MODES: Final = 0x077F


class Rule(Protocol):
    """How a value of the source becomes one that is kept."""

    def __call__(self, source: Dataset, keyword: str) -> Value | None:
        """Return the value to write, or None if what is there must be dropped."""


@dataclass(frozen=True, slots=True)
class Words:
    """One word of a list; letter case and surrounding spaces do not matter.

    Attributes:
        words: The list, upper case.
    """

    words: frozenset[str]

    @classmethod
    def of(cls, words: str) -> Words:
        """Make a rule from a list with commas between the words."""
        return cls(frozenset(words.split(",")))

    def __call__(self, source: Dataset, keyword: str) -> Value | None:
        """Return the list's word, or None."""
        values = texts(source, keyword)
        word = values[0].upper() if len(values) == 1 else ""
        return word if word in self.words else None


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a range, rounded.

    Attributes:
        least: The smallest that is kept.
        most: The largest.
        decimals: Digits behind the point; 0 writes whole numbers.
        binary: Written as a binary integer rather than as text.
    """

    least: float
    most: float
    decimals: int = 0
    binary: bool = False

    def __call__(self, source: Dataset, keyword: str) -> Value | None:
        """Return the rounded number, or None if it is outside the range."""
        value = number(source, keyword)
        if value is None or not self.least <= value <= self.most:
            return None
        if self.binary:
            return round(value)
        return f"{value:.{self.decimals}f}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two whole numbers, as the shape of a pixel; reduced, so that digits hide nothing.

    Attributes:
        most: The largest number after it was reduced.
    """

    most: int = 1000

    def __call__(self, source: Dataset, keyword: str) -> Value | None:
        """Return the two numbers, or None."""
        values = texts(source, keyword)
        if len(values) != 2 or not all(_WHOLE.fullmatch(value) for value in values):
            return None
        first, second = (int(value) for value in values)
        common = math.gcd(first, second)
        if not first or not second or max(first, second) // common > self.most:
            return None
        return [str(first // common), str(second // common)]


@dataclass(frozen=True, slots=True)
class AgeBand:
    """The age in steps of years; the oldest are one group.

    Attributes:
        step: Years of a band; the lower end is written.
        oldest: The age from which on all are one band; 90 as in the rule of HIPAA.
        youngest: The age below which all are one band.
    """

    step: int = 5
    oldest: int = 90
    youngest: int = 15

    def __call__(self, source: Dataset, keyword: str) -> Value | None:
        """Return the lower end of the band, as ``nnnY``, or None."""
        values = texts(source, keyword)
        match = _AGE.fullmatch(values[0].upper()) if len(values) == 1 else None
        if match is None:
            return None
        age = min(max(int(match[1]), self.youngest), self.oldest)
        return f"{age // self.step * self.step:03d}Y"


@dataclass(frozen=True, slots=True)
class ImageType:
    """Image Type (0008,0008) of an image whose pixels were changed (PS3.3 C.8.5.6.1.1).

    Attributes:
        examinations: Defined terms of value 3.
    """

    examinations: frozenset[str] = field(default_factory=frozenset)

    def __call__(self, source: Dataset, keyword: str) -> Value | None:
        """Return ``DERIVED``, then what is known of values 2 to 4; never None."""
        values = [value.upper() for value in (*texts(source, keyword), "", "", "", "")[:4]]
        second = "SECONDARY" if values[1] == "SECONDARY" else "PRIMARY"
        third = values[2] if values[2] in self.examinations else ""
        fourth = values[3] if _is_mode(values[3]) else ""
        written = ["DERIVED", second, third, fourth]
        while not written[-1]:
            written.pop()
        return written


def _is_mode(value: str) -> bool:
    return _MODE.fullmatch(value) is not None and not int(value, 16) & ~_MODES
