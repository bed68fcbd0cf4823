"""Configuration of the demo."""

from __future__ import annotations

from dataclasses import dataclass

from bussynth.config import Config, option

__all__ = ["DemoConfig"]


@dataclass(frozen=True, kw_only=True)
class DemoConfig(Config):
    """Size of the demo; the defaults take about three minutes on two cores."""

    patients: int = option(840, "Simulated patients.", min=20, max=1_000_000)
    image_size: int = option(32, "Edge length of the images, in pixels.", min=32, max=160)
    minutes: float = option(0.8, "Minutes of training.", min=0.01, max=100_000)
    n: int = option(512, "Synthetic images.", min=16, max=10_000_000, flags=("-n", "--n"))
    seed: int = option(0, "Seed of everything random.", min=0, max=2**31 - 1)
