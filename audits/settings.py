"""Thresholds and sizes of an audit, each with the reason for its value."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from audits.errors import AuditInputError

__all__ = ["CLEAR_SHARE", "AuditSettings"]

CLEAR_SHARE = 0.1
"""Share of alpha spent on hits beyond doubt: they are far below it, or they prove nothing."""


def _option(
    default: Any, help: str, reference: str, low: float | None = None, high: float | None = None
) -> Any:
    return field(
        default=default,
        metadata={"help": help, "reference": reference, "min": low, "max": high},
    )


_STRICT = (
    "alpha",
    "null_alpha",
    "copy_ratio",
    "copy_distance",
    "control_margin",
    "duplicate_ratio",
    "min_control_patients",
    "encoders",
    "self_check",
    "planted",
    "neighbours",
    "candidates",
    "singled_out",
    "dose_power",
)
"""Settings below whose default an audit finds less, or excuses more."""

_FIXED = ("confidence", "disclosure_quantile", "min_recall", "min_tail")
"""Settings of which no direction is the safe one: any other value is a choice to be questioned.

A recall or a confidence above the default asks more of a search, and so may shut a sharp one out.
"""

_COVERED = ("tails", "scales")
"""Lists that must hold at least their default's entries."""


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What an audit computes and where it draws its lines.

    Fix it before looking at the synthetic images: thresholds chosen afterwards void every
    p-value. ``describe`` lists each value with its help and reference.
    """

    alpha: float = _option(
        0.05,
        "Family-wise error of the tests that can fail an audit, after Holm's correction.",
        "Convention; Holm, Scand J Stat 6 (1979).",
        1e-6,
        0.5,
    )
    null_alpha: float = _option(
        0.01,
        "Family-wise error of the null comparisons; one that fires refuses a clean verdict.",
        "Own choice: at most one sound audit in a hundred is lost.",
        1e-6,
        0.5,
    )
    tails: tuple[float, ...] = _option(
        (0.10, 0.01, 0.001),
        "Shares of the closest synthetic images tested beside all of them.",
        "Means hide copies: 0.1 % planted copies leave the mean at one half (own simulation); "
        "Bhattacharjee et al., arXiv:2302.13181, for the density-ratio view.",
    )
    min_tail: int = _option(
        10,
        "Fewest synthetic images in a tail; below, the tail is not estimable.",
        "Own choice: ten of ten has probability 0.001 at even odds, 0.03 at seven to three.",
        1,
    )
    scales: tuple[int, ...] = _option(
        (16, 32),
        "Sides in cells at which whole images are compared by the contrast test.",
        "Area reduction never overstates a distance (lower-bounding lemma, Faloutsos et al., "
        "SIGMOD 1994), so a near pair stays near at every coarser scale.",
    )
    neighbours: int = _option(
        10,
        "Neighbours retrieved for each image.",
        "The longest list that linkability compares; ties beyond it are searched exhaustively.",
        2,
        1000,
    )
    encoders: int = _option(
        2,
        "Encoders trained on the real images, train and control alike, each from its own seed.",
        "Two, because filters by one learned encoder disagree between seeds (Koeken et al., "
        "arXiv:2510.01793). 0 leaves the learned spaces out.",
        0,
        8,
    )
    permutations: int = _option(
        2000,
        "Random relabellings of patients behind each p-value.",
        "(b + 1) / (B + 1): Phipson & Smyth, Stat Appl Genet Mol Biol 9 (2010).",
        19,
    )
    bootstrap: int = _option(
        500,
        "Resamplings of patients behind each interval of the contrast.",
        "Cluster bootstrap: Davison & Hinkley (1997), section 3.8.",
        20,
    )
    confidence: float = _option(
        0.95, "Confidence of all intervals and bounds.", "Convention.", 0.5, 0.9999
    )
    copy_ratio: float = _option(
        0.5,
        "Largest ratio of the distance to the nearest patient over the next patient's at which "
        "an image is a copy, where control images are too few to tell what chance does.",
        "Rule of one third of Yoon et al. (2023), relaxed because the smallest ratio between "
        "real images of different patients is measured in every run and caps it.",
        0.01,
        0.95,
    )
    copy_distance: float = _option(
        1.0,
        "Largest distance sqrt(2 - 2 NCC) of a copy: correlation at least one half.",
        "Own choice; excludes pairs that are merely the least unlike.",
        0.01,
        2.0,
    )
    control_margin: float = _option(
        0.9,
        "A copy's ratio must lie below this share of the smallest ratio of control images.",
        "Own choice: a copy must be closer than anything the control shows.",
        0.1,
        1.0,
    )
    duplicate_ratio: float = _option(
        1 / 3,
        "Ratio at which a train and a control image count as near-duplicates.",
        "Rule of one third, Yoon et al. (2023).",
        0.01,
        0.95,
    )
    candidates: int = _option(
        4,
        "Patients aligned again at fine scale for each image.",
        "Own choice; recall of planted copies is measured in every run.",
        2,
        64,
    )
    disclosure_quantile: float = _option(
        0.05,
        "Share of control patients that lie within the distance at which a patient counts as "
        "disclosed: the rate that chance gives.",
        "Own choice; the distance is found anew in every relabelling, so the test stays exact.",
        0.001,
        0.5,
    )
    planted: int = _option(
        300,
        "Copies planted in each class, fewer where there are fewer train images.",
        "300 of 300 found demonstrates a recall of 99.0 % (one-sided 95 %, Clopper & Pearson).",
        0,
    )
    min_recall: float = _option(
        0.95,
        "Recall whose lower confidence bound each decisive class must reach.",
        "Own choice; recall 0.95 is the operating point of LCMem, arXiv:2512.14421.",
        0.0,
        1.0,
    )
    delta: float = _option(
        1e-5,
        "Delta of the guarantee that the lower bound on epsilon puts to the test.",
        "Usual in published guarantees; smaller deltas change the bound little.",
        0.0,
        0.1,
    )
    singled_out: int = _option(
        1000,
        "Synthetic images, at most, that are tried as predicates singling out a patient.",
        "Own choice: no success among 1,000 bounds a rate by 0.3 % at 95 % confidence.",
        1,
    )
    dose: tuple[int, ...] = _option(
        (1, 3, 10, 30, 100),
        "Planted copies among the synthetic images, to find the least number detected.",
        "Roughly equal steps on a logarithmic scale.",
    )
    dose_repeats: int = _option(
        20, "Random plantings for each dose.", "Own choice: power to about 10 points.", 1
    )
    dose_power: float = _option(
        0.8, "Power that defines the limit of detection.", "Convention (Cohen 1988).", 0.01, 1.0
    )
    min_control_patients: int = _option(
        200,
        "Fewest control patients; with fewer, an audit that does not fail is inconclusive.",
        "Own choice: no event among 200 patients bounds a rate by 1.5 % at 95 % confidence.",
        0,
    )
    self_check: int = _option(
        1000,
        "Queries repeated by double-precision brute force.",
        "No error among 1,000 bounds the error rate by 0.3 % at 95 % confidence.",
        0,
    )
    seed: int = _option(
        20260101, "Seed of every random draw.", "Arbitrary; recorded for repetition.", 0
    )

    def __post_init__(self) -> None:
        """Refuse values out of range, all at once."""
        problems = []
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(entry.default, tuple):
                kind = type(entry.default[0])
                value = tuple(value)
                object.__setattr__(self, entry.name, value)
                if not all(isinstance(x, (int, kind)) and x > 0 for x in value):
                    problems.append(f"{entry.name}: expected positive numbers. Got {value!r}.")
                continue
            kinds = (int, float) if isinstance(entry.default, float) else (int,)
            if not isinstance(value, kinds) or isinstance(value, bool):
                problems.append(f"{entry.name}: expected a number. Got {value!r}.")
                continue
            low, high = entry.metadata["min"], entry.metadata["max"]
            if low is not None and not value >= low:
                problems.append(f"{entry.name}: expected at least {low}. Got {value!r}.")
            if high is not None and not value <= high:
                problems.append(f"{entry.name}: expected at most {high}. Got {value!r}.")
        if not problems:
            if any(tail >= 1 for tail in self.tails):
                problems.append(f"tails: expected shares below 1. Got {self.tails!r}.")
            if not self.scales or min(self.scales) < 2:
                problems.append(f"scales: expected sides of at least 2. Got {self.scales!r}.")
        if problems:
            raise AuditInputError("These audit settings cannot be used.", problems)

    def loosened(self) -> tuple[str, ...]:
        """Names of the settings that make, or could make, the audit find less than its defaults.

        Such a run is worth having while exploring, but must not end in a clean verdict: a
        threshold that anybody can lower is no threshold.
        """
        strict = [name for name in _STRICT if getattr(self, name) < _default(name)]
        fixed = [name for name in _FIXED if getattr(self, name) != _default(name)]
        covered = [name for name in _COVERED if not set(_default(name)) <= set(getattr(self, name))]
        return (*strict, *fixed, *covered)

    def unreachable(self, tests: int, nulls: int) -> tuple[str, ...]:
        """Levels that no p-value can reach with so few permutations.

        Args:
            tests: Tests that share ``alpha``.
            nulls: Null comparisons that share ``null_alpha``.
        """
        least = 1.0 / (self.permutations + 1)
        levels = {
            "alpha": (1.0 - CLEAR_SHARE) * self.alpha / max(1, tests),
            "null_alpha": self.null_alpha / max(1, nulls),
        }
        return tuple(name for name, level in levels.items() if least > level)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Each setting with its value, help and reference, as plain JSON types."""
        described = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            described[entry.name] = {
                "value": list(value) if isinstance(value, tuple) else value,
                "help": entry.metadata["help"],
                "reference": entry.metadata["reference"],
            }
        return described


def _default(name: str) -> Any:
    return next(entry.default for entry in fields(AuditSettings) if entry.name == name)
