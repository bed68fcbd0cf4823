"""What guarding does to the privacy claim of a synthetic cohort."""

from __future__ import annotations

from typing import Final

__all__ = ["NOTE", "VOIDS"]

VOIDS: Final = "formal-dp"
"""The claim that no guarded cohort may carry."""

NOTE: Final = (
    "A guard looks at private training images while images are generated, outside any accounting "
    "of differential privacy: a formal-dp claim is void. What was kept away from training images "
    "can leave a gap around them, so the cohort is audited as it is released, and the numbers of "
    "rejected draws and of rows left out stay on record."
)
"""One paragraph for records and reports."""
