"""Each test's numbers turned into a result with a plain sentence."""

from __future__ import annotations

__all__: list[str] = []
