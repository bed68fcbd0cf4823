"""How close synthetic images are to real ones, beside how close real ones are to each other."""

from __future__ import annotations

__all__: list[str] = []
