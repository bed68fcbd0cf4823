"""What a phantom cohort is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bussynth.cohort.phantom.device import DEVICES
from bussynth.config import Config, option, suggest
from bussynth.errors import UsageError

__all__ = ["HospitalConfig", "PatientsConfig", "PhantomConfig", "PhantomOptions"]


@dataclass(frozen=True, kw_only=True)
class PatientsConfig(Config):
    """Which patients are simulated.

    A patient is a function of ``seed`` and of its number alone: more patients start with the same
    ones as fewer.
    """

    patients: int = option(200, "Number of patients.", min=1, max=10_000_000)
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


@dataclass(frozen=True, kw_only=True)
class PhantomConfig(PatientsConfig):
    """Size and composition of a phantom cohort.

    Example:
        >>> PhantomConfig(patients=10, normal=0.5).malignant
        0.35
    """

    image_size: int = option(64, "Edge length of the square images, in pixels.", min=16, max=512)


@dataclass(frozen=True, kw_only=True)
class HospitalConfig(PhantomConfig):
    """Size and composition of a phantom hospital.

    Example:
        >>> HospitalConfig(patients=10).image_size
        384
    """

    image_size: int = option(
        384,
        "Pixels that the tissue is simulated with; the machines scale it to their screens.",
        min=16,
        max=512,
    )


@dataclass(frozen=True, kw_only=True)
class PhantomOptions(PatientsConfig):
    """What ``bussynth phantom`` can be asked for: a cohort or a hospital."""

    dicom: bool = option(
        False,
        "Write what a hospital has instead of a cohort: files of scanners, with identifiers of "
        "invented patients in headers and pixels, a table of labels and a map for ingest.",
    )
    image_size: int | None = option(
        None,
        "Edge length of the square images, in pixels; with --dicom, of the tissue before a machine "
        "scales it to its screen. Default: 64, with --dicom 384.",
        min=16,
        max=512,
    )

    def cohort(self) -> PhantomConfig:
        """Return the configuration of a cohort."""
        return PhantomConfig.from_dict(self._given())

    def hospital(self) -> HospitalConfig:
        """Return the configuration of a hospital."""
        return HospitalConfig.from_dict(self._given())

    def _given(self) -> dict[str, Any]:
        values = self.to_dict()
        del values["dicom"]
        return {key: value for key, value in values.items() if value is not None}
