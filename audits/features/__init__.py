"""Feature spaces in which images are compared; each module is one space."""

from __future__ import annotations

__all__: list[str] = []
