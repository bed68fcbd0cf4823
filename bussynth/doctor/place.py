"""Whether a folder can be written to, and how much fits into it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from bussynth.doctor.finding import Finding

__all__ = ["look_at_place"]

_GIB: Final = 2**30
# A small model, its checkpoint and a cohort of some thousand images.
_LITTLE: Final = 2 * _GIB
_REFUSED: Final = 3


def look_at_place(place: Path) -> Finding:
    """A finding on a folder, or on the one that it would be made in.

    A file without a name is written into it and is gone at once.

    Args:
        place: The folder; it need not exist.
    """
    folder = place.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return Finding(
            name="place",
            state="problem",
            text=f"{folder} is a file",
            remedy="name a folder",
            code=_REFUSED,
        )
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(
            name="place",
            state="problem",
            text=f"{folder} cannot be written to ({error.strerror})",
            remedy="choose another folder, or ask for the right to write there",
            code=_REFUSED,
        )
    little = free < _LITTLE
    return Finding(
        name="place",
        state="warning" if little else "ok",
        text=f"{folder}: can be written to, {free / _GIB:.1f} GiB free",
        remedy="make room: models and cohorts take some GiB" if little else "",
        data={"folder": str(folder), "free": free},
    )
