"""The table of DICOM PS3.15 Annex E, Table E.1-1: what the Basic Profile does to an attribute.

655 rows are not typed by hand. They are read, as data, from the file that dicom-anonymizer ships
for one named edition of the standard; none of that package's code is run.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydicom.tag import BaseTag

from privacy.deidentify.errors import ProfileError

__all__ = ["EDITION", "Action", "Profile", "load_profile", "read_table"]

EDITION: Final = "2026c"
"""The edition of PS3.15 whose table is used."""

_PACKAGE: Final = "dicomanonymizer"
_DISTRIBUTION: Final = "dicom-anonymizer"
_FILE: Final = f"dicom_anonymization_databases/dicomfields_{EDITION}.py"
_LEAST: Final = 600


class Action(StrEnum):
    """What the Basic Profile does to an attribute (PS3.15 E.1, Table E.1-1a)."""

    REPLACE = "D"
    EMPTY = "Z"
    REMOVE = "X"
    UID = "U"
    EMPTY_OR_REPLACE = "Z/D"
    REMOVE_OR_EMPTY = "X/Z"
    REMOVE_OR_REPLACE = "X/D"
    REMOVE_EMPTY_OR_REPLACE = "X/Z/D"
    REMOVE_EMPTY_OR_UID = "X/Z/U*"


_NAMES: Final = {
    "D_TAGS": Action.REPLACE,
    "Z_TAGS": Action.EMPTY,
    "X_TAGS": Action.REMOVE,
    "U_TAGS": Action.UID,
    "Z_D_TAGS": Action.EMPTY_OR_REPLACE,
    "X_Z_TAGS": Action.REMOVE_OR_EMPTY,
    "X_D_TAGS": Action.REMOVE_OR_REPLACE,
    "X_Z_D_TAGS": Action.REMOVE_EMPTY_OR_REPLACE,
    "X_Z_U_STAR_TAGS": Action.REMOVE_EMPTY_OR_UID,
}


@dataclass(frozen=True, slots=True)
class Profile:
    """Table E.1-1 of one edition.

    Attributes:
        edition: The edition of PS3.15.
        source: The distribution the table came from, with its version.
        sha256: Digest of the file it was read from, for records.
        actions: The action of each attribute, by tag.
        repeating: Rows for repeating groups, as (value, mask, action): a row speaks of a tag
            whose masked bits equal the value.
    """

    edition: str
    source: str
    sha256: str
    actions: Mapping[int, Action]
    repeating: tuple[tuple[int, int, Action], ...]

    def action(self, tag: int) -> Action | None:
        """Return what the Basic Profile does to an attribute.

        Args:
            tag: The tag as a number. Private attributes are removed, as the table's row without
                a number says.

        Returns:
            The action, or None if the table does not list the attribute.
        """
        if BaseTag(tag).is_private:
            return Action.REMOVE
        found = self.actions.get(tag)
        if found is not None:
            return found
        return next((action for value, mask, action in self.repeating if tag & mask == value), None)


@cache
def load_profile() -> Profile:
    """Read the table from the installed data file.

    Returns:
        The table; read once.

    Raises:
        ProfileError: If the distribution is missing or its file is not what is expected.
    """
    try:
        spec = find_spec(_PACKAGE)
        installed = version(_DISTRIBUTION)
    except (PackageNotFoundError, ValueError):
        spec = None
        installed = ""
    if spec is None or not spec.submodule_search_locations:
        raise ProfileError(
            "De-identification needs dicom-anonymizer's table of PS3.15: "
            "pip install 'bussynth[full]'"
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    try:
        data = path.read_bytes()
    except OSError:
        raise ProfileError(
            f"{_DISTRIBUTION} {installed} has no table of PS3.15 {EDITION}; "
            "install the version that bussynth asks for."
        ) from None
    actions, repeating = read_table(data.decode("utf-8", errors="replace"))
    return Profile(
        edition=EDITION,
        source=f"{_DISTRIBUTION} {installed}",
        sha256=hashlib.sha256(data).hexdigest(),
        actions=MappingProxyType(actions),
        repeating=repeating,
    )


def read_table(text: str) -> tuple[dict[int, Action], tuple[tuple[int, int, Action], ...]]:
    """Read a table from the text of a data file, without running it.

    Args:
        text: Python assignments of lists of tuples: (group, element), or (group, element,
            group mask, element mask).

    Returns:
        Actions by tag, and the rows of repeating groups.

    Raises:
        ProfileError: If a list is missing, a row has another form, or an attribute is listed
            with two actions.
    """
    actions: dict[int, Action] = {}
    repeating: list[tuple[int, int, Action]] = []
    missing = set(_NAMES)
    try:
        for node in ast.parse(text).body:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                continue
            name = node.targets[0].id
            if name not in _NAMES:
                continue
            missing.discard(name)
            for row in ast.literal_eval(node.value):
                tag = row[0] << 16 | row[1]
                if len(row) == 4:
                    mask = row[2] << 16 | row[3]
                    repeating.append((tag & mask, mask, _NAMES[name]))
                elif actions.setdefault(tag, _NAMES[name]) is not _NAMES[name]:
                    raise ProfileError(f"The table of PS3.15 {EDITION} contradicts itself.")
    except ProfileError:
        raise
    except (SyntaxError, ValueError, TypeError, IndexError):
        raise ProfileError(f"The table of PS3.15 {EDITION} cannot be read.") from None
    if missing or len(actions) < _LEAST:
        raise ProfileError(f"The table of PS3.15 {EDITION} is not whole.")
    return actions, tuple(repeating)
