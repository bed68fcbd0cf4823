"""Whether a lesion lies in the box it was requested in, beside real images and their boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bussynth.quality.comparison import Comparison, compare
from bussynth.quality.figures import box_iou, centre_inside, weighted_mean
from bussynth.quality.resampling import Statistics, bootstrap, shuffles

__all__ = ["Finds", "Localisation", "localise"]

_HIT = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Finds:
    """Boxes that a detector found in images with a lesion.

    Attributes:
        found: float64 (n, 4), x0 y0 x1 y1.
        asked: float64 (n, 4), the true box, or the requested one.
        patients: int64 (n,).
    """

    found: npt.NDArray[np.float64]
    asked: npt.NDArray[np.float64]
    patients: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Localisation:
    """How well lesions lie in their boxes.

    Attributes:
        images: Images measured, ``real`` and ``synthetic``.
        patients: Real patients measured.
        iou: Mean intersection over union of the found and the requested box.
        hit: Share of images in which it is at least 0.5.
        centre: Share of images in which the found centre lies in the requested box.
    """

    images: Mapping[str, int]
    patients: int
    iou: Comparison
    hit: Comparison
    centre: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "images": dict(self.images),
            "patients": self.patients,
            "iou": self.iou.to_dict(),
            "iou_at_least_half": self.hit.to_dict(),
            "centre_in_box": self.centre.to_dict(),
        }


def localise(
    real: Finds, synthetic: Finds, *, resamples: int, rng: np.random.Generator
) -> Localisation:
    """Compare found with requested boxes, in real and in synthetic images.

    Args:
        real: Finds in held-out real images.
        synthetic: Finds in synthetic images.
        resamples: Bootstrap resamples.
        rng: Source of randomness.

    Returns:
        The comparison. Boxes dealt out anew overlap by more than nothing, since lesions lie in
        similar places; that level is given beside each figure.
    """
    of_real = bootstrap(_statistics(real), real.patients, resamples=resamples, rng=rng)
    of_synthetic = bootstrap(
        _statistics(synthetic), synthetic.patients, resamples=resamples, rng=rng
    )

    def dealt(order: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        other = Finds(
            found=synthetic.found, asked=synthetic.asked[order], patients=synthetic.patients
        )
        return _statistics(other)(np.ones((1, len(order)))).ravel()

    by_chance = shuffles(dealt, len(synthetic.found), rng)
    people = len(np.unique(real.patients)), len(synthetic.found)
    hit, centre = (
        compare(of_real, of_synthetic, by_chance, share, people=people) for share in (1, 2)
    )
    return Localisation(
        images={"real": len(real.found), "synthetic": len(synthetic.found)},
        patients=people[0],
        iou=compare(of_real, of_synthetic, by_chance, 0),
        hit=hit,
        centre=centre,
    )


def _statistics(finds: Finds) -> Statistics:
    iou = box_iou(finds.found, finds.asked)
    columns = (iou, iou >= _HIT, centre_inside(finds.found, finds.asked))

    def figures(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.stack([weighted_mean(column, weights) for column in columns], axis=1)

    return figures
