"""Whether images of "normal" show no lesion, and images with a box show one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bussynth.quality.comparison import Comparison
from bussynth.quality.recognition import Recognition

__all__ = ["CASES", "Presence"]

CASES = ("normal", "lesion")
"""The two classes, in the order of the probabilities."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """How well images with and without a lesion are told apart.

    A lesion counts as found where it is likelier than not, both cases taken to be equally
    frequent.

    Attributes:
        images: Images measured, ``real`` and ``synthetic``, by case.
        patients: Real patients measured.
        auc: Area under the ROC curve; chance is 0.5.
        found_in_normal: Share of normal images in which a lesion is found.
        found_in_lesion: Share of images with a lesion box in which one is found.
    """

    images: Mapping[str, Mapping[str, int]]
    patients: int
    auc: Comparison
    found_in_normal: Comparison
    found_in_lesion: Comparison

    @classmethod
    def of(cls, recognition: Recognition) -> Presence:
        """Read the figures off the recognition of the two cases."""
        normal, lesion = CASES
        return cls(
            images=recognition.images,
            patients=recognition.patients,
            auc=recognition.auc,
            found_in_normal=recognition.recall[normal].complement(),
            found_in_lesion=recognition.recall[lesion],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "images": {name: dict(counts) for name, counts in self.images.items()},
            "patients": self.patients,
            "auc": self.auc.to_dict(),
            "found_in_normal": self.found_in_normal.to_dict(),
            "found_in_lesion": self.found_in_lesion.to_dict(),
        }
