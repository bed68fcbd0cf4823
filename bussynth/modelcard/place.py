"""Where a card may be written: nowhere but in a place of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bussynth import atomic
from bussynth.errors import UsageError

__all__ = ["CARD_FILE", "LOSS_IMAGE", "MARKERS", "SAMPLES_IMAGE", "SIGN", "check_place"]

CARD_FILE: Final = "README.md"
SAMPLES_IMAGE: Final = "samples.png"
LOSS_IMAGE: Final = "loss.svg"
MARKERS: Final = (CARD_FILE,)
SIGN: Final = 'library_name: "bussynth"'
"""Line of the front matter that tells a card from other pages."""

_HEAD_BYTES: Final = 65_536


def check_place(out: Path, *, force: bool) -> None:
    """Refuse a place that a card must not take.

    Many folders hold a README.md, so ``force`` replaces only a folder that holds nothing but a
    card.

    Args:
        out: The folder to make.
        force: Replace an earlier card.

    Raises:
        UsageError: The place is taken.
    """
    atomic.check_output(out, force=force, markers=MARKERS)
    if not out.is_dir() or not any(out.iterdir()):
        return
    others = sorted({item.name for item in out.iterdir()} - {CARD_FILE, SAMPLES_IMAGE, LOSS_IMAGE})
    if others or not _is_card(out / CARD_FILE):
        raise UsageError(
            f"{out} holds other things than a model card, so it is not replaced; choose another "
            "name."
        )


def _is_card(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as stream:
            lines = stream.read(_HEAD_BYTES).split("\n")
    except (OSError, UnicodeDecodeError):
        return False
    return lines[0] == "---" and "---" in lines[1:] and SIGN in lines[: lines.index("---", 1)]
