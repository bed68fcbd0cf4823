"""Configuration of the pages of a review."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bussynth.config import Config, option

__all__ = ["ORDERS", "ReviewConfig"]

#: How the sheets may be ordered.
ORDERS: Final = ("risk", "id")


@dataclass(frozen=True, kw_only=True)
class ReviewConfig(Config):
    """How many images a page shows, and in which order."""

    per_page: int = option(200, "Images a page.", min=1, max=2000)
    order: str = option(
        "risk", "Order of the images: what was flagged or blanked first, or by id.", choices=ORDERS
    )
