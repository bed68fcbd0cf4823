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
    real: Sample,
    synthetic: Sample,
    shuffled: tuple[Measured, ...],
    figure: int,
    *,
    people: tuple[int, int] | None = None,
) -> Comparison:
    """Put one figure of each sample side by side.

    Args:
        real: Of real images.
        synthetic: Of synthetic images.
        shuffled: The level of chance of each figure.
        figure: Position of the figure.
        people: Of a share: of how many real patients and synthetic images it is.
    """
    level = real.measured(figure, people=people and people[0])
    reached = synthetic.measured(figure, people=people and people[1])
    return Comparison(
        real=level,
        synthetic=reached,
        difference=reached.minus(level),
        shuffled=shuffled[figure],
    )
