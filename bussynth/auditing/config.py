"""Configuration of the audit: what a user may set of :class:`audits.settings.AuditSettings`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from audits.settings import AuditSettings
from bussynth.config import Config, option

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
    self_check: int = _of("self_check")
    alpha: float = _of("alpha")
    confidence: float = _of("confidence")
    tails: tuple[float, ...] = _of("tails")
    min_control_patients: int = _of("min_control_patients")
    min_recall: float = _of("min_recall")
    copy_ratio: float = _of("copy_ratio")
    disclosure_quantile: float = _of("disclosure_quantile")

    def changed(self) -> dict[str, tuple[Any, Any]]:
        """Return the settings that differ from their default: name to (default, value).

        The seed is left out: it is no threshold.
        """
        return {
            field.name: (field.default, value)
            for field in dataclasses.fields(self)
            if field.name != "seed" and (value := getattr(self, field.name)) != field.default
        }
