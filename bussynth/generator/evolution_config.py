"""Configuration of Private Evolution."""

from __future__ import annotations

from dataclasses import dataclass

from bussynth.config import option
from bussynth.generator.private_config import BudgetConfig

__all__ = ["EvolveConfig"]


@dataclass(frozen=True, kw_only=True)
class EvolveConfig(BudgetConfig):
    """How images of a public generator are bred by private votes."""

    base: str = option("builtin:phantom-64", "The public generator: a folder or builtin:NAME.")
    n: int = option(256, "Number of images to write.", min=1, max=1_000_000, flags=("-n", "--n"))
    rounds: int = option(8, "Rounds of votes; the budget is shared among them.", min=1, max=1000)
    candidates: int = option(
        200, "Images that are voted on, those of all pathologies together.", min=2, max=1_000_000
    )
    threshold: float = option(
        0.5, "Votes that do not count, in deviations of their noise.", min=0.0, max=100.0
    )
    first_strength: float = option(
        0.8, "How far variations of the first round may go, as in restyle.", min=0.01, max=1.0
    )
    last_strength: float = option(
        0.4, "How far those of the last round may go, and of the images written.", min=0.01, max=1.0
    )
    steps: int = option(12, "Sampling steps.", min=1, max=1000)
    seed: int = option(
        0, "Seed of the generator; votes and their noise have none.", min=0, max=2**63 - 1
    )

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.dp_epsilon is None:
            problems.append("dp_epsilon: give the largest epsilon that the votes may cost")
        return problems
