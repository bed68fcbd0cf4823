"""Differential privacy of a training, as the user asks for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from bussynth.config import Config, option
from bussynth.errors import UsageError

__all__ = ["BudgetConfig", "PrivateConfig"]


@dataclass(frozen=True, kw_only=True)
class BudgetConfig(Config):
    """What a private look at patients may cost; none without ``dp_epsilon``."""

    dp_epsilon: float | None = option(
        None,
        "Differential privacy for every patient, with all images: the largest epsilon.",
        min=0.001,
        max=50.0,
    )
    dp_delta: float | None = option(
        None,
        "Delta of the guarantee, below 1/(10 patients); about 1/(20 patients) if not given.",
        min=1e-12,
        max=0.1,
    )
    dp_patients: int | None = option(
        None,
        "About how many patients there are to learn from: a public number, such as that of an "
        "annual report, and never a count of the cohort.",
        min=1,
        max=1_000_000_000,
    )
    dp_cap: float | None = option(
        None,
        "Most that all private looks at the cohort together may cost, fixed with the first of "
        "them for good; the epsilon of that one if not given.",
        min=0.001,
        max=50.0,
    )
    dp_public_base: bool = option(
        False, "Declare that the base, a folder, was trained on public data alone."
    )

    def __post_init__(self) -> None:
        """Check how the settings go together."""
        super().__post_init__()
        problems = self._problems()
        if problems:
            raise UsageError("What is to be private is not well specified.", problems)

    def _problems(self) -> list[str]:
        if self.dp_epsilon is None:
            return [
                f"{one.name} needs dp_epsilon"
                for one in fields(self)
                if one.name.startswith("dp_") and getattr(self, one.name)
            ]
        problems = []
        if self.dp_patients is None:
            problems.append(
                "dp_patients: give a public number, about that of the patients to learn from; "
                "counting them in the cohort would be a look that nothing accounts for"
            )
        if self.dp_cap is not None and self.dp_cap < self.dp_epsilon:
            problems.append(f"dp_cap={self.dp_cap:g} is below dp_epsilon={self.dp_epsilon:g}")
        return problems

    @property
    def private(self) -> bool:
        """Whether there is a budget."""
        return self.dp_epsilon is not None

    @property
    def delta(self) -> float:
        """Delta of the guarantee: that given, or 1/(20 patients) with one digit, rounded down."""
        if self.dp_delta is not None:
            return self.dp_delta
        wanted = 1 / (20 * (self.dp_patients or 1))
        unit = 10.0 ** math.floor(math.log10(wanted))
        return float(f"{math.floor(wanted / unit) * unit:.0e}")


@dataclass(frozen=True, kw_only=True)
class PrivateConfig(BudgetConfig):
    """Public constants of a private training; off without ``dp_epsilon``."""

    dp_batch: int | None = option(
        None, "Patients expected in a step; a quarter of dp_patients if not given.", min=1
    )
    images_per_patient: int = option(2, "Images of each patient in a private step.", min=1, max=64)
    noise_multiplicity: int = option(
        4, "Draws of diffusion noise for each of these images; they cost no privacy.", min=1, max=64
    )
    dp_values: Mapping[str, Any] = option(
        {},
        "Values that a condition may take, as in device=a,b; with dp_epsilon they must be public, "
        "so those of the base are taken and the cohort's are not looked at.",
        flags=("--dp-values",),
    )

    def __post_init__(self) -> None:
        """Read values that a flag gives as text, and check them too."""
        values = {
            column: tuple(v.split(",")) if isinstance(v, str) else tuple(v)
            for column, v in self.dp_values.items()
        }
        object.__setattr__(self, "dp_values", values)
        super().__post_init__()

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.dp_epsilon is None:
            rest = (f for f in fields(PrivateConfig) if not f.name.startswith("dp_"))
            problems += [
                f"{one.name} needs dp_epsilon"
                for one in rest
                if getattr(self, one.name) != one.default
            ]
        if self.dp_batch is not None and self.dp_batch > (self.dp_patients or self.dp_batch):
            problems.append(f"dp_batch={self.dp_batch}: more than dp_patients={self.dp_patients}")
        for column, words in self.dp_values.items():
            if not words or len(set(words)) != len(words) or not all(words):
                problems.append(f"dp_values: {column} needs values, each once")
        return problems

    @property
    def expected_patients(self) -> int:
        """Patients expected in a step."""
        return self.dp_batch or max(1, round((self.dp_patients or 1) / 4))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the settings of a private training."""
        return tuple(one.name for one in fields(PrivateConfig))
