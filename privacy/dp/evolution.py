"""Private Evolution: a public generator is steered by votes of patients, without any training.

Lin et al. 2024, "Differentially Private Synthetic Data via Foundation Model APIs 1: Images"
(arXiv:2305.15560). In a round every patient votes for the candidates nearest to the own images, in
a feature space that is public; the votes are counted with noise; candidates that many voted for
stay and are varied, others go. Here the unit is the patient: all images of one share a single vote
vector of Euclidean norm 1, over the candidates of all classes together, so a round is one Gaussian
mechanism of sensitivity 1, and the classes cost nothing.

A vote depends on the patient and on the candidates alone. Therefore each patient is compared in
matrix products of its own: in one product for all, where somebody stands among the others could
turn the rounding, and with it the votes of others who are as near to two candidates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from privacy.dp import accounting
from privacy.dp.errors import DPInputError
from privacy.dp.histogram import noisy_sum
from privacy.dp.ledger import Ledger
from privacy.dp.mechanism import SampledGaussian

__all__ = ["EvolutionPlan", "Patient", "Round", "Selection", "evolve", "select"]

#: Features of a patient's images: for each class an array (images, features), without rows where
#: there are none of that class.
Patient = Sequence[npt.NDArray[np.floating[Any]]]
Numbers = npt.NDArray[np.float64]
C = TypeVar("C")

# Numbers of a matrix that are held at once.
_AT_ONCE: Final = 2**22


@dataclass(frozen=True, kw_only=True)
class EvolutionPlan:
    """Constants of a private evolution. None of them may be computed from the patients.

    Attributes:
        rounds: Most rounds of votes ever taken.
        candidates: How many candidates each class of a public vocabulary has; one number if there
            are no classes. A patient's images vote within their class.
        noise_multiplier: Standard deviation of the noise on each candidate's votes, in patients.
        threshold: What is taken off the votes before candidates are selected, in standard
            deviations of the noise, so that noise alone selects less.

    Raises:
        DPInputError: A field is out of its range.

    Example:
        >>> plan = EvolutionPlan(rounds=10, candidates=(60, 40), noise_multiplier=4.0)
        >>> plan.mechanism
        SampledGaussian(noise_multiplier=4.0, sampling_rate=1.0, steps=10)
    """

    rounds: int
    candidates: tuple[int, ...]
    noise_multiplier: float
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Check ranges, those of the mechanism included."""
        _ = self.mechanism  # raises
        problems = []
        if self.rounds < 1:
            problems.append(f"rounds: expected 1 or more, got {self.rounds!r}")
        if not self.candidates or not all(_is_count(count) for count in self.candidates):
            problems.append(
                "candidates: expected a whole number of 1 or more for each class, got "
                f"{self.candidates!r}"
            )
        if not (math.isfinite(self.threshold) and self.threshold >= 0):
            problems.append(f"threshold: expected a number, 0 or more, got {self.threshold!r}")
        if problems:
            raise DPInputError("This is no plan of a private evolution.", problems)

    @classmethod
    def calibrated(
        cls,
        *,
        epsilon: float,
        delta: float,
        rounds: int,
        candidates: tuple[int, ...],
        threshold: float = 0.5,
        spent: Sequence[SampledGaussian] = (),
    ) -> EvolutionPlan:
        """The plan with the least noise that keeps all rounds together within a budget.

        Args:
            epsilon: Must not be exceeded.
            delta: In (0, 1).
            rounds: See the class.
            candidates: See the class.
            threshold: See the class.
            spent: What has looked at the patients before, or may still.

        Raises:
            DPInputError: A number is out of its range.
            BudgetError: What was spent leaves nothing.
        """
        noise = accounting.noise_multiplier(
            epsilon, delta, sampling_rate=1.0, steps=rounds, spent=spent
        )
        return cls(
            rounds=rounds, candidates=candidates, noise_multiplier=noise, threshold=threshold
        )

    @property
    def mechanism(self) -> SampledGaussian:
        """What the accounting sees: all rounds, to be registered as one mechanism."""
        return SampledGaussian(noise_multiplier=self.noise_multiplier, steps=self.rounds)

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """Class of each candidate, int64 (candidates,): those of a class follow one another."""
        return np.repeat(np.arange(len(self.candidates)), self.candidates)

    def epsilon(self, delta: float) -> float:
        """Epsilon of all rounds together.

        Args:
            delta: In (0, 1).
        """
        return accounting.epsilon([self.mechanism], delta).epsilon


@dataclass(frozen=True)
class Selection:
    """Which candidates go on, class by class.

    Attributes:
        parents: int64 (n,), the candidate that each row comes from.
        fresh: bool (n,): whether the row is to be a variation of its parent, or the parent itself.
    """

    parents: npt.NDArray[np.int64]
    fresh: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Round(Generic[C]):
    """What a round leaves; all of it is covered by the charges in the ledger.

    Attributes:
        number: Of the round, from 1.
        candidates: What was voted on, in the order of :attr:`EvolutionPlan.classes`.
        votes: float64 (candidates,), with noise, so they may be negative.
    """

    number: int
    candidates: C
    votes: Numbers


def select(votes: Numbers, plan: EvolutionPlan, wanted: Sequence[int]) -> Selection:
    """Select candidates in proportion to their votes above the threshold.

    Uses nothing but the votes, and no chance: row i of n takes the candidate at (i + 1/2) / n of
    the sum (deterministic resampling, Kitagawa 1996, doi:10.2307/1390750: fixed points vary less
    than draws). A candidate that is taken stays as it is once; taken again, it is to be varied.
    Where no vote is above the threshold, all candidates of the class count the same.

    Args:
        votes: Of :class:`Round`.
        plan: Their plan.
        wanted: How many rows to make of each class.

    Raises:
        DPInputError: The votes or the classes are not those of the plan.

    Example:
        >>> plan = EvolutionPlan(rounds=1, candidates=(4,), noise_multiplier=1.0)
        >>> select(np.array([9.0, -2.0, 4.0, 0.5]), plan, (4,))
        Selection(parents=array([0, 0, 0, 2]), fresh=array([False,  True,  True, False]))
    """
    if votes.shape != plan.classes.shape or len(wanted) != len(plan.candidates):
        raise DPInputError(
            f"A plan of {plan.candidates} candidates has one vote each and selects from as many "
            f"classes; got votes {votes.shape} and {len(wanted)} classes."
        )
    above = np.maximum(votes - plan.threshold * plan.noise_multiplier, 0.0)
    parents = []
    for number, count in enumerate(wanted):
        own = np.flatnonzero(plan.classes == number)
        reached = np.cumsum(above[own] if above[own].any() else np.ones(len(own)))
        points = (np.arange(count) + 0.5) / count
        parents.append(own[np.searchsorted(reached / reached[-1], points)])
    taken = np.concatenate(parents)
    return Selection(parents=taken, fresh=np.diff(taken, prepend=-1) == 0)


def evolve(
    private: Sequence[Patient],
    propose: Callable[[npt.NDArray[np.int64]], C],
    vary: Callable[[C, Selection, int], C],
    embed: Callable[[C], npt.NDArray[np.floating[Any]]],
    *,
    plan: EvolutionPlan,
    ledger: Ledger,
    identity: str,
    last: Round[C] | None = None,
) -> Iterator[Round[C]]:
    """Evolve candidates; yields each round after its votes were counted.

    Stop asking, and no more votes are counted; all rounds of the plan are spent with the first.
    Given the same ledger and identity again, and the last round that was kept, it goes on behind
    the last round charged. To make any number of samples of the last round, :func:`select` them and
    vary them: that costs nothing more.

    Args:
        private: The patients; what is given of one must depend on no other. One whose features
            cannot be compared, because a number is not finite or too large, votes for nothing.
        propose: First candidates, of the classes given.
        vary: The next candidates: row i is candidate ``parents[i]``, or a variation of it. Also
            gets the number of the round it is for.
        embed: Features of candidates, (candidates, features), in the space of the patients' ones.
            It must have seen none of the patients. It may take the mean over variations of a
            candidate (the paper's lookahead).
        plan: The constants that were registered.
        ledger: Where each round is charged before its votes are counted.
        identity: Of the mechanism in the ledger.
        last: The round to go on from; None starts with proposals.

    Raises:
        DPInputError: The plan is not what was registered, or features have the wrong shape.
        BudgetError: Another run took the rounds.
        LedgerError: The ledger cannot be used.
    """
    registered = next((one for one in ledger.registered() if one.identity == identity), None)
    if registered is None or registered.mechanism != plan.mechanism:
        raise DPInputError("The ledger holds no such mechanism; register the plan that is run.")
    for number in range(registered.taken + 1, plan.rounds + 1):
        if last is None:
            candidates = propose(plan.classes)
        else:
            selection = select(last.votes, plan, plan.candidates)
            candidates = vary(last.candidates, selection, number)
        election = _Election(embed(candidates), plan)
        election.check(private)
        step = ledger.charge(identity)
        votes = noisy_sum(map(election.vote, private), len(plan.classes), plan.noise_multiplier)
        last = Round(number=step, candidates=candidates, votes=votes)
        yield last


class _Election:
    """What can be voted for.

    Args:
        features: Of the candidates.
        plan: Says which class they are of.

    Raises:
        DPInputError: They are not one finite row for each candidate.
    """

    def __init__(self, features: npt.NDArray[np.floating[Any]], plan: EvolutionPlan) -> None:
        total = len(plan.classes)
        if features.ndim != 2 or len(features) != total:
            raise DPInputError(
                f"embed: expected shape ({total}, features), got {tuple(features.shape)}."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            points = features.astype(np.float64)
            halves = (points**2).sum(axis=1) / 2
        if not np.isfinite(halves).all():
            raise DPInputError("embed: features of candidates must be finite and squarable.")
        splits = np.cumsum(plan.candidates)[:-1]
        self._classes = list(zip(np.split(points, splits), np.split(halves, splits), strict=True))

    def check(self, private: Sequence[Patient]) -> None:
        """Refuse patients whose features have another shape."""
        columns = self._classes[0][0].shape[1]
        for patient in private:
            if len(patient) != len(self._classes) or any(
                images.ndim != 2 or images.shape[1] != columns for images in patient
            ):
                raise DPInputError(
                    f"Each patient gives {len(self._classes)} arrays (images, {columns}), one a "
                    "class."
                )

    def vote(self, patient: Patient) -> Numbers:
        """How many of a patient's images each candidate is the nearest of its class to.

        Of candidates equally near, to rounding, the first counts.
        """
        votes = []
        for images, (points, halves) in zip(patient, self._classes, strict=True):
            found = np.zeros(len(points))
            rows = max(1, _AT_ONCE // max(points.shape))
            for begin in range(0, len(images), rows):
                with np.errstate(over="ignore", invalid="ignore"):
                    # Half the squared distance, less what is the same for all candidates.
                    distances = halves - images[begin : begin + rows].astype(np.float64) @ points.T
                if not np.isfinite(distances).all():
                    return np.zeros(sum(len(those) for those, _ in self._classes))
                found += np.bincount(distances.argmin(axis=1), minlength=len(points))
            votes.append(found)
        return np.concatenate(votes)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
