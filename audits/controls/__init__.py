"""Controls of the audit itself: planted copies and null comparisons."""

from __future__ import annotations

__all__: list[str] = []
