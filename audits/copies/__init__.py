"""Copies of real images: identity, near-copies, duplicates."""

from __future__ import annotations

__all__: list[str] = []
