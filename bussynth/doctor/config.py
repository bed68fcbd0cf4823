"""What a check-up is told of the private training that is to be checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from bussynth.config import Config, option
from bussynth.generator.config import PRESET_NAMES, AdaptConfig

__all__ = ["DoctorConfig"]


def _like(name: str) -> dict[str, Any]:
    """How a setting is declared for ``adapt``."""
    found = next(one for one in fields(AdaptConfig) if one.name == name)
    default = found.default if found.default_factory is MISSING else found.default_factory()
    return {"default": default, **found.metadata}


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(Config):
    """The private training to check: that of ``adapt``, or with a preset that of ``train``."""

    base: str | None = option(
        None,
        "The base, a model folder or builtin:NAME; builtin:phantom-64 if neither base nor preset "
        "is given. With a preset: what train starts from.",
    )
    preset: str | None = option(
        None, "Check the network of train in this size.", choices=PRESET_NAMES
    )
    rank: int = option(**_like("rank"))
    targets: tuple[str, ...] = option(**_like("targets"))
    images_per_patient: int = option(**_like("images_per_patient"))
    noise_multiplicity: int = option(**_like("noise_multiplicity"))
    clip_norm: float | None = option(**_like("clip_norm"))
    augment: float = option(**_like("augment"))
    dp_values: Mapping[str, Any] = option(**_like("dp_values"))
    dp_public_base: bool = option(**_like("dp_public_base"))
