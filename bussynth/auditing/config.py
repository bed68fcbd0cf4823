"""Configuration of the audit: :class:`audits.settings.AuditSettings` as flags and TOML keys.

Default, help and range of a setting exist once, there; here each costs one line.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from audits.errors import AuditInputError
from audits.settings import AuditSettings
from bussynth.config import Config, option
from bussynth.errors import UsageError

__all__ = ["AuditConfig"]

_SETTINGS = {field.name: field for field in dataclasses.fields(AuditSettings)}


def _of(name: str) -> Any:
    """Take default, help and range from the setting of that name, so they exist once."""
    field = _SETTINGS[name]
    metadata = field.metadata
    return option(field.default, metadata["help"], min=metadata["min"], max=metadata["max"])


@dataclass(frozen=True, kw_only=True)
class AuditConfig(Config):
    """What an audit computes and where it draws its lines.

    Fix it before looking at the images. The report lists every value with its reason and
    names those that differ from the default.
    """

    seed: int = _of("seed")
    permutations: int = _of("permutations")
    bootstrap: int = _of("bootstrap")
    planted: int = _of("planted")
    dose: tuple[int, ...] = _of("dose")
    dose_repeats: int = _of("dose_repeats")
    dose_power: float = _of("dose_power")
    self_check: int = _of("self_check")
    encoders: int = _of("encoders")
    alpha: float = _of("alpha")
    null_alpha: float = _of("null_alpha")
    confidence: float = _of("confidence")
    tails: tuple[float, ...] = _of("tails")
    min_tail: int = _of("min_tail")
    scales: tuple[int, ...] = _of("scales")
    neighbours: int = _of("neighbours")
    candidates: int = _of("candidates")
    min_control_patients: int = _of("min_control_patients")
    min_recall: float = _of("min_recall")
    copy_ratio: float = _of("copy_ratio")
    copy_distance: float = _of("copy_distance")
    control_margin: float = _of("control_margin")
    duplicate_ratio: float = _of("duplicate_ratio")
    disclosure_quantile: float = _of("disclosure_quantile")
    singled_out: int = _of("singled_out")
    delta: float = _of("delta")

    def settings(self) -> AuditSettings:
        """Return the settings of the audit.

        Raises:
            UsageError: Values contradict each other.
        """
        try:
            return AuditSettings(**self.to_dict())
        except AuditInputError as error:
            raise UsageError(error.message, error.problems) from error

    def changed(self) -> dict[str, tuple[Any, Any]]:
        """Return the settings that differ from their default: name to (default, value).

        The seed is left out: it is no threshold.
        """
        return {
            field.name: (field.default, value)
            for field in dataclasses.fields(self)
            if field.name != "seed" and (value := getattr(self, field.name)) != field.default
        }
