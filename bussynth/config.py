"""One schema behind the TOML file, the command-line flags and the Python arguments.

A verb's configuration is a frozen dataclass derived from :class:`Config`, its fields made
with :func:`option`. A configuration that exists is valid; it holds what may change a
result. What only changes speed lives in :class:`RunOptions`.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bussynth.errors import UsageError

__all__ = ["Config", "RunOptions", "load_toml", "option", "suggest"]


def option(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    choices: Sequence[str] | None = None,
    flags: Sequence[str] | None = None,
) -> Any:
    """Declare a field of a :class:`Config`.

    Args:
        default: Default value, or ``dataclasses.MISSING`` for a required field. Lists and
            dicts are copied for each instance.
        help: One sentence for the command line and the documentation.
        min: Smallest allowed value, inclusive.
        max: Largest allowed value, inclusive.
        choices: Allowed values.
        flags: Names of the command-line flag, if not ``--field-name``.

    Returns:
        A :func:`dataclasses.field` that carries the constraints in its metadata.
    """
    metadata = {"help": help, "min": min, "max": max, "choices": choices, "flags": flags}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Return ``'; did you mean "x"?'`` for the closest known word, else an empty string."""
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is not None:
        if origin in (list, tuple, collections.abc.Sequence):
            parts = [part for part in typing.get_args(hint) if part is not Ellipsis]
            return isinstance(value, (list, tuple)) and all(
                any(_fits(item, part) for part in parts) for item in value
            )
        return isinstance(value, origin)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all configurations: validated on construction, plain and serialisable."""

    def __post_init__(self) -> None:
        problems = []
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            hint = hints[field.name]
            if not _fits(value, hint):
                problems.append(f"{field.name}={value!r}: expected {_name(hint)}")
                continue
            if value is None:
                continue
            if isinstance(value, float) and math.isinf(value):
                problems.append(f"{field.name}={value!r}: must be finite")
                continue
            low, high = field.metadata.get("min"), field.metadata.get("max")
            choices = field.metadata.get("choices")
            # "not (value >= low)" also refuses NaN.
            if low is not None and not value >= low:
                problems.append(f"{field.name}={value!r}: must be at least {low}")
            if high is not None and not value <= high:
                problems.append(f"{field.name}={value!r}: must be at most {high}")
            if choices is not None and value not in choices:
                hint_text = suggest(str(value), choices)
                problems.append(
                    f"{field.name}={value!r}: must be one of {', '.join(choices)}{hint_text}"
                )
        if problems:
            raise UsageError(f"{type(self).__name__} is not valid.", problems)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON and TOML can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the configuration from a mapping.

        Raises:
            UsageError: A key is unknown (with a suggestion), missing, or a value is wrong.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        renamed = {key.replace("-", "_"): value for key, value in values.items()}
        problems = [
            f"unknown key {key!r}{suggest(key, known)}" for key in renamed if key not in known
        ]
        problems += [
            f"missing key {name!r}"
            for name, field in known.items()
            if name not in renamed
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        if problems:
            raise UsageError(f"{cls.__name__} is not valid.", problems)
        return cls(**renamed)


@dataclass(frozen=True, kw_only=True)
class RunOptions(Config):
    """How to run: may change the speed, never a reported number."""

    workers: int = option(1, "Number of worker processes.", min=1, max=1024)
    device: str = option("auto", "Device of torch: auto, cpu, cuda or cuda:N.")
    batch_size: int | None = option(None, "Images a batch; chosen for you if not given.", min=1)


def load_toml(path: Path, known_sections: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Read a TOML file of the form ``[verb] key = value``.

    Args:
        path: The file.
        known_sections: Names of the allowed tables.

    Raises:
        UsageError: The file cannot be read or parsed, or holds an unknown table.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    known = list(known_sections)
    problems = []
    for key, value in content.items():
        if key not in known:
            problems.append(f"unknown table [{key}]{suggest(key, known)}")
        elif not isinstance(value, dict):
            problems.append(f"{key!r} must be a table: write [{key}]")
    if problems:
        raise UsageError(f"{path} is not valid.", problems)
    return content
