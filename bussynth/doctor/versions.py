"""Versions against ranges, for the plain ranges that bussynth itself declares."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["Requirement", "requirement", "satisfies"]

_COMPARE: Final[dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_REQUIREMENT: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?(?P<range>[^;()@]*)\)?\s*"
    r"(?:;.*?extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"].*)?$"
)


@dataclass(frozen=True)
class Requirement:
    """A line of the requirements of a distribution.

    Attributes:
        name: The distribution that is needed.
        range: Versions that do, as in ``>=2.6,<4``; any if empty.
        extra: The extra that needs it, or None.
    """

    name: str
    range: str
    extra: str | None


def requirement(line: str) -> Requirement | None:
    """Read a line such as ``torch>=2.6; extra == 'full'``; None if it is of another kind."""
    found = _REQUIREMENT.match(line.strip())
    if found is None:
        return None
    return Requirement(found["name"], found["range"].strip().replace(" ", ""), found["extra"])


def satisfies(version: str, wanted: str) -> bool:
    """Whether the release of a version lies in a range; one that cannot be read does.

    Args:
        version: As in ``2.6.0+cpu``.
        wanted: Comparisons with commas between; any version if empty.
    """
    have = _release(version)
    for part in filter(None, wanted.split(",")):
        sign, limit = re.match(r"\s*([<>=!~]*)\s*(.*)", part).groups()  # type: ignore[union-attr]
        compare, needed = _COMPARE.get(sign), _release(limit)
        if compare is None or not have or not needed:
            continue
        length = max(len(have), len(needed))
        padded = [(*numbers, *(length - len(numbers)) * (0,)) for numbers in (have, needed)]
        if not compare(*padded):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    """Numbers of a version without what follows them."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
