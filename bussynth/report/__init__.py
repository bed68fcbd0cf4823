"""From report.json to one HTML file that opens anywhere and loads nothing."""

from __future__ import annotations

__all__: list[str] = []
