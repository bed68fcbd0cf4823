"""Where the site key lives: outside every cohort, readable by its owner only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bussynth.errors import UsageError
from bussynth.review.folder import COHORT_RECORD, FILES_RECORD
from privacy.pseudonym import SiteKey, SiteKeyError

__all__ = ["OpenedKey", "check_site_key", "default_site_key_path", "in_output", "open_site_key"]


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A site key and where it came from.

    Attributes:
        key: The key.
        path: Its file.
        created: Whether it was drawn just now, so that its pseudonyms link to no earlier cohort.
    """

    key: SiteKey
    path: Path
    created: bool


def default_site_key_path() -> Path:
    """Return ``$XDG_DATA_HOME/bussynth/site.key``, by default under ``~/.local/share``."""
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification tells to ignore a relative path.
    folder = Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "share"
    return folder / "bussynth" / "site.key"


def in_output(path: Path) -> bool:
    """Say whether a file would lie in a cohort or among de-identified files, and travel along."""
    return any(
        (folder / name).exists()
        for folder in path.resolve().parents
        for name in (COHORT_RECORD, FILES_RECORD)
    )


def check_site_key(path: Path | None, out: Path) -> list[str]:
    """List what forbids to use a site key for a cohort; makes nothing.

    Args:
        path: The key file, which may not exist yet; None for the default place.
        out: The folder of the cohort.

    Returns:
        One line for each problem.
    """
    place = path if path is not None else default_site_key_path()
    problems = []
    resolved = place.resolve()
    if resolved.is_relative_to(out.resolve()) or in_output(place):
        problems.append(
            f"the site key {place} lies inside a cohort folder or among de-identified files; "
            "whoever gets these could link their patients, so keep the key elsewhere"
        )
    if os.path.lexists(place):
        try:
            SiteKey.load(place)
        except SiteKeyError as error:
            problems.append(f"site key: {error}")
    return problems


def open_site_key(path: Path | None, out: Path) -> OpenedKey:
    """Load the site key, or create it on first use.

    Args:
        path: The key file; None for the default place.
        out: The folder of the cohort, which must not hold the key.

    Returns:
        The key.

    Raises:
        UsageError: If the file cannot be used, is open to other users or lies in a cohort.
    """
    problems = check_site_key(path, out)
    if problems:
        raise UsageError("The site key cannot be used.", problems)
    place = path if path is not None else default_site_key_path()
    try:
        if os.path.lexists(place):
            return OpenedKey(SiteKey.load(place), place, False)
        return OpenedKey(SiteKey.create(place), place, True)
    except SiteKeyError as error:
        raise UsageError(f"The site key cannot be used: {error}") from error
