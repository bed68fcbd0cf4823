"""Comparisons of train with control patients, one a module."""

from __future__ import annotations

__all__: list[str] = []
