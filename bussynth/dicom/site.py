"""What a site knows of its machines: the rectangle of tissue where files do not describe it.

A TOML file::

    [[region]]
    maker = "ACME"  # Manufacturer (0008,0070)
    model = "US-1"  # Manufacturer's Model Name (0008,1090)
    rows = 600  # size of the frames
    columns = 800
    keep = [100, 60, 700, 560]  # left, top, right, bottom; the last two are the first not kept

A rule speaks only where a file describes no region, or the whole frame; never against a file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from bussynth.config import suggest
from bussynth.errors import UsageError
from privacy.deidentify.regions import Rectangle, SiteRule

__all__ = ["read_site_rules"]

_KEYS = ("maker", "model", "rows", "columns", "keep")
_MAX_BYTES = 2**20


def read_site_rules(path: Path) -> tuple[SiteRule, ...]:
    """Read the rules of a site.

    Args:
        path: The TOML file.

    Returns:
        The rules.

    Raises:
        UsageError: If the file cannot be read or a rule is not valid; all problems are listed.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise UsageError("The site rules are larger than 1 MiB.")
        content = tomllib.loads(data.decode())
    except OSError as error:
        raise UsageError(f"The site rules cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"The site rules are not valid TOML: {error}.") from None
    problems = [
        f"unknown key {key!r}{suggest(key, ['region'])}" for key in content if key != "region"
    ]
    tables = content.get("region", [])
    if not isinstance(tables, list) or not tables:
        problems.append("write one [[region]] for each machine")
        tables = []
    rules = []
    for number, table in enumerate(tables, 1):
        rule = _rule(table, f"region {number}", problems)
        if rule is not None:
            rules.append(rule)
    machines = [
        (one.maker.strip().casefold(), one.model.strip().casefold(), one.rows, one.columns)
        for one in rules
    ]
    if len(set(machines)) != len(machines):
        problems.append("two rules are for one maker, model and size of frames")
    if problems:
        raise UsageError("The site rules are not valid.", problems)
    return tuple(rules)


def _rule(table: Any, where: str, problems: list[str]) -> SiteRule | None:
    if not isinstance(table, dict):
        problems.append(f"{where}: not a table")
        return None
    found = [
        f"{where}: unknown key {key!r}{suggest(key, _KEYS)}" for key in table if key not in _KEYS
    ]
    found += [f"{where}: missing key {key!r}" for key in _KEYS if key not in table]
    keep = table.get("keep")
    if not found:
        if not all(isinstance(table[key], str) for key in ("maker", "model")):
            found.append(f"{where}: maker and model are strings")
        if not all(_whole(table[key]) for key in ("rows", "columns")):
            found.append(f"{where}: rows and columns are whole numbers")
        if not isinstance(keep, list) or len(keep) != 4 or not all(map(_whole, keep)):
            found.append(f"{where}: keep is four whole numbers")
    problems += found
    if found or not isinstance(keep, list):
        return None
    try:
        return SiteRule(
            table["maker"], table["model"], table["rows"], table["columns"], Rectangle(*keep)
        )
    except ValueError:
        problems.append(f"{where}: keep is empty or reaches out of the frame, or a name is blank")
        return None


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0
