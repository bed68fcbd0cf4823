"""Lower bound on epsilon from one training run (Steinke, Nasr & Jagielski, NeurIPS 2023).

The attacker guesses of r patients who was in train. Under (eps, delta)-differential privacy and
independent fair coins, the number of right guesses is stochastically at most Bin(r, q) with
q = 1 / (1 + exp(-eps)), up to a term in delta (arXiv:2305.08846, theorem 5.2). More right guesses
than that refute the claim. It is a *lower* bound: a small one says nothing about safety.

Paired design. Our lottery draws fixed numbers within strata, so single patients are no
independent coins. Pairs are. In every stratum each control patient is paired with a random train
patient of its own (or each train patient with a control patient, where those are more); the
attacker sees the pair in no order and names the one with the larger score.

Proof that the m orders are independent fair coins. Labels are uniform over the choices of the
lottery, and, given the labels, the matching is uniform over all matchings of this size; the
numbers of both do not depend on the outcome. So (labels, matching) is uniform. Let X be the
unordered pairs and the labels of the patients left over. Swapping the labels within any set of
pairs changes neither stratum counts nor X: the 2^m configurations that share X are all possible,
hence equally likely. Given X, each order is a fair coin, independent of the others. Scores and
the choice of the r most confident pairs use unordered pairs and scores blind to labels only. One
coin decides which of two patients is in train: neighbours differ by *replacing* one patient.

Replace and add/remove. The bound for replace-one is direct. A mechanism that is (eps, delta)-DP
for adding or removing one patient is (2 eps, (1 + exp(eps)) delta)-DP for replacing one (group
privacy), and is refuted if that is: its bound is half as large when delta is 0.

Independent design. Where every patient was in train by a recorded fair coin of its own, the r/2
largest scores are guessed in and the r/2 smallest out; the bound is for add/remove, and none for
replace-one follows.

The numbers of guesses are declared fractions of m. They share the error with the scores
(Bonferroni). A tie within a pair counts as a wrong guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.images import Patients

__all__ = ["EpsilonBound", "Guesses", "epsilon_bound", "guess_p_value", "one_run_bound"]

_FRACTIONS = (1.0, 0.5, 0.25, 0.1)
_UNIT = "patient"

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Guesses:
    """One attack: a score and a number of guesses.

    Attributes:
        score: Name of the score.
        guesses: r.
        correct: Right guesses, 0 to r.
        p_value: Of the hypothesis eps = 0, for this attack alone.
        epsilon_replace: Lower bound for replace-one, or None (independent design).
        epsilon_add_remove: Lower bound for add/remove. Both hold for all attacks at once.
    """

    score: str
    guesses: int
    correct: int
    p_value: float
    epsilon_replace: float | None
    epsilon_add_remove: float


@dataclass(frozen=True)
class EpsilonBound:
    """Lower bound on the epsilon of the training run; it says nothing about safety.

    Attributes:
        design: "paired" or "independent".
        unit: What one coin decides about: always "patient".
        bits: m, pairs or patients.
        delta: The delta at which the bound holds.
        confidence: Of the bound, over all attacks together.
        attacks: One entry a score and number of guesses.
        epsilon_replace: Largest bound for replace-one adjacency, or None.
        epsilon_add_remove: Largest bound for add/remove adjacency, or None.
        p_value: Of the hypothesis eps = 0, over all attacks (Bonferroni), or None.
        reason: Why there is no bound; empty otherwise.
    """

    design: str
    unit: str
    bits: int
    delta: float
    confidence: float
    attacks: tuple[Guesses, ...]
    epsilon_replace: float | None
    epsilon_add_remove: float | None
    p_value: float | None
    reason: str

    def contradicts(self, epsilon: float, *, delta: float, unit: str, adjacency: str) -> bool:
        """Whether a claimed guarantee cannot be true.

        Args:
            epsilon: Claimed epsilon.
            delta: Claimed delta, at most the delta of this bound.
            unit: What the claim protects; must be "patient". An image-level epsilon says nothing
                about a patient with several images.
            adjacency: "replace" or "add-remove".

        Returns:
            True if the bound exceeds the claim; False is no confirmation.

        Raises:
            AuditInputError: Another unit or adjacency, a larger delta, or no bound to compare.
        """
        problems = []
        if unit != self.unit:
            problems.append(f"the claim is per {unit!r}, the bound per {self.unit!r}.")
        if adjacency not in ("replace", "add-remove"):
            problems.append(f"adjacency: expected 'replace' or 'add-remove'. Got {adjacency!r}.")
        bound = self.epsilon_replace if adjacency == "replace" else self.epsilon_add_remove
        if bound is None:
            problems.append(f"no bound for {adjacency!r} in the {self.design} design.")
        if delta > self.delta:
            problems.append(
                f"the claim allows delta {delta!r}, the bound was computed for {self.delta!r}."
            )
        if problems or bound is None:
            raise AuditInputError("Claim and bound cannot be compared.", problems)
        return bound > epsilon


def guess_p_value(bits: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Chance of that many right guesses under (epsilon, delta)-differential privacy, or more.

    P[B >= v] + 2 m delta max_i P[v - i <= B < v] / i, with B from Bin(r, 1 / (1 + exp(-eps))).

    Args:
        bits: m, independent fair coins.
        guesses: r, at most m.
        correct: v, at most r.
        epsilon: 0 or more.
        delta: 0 to 1.

    Returns:
        An upper bound on the probability, at most 1.

    Reference:
        Steinke, Nasr & Jagielski, NeurIPS 2023, theorem 5.2 and appendix D.
    """
    from scipy.special import bdtrc

    if not 0 <= correct <= guesses <= bits:
        raise ValueError(
            f"Expected 0 <= correct <= guesses <= bits. Got {correct=}, {guesses=}, {bits=}."
        )
    if epsilon < 0.0 or not 0.0 <= delta <= 1.0:
        raise ValueError(f"Expected epsilon >= 0 and 0 <= delta <= 1. Got {epsilon=}, {delta=}.")
    if not correct:
        return 1.0
    rate = 1.0 / (1.0 + math.exp(-min(epsilon, 700.0)))
    # P[B >= v]; the distribution of scipy.stats takes a hundred times as long.
    p = float(bdtrc(correct - 1, guesses, rate))
    if delta:
        from scipy.stats import binom

        below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, rate))
        p += 2.0 * bits * delta * float((below / np.arange(1, correct + 1)).max())
    return min(1.0, p)


def epsilon_bound(
    bits: int,
    guesses: int,
    correct: int,
    *,
    delta: float,
    confidence: float,
    replace_for_add_remove: bool = False,
) -> float:
    """Smallest epsilon that the guesses do not refute, by bisection.

    Args:
        bits: m, independent fair coins.
        guesses: r, at most m.
        correct: v, at most r.
        delta: Of the guarantee that is put to the test.
        confidence: Of the bound.
        replace_for_add_remove: The coins replace one patient, but the bound is wanted for
            add/remove: tests (2 eps, (1 + exp(eps)) delta).

    Returns:
        The lower bound, 0 when even no leakage is compatible; never above the truth, but with
        probability 1 - confidence.
    """

    def refuted(epsilon: float) -> bool:
        if replace_for_add_remove:
            wider = min(1.0, (1.0 + math.exp(min(epsilon, 700.0))) * delta)
            return guess_p_value(bits, guesses, correct, 2.0 * epsilon, wider) < 1.0 - confidence
        return guess_p_value(bits, guesses, correct, epsilon, delta) < 1.0 - confidence

    if not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refuted(high):
        low, high = high, 2.0 * high
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def _pairs(patients: Patients, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Train and control patient of each pair, int64 (m, 2), pairs in random order."""
    pairs = [np.empty((0, 2), np.int64)]
    for cell in np.unique(patients.stratum):
        inside = patients.stratum == cell
        train = rng.permutation(np.flatnonzero(inside & patients.member))
        control = rng.permutation(np.flatnonzero(inside & ~patients.member))
        size = min(len(train), len(control))
        pairs.append(np.stack([train[:size], control[:size]], axis=1))
    # Ties in confidence go by this order: it must not depend on labels, so it is random.
    return rng.permutation(np.concatenate(pairs))


def _paired(scores: Floats, pairs: npt.NDArray[np.int64]) -> Bools:
    """Whether the guess of each pair is right, most confident pairs first."""
    lead = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    right: Bools = lead[np.argsort(-np.abs(lead), kind="stable")] > 0.0
    return right


def _correct_coins(
    scores: Floats, member: Bools, guesses: int, order: npt.NDArray[np.int64]
) -> int:
    """Right guesses: the larger scores in, as many smaller ones out; ties go by ``order``.

    The least score is never rightly in nor the largest out: a constant score guesses nothing.
    """
    ranked = order[np.argsort(-scores[order], kind="stable")]
    out = guesses // 2
    first, last = ranked[: guesses - out], ranked[len(ranked) - out :]
    right = (member[first] & (scores[first] > scores.min())).sum()
    return int(right + (~member[last] & (scores[last] < scores.max())).sum())


def one_run_bound(
    scores: Mapping[str, Floats],
    patients: Patients,
    *,
    delta: float,
    confidence: float,
    rng: np.random.Generator,
    fractions: Sequence[float] = _FRACTIONS,
    independent: bool = False,
) -> EpsilonBound:
    """Bound the epsilon of the training run from below.

    Args:
        scores: By name, float64 (patients,), large for train, finite, blind to labels. Few:
            every score costs confidence.
        patients: The numbering.
        delta: Delta of the guarantee put to the test, 0 to 1, exclusive of 1.
        confidence: Of the bound.
        rng: Source of randomness: forms the pairs and breaks ties.
        fractions: Numbers of guesses as fractions of m, declared beforehand.
        independent: Every patient was in train by a fair coin of its own, independently.

    Returns:
        The bound; without pairs (coins) or scores there is none and ``reason`` says why.

    Raises:
        ValueError: Scores that are not finite or of another length; fractions outside (0, 1].
    """
    count = len(patients.member)
    for name, values in scores.items():
        if np.shape(values) != (count,) or not np.isfinite(values).all():
            raise ValueError(f"Expected {count} finite scores {name!r}.")
    if not fractions or not all(0.0 < fraction <= 1.0 for fraction in fractions):
        raise ValueError(f"Expected fractions above 0 and at most 1. Got {fractions!r}.")
    design = "independent" if independent else "paired"
    order = rng.permutation(count) if independent else np.empty(0, np.int64)
    pairs = np.empty((0, 2), np.int64) if independent else _pairs(patients, rng)
    bits = count if independent else len(pairs)
    if not bits or not scores:
        reason = "no score" if not scores else f"no {'patient' if independent else 'pair'}"
        return EpsilonBound(design, _UNIT, bits, delta, confidence, (), None, None, None, reason)

    sizes = sorted({max(1, round(fraction * bits)) for fraction in fractions}, reverse=True)
    tests = len(scores) * len(sizes)
    level = 1.0 - (1.0 - confidence) / tests
    attacks = []
    for name, given in scores.items():
        values = np.asarray(given, np.float64)
        right = np.cumsum(_paired(values, pairs)) if not independent else np.empty(0, np.int64)
        for size in sizes:
            if independent:
                correct = _correct_coins(values, patients.member, size, order)
            else:
                correct = int(right[size - 1])
            found = {
                half: epsilon_bound(
                    bits,
                    size,
                    correct,
                    delta=delta,
                    confidence=level,
                    replace_for_add_remove=half,
                )
                for half in ((False,) if independent else (False, True))
            }
            attacks.append(
                Guesses(
                    name,
                    size,
                    correct,
                    guess_p_value(bits, size, correct, 0.0, delta),
                    None if independent else found[False],
                    found[not independent],
                )
            )
    replace = [a.epsilon_replace for a in attacks if a.epsilon_replace is not None]
    return EpsilonBound(
        design,
        _UNIT,
        bits,
        delta,
        confidence,
        tuple(attacks),
        max(replace, default=None),
        max(attack.epsilon_add_remove for attack in attacks),
        min(1.0, tests * min(attack.p_value for attack in attacks)),
        "",
    )
