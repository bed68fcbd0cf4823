"""Reading one table of a TOML file: every wrong, missing or unknown key becomes one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bussynth.config import suggest
from bussynth.errors import UsageError
from bussynth.ingest.pattern import Pattern

__all__ = ["Section"]

_WORDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list of strings",
    dict: "a table",
}


class Section:
    """One table of the map; reads note what they find wrong instead of raising.

    Args:
        content: The parsed table.
        name: How problems refer to it, for instance ``"[box]"``.
        problems: The list that takes the lines; shared by all sections of a file.
    """

    def __init__(self, content: Mapping[str, Any], name: str, problems: list[str]) -> None:
        self._content = content
        self._name = name
        self._known: list[str] = []
        self._problems = problems

    def __contains__(self, key: str) -> bool:
        return key in self._content

    @property
    def keys(self) -> list[str]:
        """The keys that the file gives."""
        return list(self._content)

    def problem(self, text: str) -> None:
        """Note a problem of this section."""
        self._problems.append(f"{self._name}: {text}")

    def get(
        self,
        key: str,
        kind: type,
        default: Any,
        *,
        required: bool = False,
        choices: Sequence[Any] | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Any:
        """Return the value of a key, or the default where it is absent or wrong.

        Args:
            key: The key.
            kind: ``str``, ``int``, ``float``, ``bool``, ``list`` (of strings) or ``dict`` (of
                strings).
            default: What stands in.
            required: Note a problem if the key is absent.
            choices: Allowed values.
            low: Smallest allowed number.
            high: Largest allowed number.
        """
        self._known.append(key)
        if key not in self._content:
            if required:
                self.problem(f"missing key {key!r}")
            return default
        value = self._content[key]
        fits = isinstance(value, (int, float) if kind is float else kind)
        if isinstance(value, bool) and kind is not bool:
            fits = False
        if fits and kind in (list, dict):
            items = value.values() if kind is dict else value
            fits = all(isinstance(item, str) for item in items)
        if not fits:
            self.problem(f"{key} must be {_WORDS[kind]}")
        elif kind is str and not value:
            self.problem(f"{key} is empty")
        elif choices is not None and value not in choices:
            words = ", ".join(repr(choice) for choice in choices)
            hint = suggest(value, choices) if isinstance(value, str) else ""
            self.problem(f"{key} = {value!r} must be one of {words}{hint}")
        elif (low is not None and not value >= low) or (high is not None and not value <= high):
            self.problem(f"{key} = {value!r} must lie in {low}..{high}")
        else:
            return value
        return default

    def pattern(self, key: str) -> Pattern | None:
        """Return a required file name pattern."""
        text = self.get(key, str, None, required=True)
        if text is None:
            return None
        try:
            return Pattern.parse(text)
        except UsageError as error:
            self.problem(error.message)
            return None

    def section(self, key: str, *, required: bool = False) -> Section:
        """Return a table within this one; an empty one where it is absent or wrong."""
        self._known.append(key)
        name = f"[{key}]" if self._name == "the map" else f"{self._name[:-1]}.{key}]"
        content = self._content.get(key, {})
        if key not in self._content and required:
            self.problem(f"missing table {name}")
            return Section({}, name, [])
        if not isinstance(content, dict):
            self.problem(f"{key} must be a table; write {name}")
            return Section({}, name, [])
        return Section(content, name, self._problems)

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._content:
            if key not in self._known:
                self.problem(f"unknown key {key!r}{suggest(key, self._known)}")
