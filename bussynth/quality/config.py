"""Configuration of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from bussynth.config import Config, option

__all__ = ["EvaluateConfig"]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """What is measured of synthetic images, and with how much work."""

    seed: int = option(0, "Seed of everything random.", min=0, max=2**63 - 1)
    columns: tuple[str, ...] = option(
        (), "Condition columns to recognise; all that both cohorts have, if not given."
    )
    steps: int | None = option(
        None, "Training steps of each network; as many as the cohort needs, if not given.", min=1
    )
    members: int = option(2, "Networks whose answers are averaged.", min=1, max=32)
    resamples: int = option(
        1000, "Bootstrap resamples behind each interval, and shuffles.", min=20, max=100_000
    )
    min_patients: int = option(
        5, "Patients a value needs, in train and in test, to be measured.", min=2
    )
    fidelity: bool = option(True, "Measure fidelity in feature spaces as well.")
    fidelity_steps: int | None = option(
        None, "Training steps of the encoder of the learned space.", min=1
    )
