"""The models in the box: their names, and the folders that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bussynth.config import suggest
from bussynth.errors import UsageError

__all__ = ["BUILTIN", "builtin_folder", "builtin_names", "model_folder"]

BUILTIN: Final = "builtin:"
_FOLDER: Final = Path(__file__).parent / "weights"


def builtin_names() -> list[str]:
    """Names of the models in the box, as ``builtin:NAME``."""
    return sorted(BUILTIN + path.parent.name for path in _FOLDER.glob("*/model.json"))


def builtin_folder(name: str) -> Path:
    """Folder of ``builtin:NAME``.

    Raises:
        UsageError: There is no built-in model of this name; those there are get listed.
    """
    names = builtin_names()
    if name not in names:
        known = ", ".join(names) or "none"
        raise UsageError(f"There is no {name}{suggest(name, names)} (known: {known}).")
    return _FOLDER / name.removeprefix(BUILTIN)


def model_folder(name: str) -> Path:
    """Folder of a model.

    Args:
        name: Path of the folder, or ``builtin:NAME``.

    Raises:
        UsageError: There is no built-in model of this name.
    """
    return builtin_folder(name) if name.startswith(BUILTIN) else Path(name)
