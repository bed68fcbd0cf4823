"""What a phantom cohort is made of."""

from __future__ import annotations

from dataclasses import dataclass

from bussynth.cohort.phantom.device import DEVICES
from bussynth.config import Config, option, suggest
from bussynth.errors import UsageError

__all__ = ["PhantomConfig"]


@dataclass(frozen=True, kw_only=True)
class PhantomConfig(Config):
    """Size and composition of a phantom cohort.

    A patient is a function of ``seed`` and of its number alone: a larger cohort starts with the
    same patients as a smaller one.

    Example:
        >>> PhantomConfig(patients=10, normal=0.5).malignant
        0.35
    """

    patients: int = option(200, "Number of patients.", min=1, max=10_000_000)
    image_size: int = option(64, "Edge length of the square images, in pixels.", min=16, max=512)
    seed: int = option(0, "Seed of everything random.", min=0, max=2**63 - 1)
    min_views: int = option(2, "Fewest images a patient.", min=1, max=20)
    max_views: int = option(3, "Most images a patient.", min=1, max=20)
    normal: float = option(0.2, "Fraction of patients without a lesion.", min=0.0, max=1.0)
    malignant: float = option(0.35, "Fraction with a malignant lesion.", min=0.0, max=1.0)
    devices: tuple[str, ...] = option(tuple(DEVICES), "Device styles, drawn with equal chance.")

    def __post_init__(self) -> None:
        """Check what involves several fields; report all of it at once."""
        super().__post_init__()
        object.__setattr__(self, "devices", tuple(self.devices))
        problems = []
        if self.min_views > self.max_views:
            problems.append(
                f"min_views={self.min_views}: must be at most max_views={self.max_views}"
            )
        if self.normal + self.malignant > 1.0 + 1e-9:
            problems.append(
                f"normal={self.normal!r} and malignant={self.malignant!r}: "
                "must not exceed 1 together"
            )
        if not self.devices:
            problems.append("devices=(): name at least one")
        if len(set(self.devices)) != len(self.devices):
            problems.append("devices: a name is listed twice")
        problems += [
            f"devices: no style {name!r}{suggest(name, DEVICES)}"
            for name in self.devices
            if name not in DEVICES
        ]
        if problems:
            raise UsageError(f"{type(self).__name__} is not valid.", problems)
