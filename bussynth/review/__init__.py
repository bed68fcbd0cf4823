"""The human check of a de-identified folder: its material, its pages, its approval.

The material and the pages hold images of patients. They stay at the site; nothing that leaves it
is made from them.
"""

from __future__ import annotations

__all__: list[str] = []
