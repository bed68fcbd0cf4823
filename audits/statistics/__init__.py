"""Textbook statistics: intervals and permutations."""

from __future__ import annotations

__all__: list[str] = []
