"""Configuration of device transfer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from bussynth.config import Config, option
from bussynth.errors import UsageError

__all__ = ["METHODS", "RestyleConfig"]

#: How an image is taken up to the noise level; see :mod:`bussynth.generator.transfer`.
METHODS: Final = ("inversion", "noise")

# Those of `bussynth.cohort.row.SPLITS`, which would bring the image decoder with it.
_SPLITS = ("train", "control", "test")


@dataclass(frozen=True, kw_only=True)
class RestyleConfig(Config):
    """What is re-rendered, and how."""

    to_device: tuple[str, ...] = option(
        dataclasses.MISSING,
        "Device to render as; repeat the flag for several. Each image is rendered in each.",
    )
    strength: float = option(
        0.55,
        "Noise level on the way, above 0 to 1: more changes more, of the lesion as well.",
        min=0.01,
        max=1.0,
    )
    method: str = option(
        "inversion",
        "inversion takes the image's own noise and keeps more of it, noise takes fresh noise.",
        choices=METHODS,
    )
    steps: int = option(
        12, "Solver steps in each direction; 2 or more for inversion.", min=1, max=1000
    )
    guidance: float = option(
        2.0,
        "Scale of the difference between the two devices; 1 is the model's own.",
        min=0.0,
        max=20.0,
    )
    seed: int = option(
        0,
        "Seed of the noise; an image depends on the seed and its source's id.",
        min=0,
        max=2**63 - 1,
    )
    split: str | None = option(None, "Take only the images of this split.", choices=_SPLITS)
    include_own: bool = option(False, "Render images of a device in that device as well.")

    def __post_init__(self) -> None:
        """Check devices and steps beyond their types."""
        super().__post_init__()
        problems = [] if self.to_device else ["to_device: name at least one device"]
        if len(set(self.to_device)) != len(self.to_device):
            problems.append("to_device: names a device twice")
        # The last step down has none that leads up: a single one would leave the image clean and
        # take it for noise.
        if self.method == "inversion" and self.steps < 2:
            problems.append(f"steps={self.steps!r}: inversion needs 2 or more; or method noise")
        if problems:
            raise UsageError("RestyleConfig is not valid.", problems)
