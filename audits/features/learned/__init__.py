"""A copy-detection encoder trained from scratch on the site's own images, train and control alike.

Modules that need torch are imported only by the functions that use them.
"""

from __future__ import annotations

__all__: list[str] = []
