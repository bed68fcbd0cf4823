"""From cohorts or folders to an audit: who is compared with whom, and the report on disk."""

from __future__ import annotations

__all__: list[str] = []
