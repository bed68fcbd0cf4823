"""Configuration of the split."""

from __future__ import annotations

from dataclasses import dataclass

from bussynth.config import Config, option

__all__ = ["SplitConfig"]


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Config):
    """How patients are divided into train, control and test."""

    control: float = option(0.2, "Share of patients held out for audits only.", min=0.0, max=0.9)
    test: float = option(0.2, "Share of patients held out for utility.", min=0.0, max=0.9)
    by: tuple[str, ...] = option(
        ("pathology", "device"), "Condition columns the lottery is stratified by."
    )
    seed: int | None = option(
        None, "Seed of the lottery; drawn from the operating system if not given.", min=0
    )
