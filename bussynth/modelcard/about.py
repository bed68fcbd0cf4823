"""What only the publisher knows of a model: names, licences, words."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bussynth.config import Config, option
from bussynth.errors import UsageError
from bussynth.package.names import text_problem

__all__ = ["About", "read_about"]

_SPDX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
_MAX_BYTES: Final = 2**20
_MAX_LINES, _MAX_LINE = 500, 2000


@dataclass(frozen=True, kw_only=True)
class About(Config):
    """Words for a model card. Those of several lines are Markdown and are printed as they are."""

    name: str | None = option(None, "Name of the model, one line.")
    license: str | None = option(
        None, "SPDX identifier of the weights' licence, or LicenseRef-NAME for one of your own."
    )
    data_license: str | None = option(None, "Licence of the training data, one line.")
    datasets: list[str] = option([], "Names of the data sets the model learned from.")
    citation: str | None = option(None, "Whom to cite for data and model, as text or BibTeX.")
    intended_use: str | None = option(None, "What the model is meant for.")
    limitations: str | None = option(None, "What is known to be wrong or missing.")
    text: str | None = option(None, "Free text on the training data.")

    def __post_init__(self) -> None:
        """Check the texts beyond their types."""
        super().__post_init__()
        problems = [
            text_problem(value, what=key)
            for key, value in (("name", self.name), ("data_license", self.data_license))
            if value is not None
        ]
        problems += [text_problem(name, what="datasets") for name in self.datasets]
        if self.license is not None and not _SPDX.fullmatch(self.license):
            problems.append("license: must be an SPDX identifier such as CC-BY-4.0")
        for key in ("citation", "intended_use", "limitations", "text"):
            problems.append(_lines_problem(getattr(self, key), key))
        found = [problem for problem in problems if problem]
        if found:
            raise UsageError("About is not valid.", found)


def read_about(path: Path) -> About:
    """Read the TOML file of an :class:`About`.

    Raises:
        UsageError: The file cannot be read or parsed, or a key or a value is wrong; all are named.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path} is larger than 1 MiB; it is no description of a model.")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    try:
        return About.from_dict(content)
    except UsageError as error:
        raise UsageError(f"{path} is not valid.", error.problems) from error


def _lines_problem(value: str | None, key: str) -> str | None:
    if value is None:
        return None
    lines = value.splitlines()
    if not value.strip() or len(lines) > _MAX_LINES:
        return f"{key}: must hold 1 to {_MAX_LINES} lines of text"
    for number, line in enumerate(lines, start=1):
        if line.strip():
            problem = text_problem(line, what=f"{key}, line {number}", max_length=_MAX_LINE)
            if problem is not None:
                return problem
    return None
