"""One figure three times: in held-out real images, in synthetic ones, and by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bussynth.quality.resampling import Measured, Sample

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A figure of real and synthetic images.

    Attributes:
        real: In images of held-out real patients: the level to reach.
        synthetic: In synthetic images, against what was requested.
        difference: Synthetic minus real; the two samples are independent.
        shuffled: In synthetic images whose requests were dealt out anew.
    """

    real: Measured
    synthetic: Measured
    difference: Measured
    shuffled: Measured

    def complement(self) -> Comparison:
        """Return the figure of the opposite: one minus it."""
        gap = self.difference
        return Comparison(
            real=self.real.complement(),
            synthetic=self.synthetic.complement(),
            difference=Measured(-gap.value, -gap.high, -gap.low),
            shuffled=self.shuffled.complement(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "real": self.real.to_dict(),
            "synthetic": self.synthetic.to_dict(),
            "difference": self.difference.to_dict(),
            "shuffled": self.shuffled.to_dict(),
        }


def compare(
    real: Sample, synthetic: Sample, shuffled: tuple[Measured, ...], figure: int
) -> Comparison:
    """Put one figure of each sample side by side."""
    return Comparison(
        real=real.measured(figure),
        synthetic=synthetic.measured(figure),
        difference=synthetic.minus(real, figure),
        shuffled=shuffled[figure],
    )
