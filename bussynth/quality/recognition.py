"""How well requested values are recognised, beside real images of the same values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bussynth.quality.comparison import Comparison, compare
from bussynth.quality.figures import pair_aucs, recalls
from bussynth.quality.resampling import Statistics, bootstrap, shuffles

__all__ = ["Answers", "Recognition", "recognise"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a classifier said of images whose value is known.

    Attributes:
        probabilities: float64 (n, k).
        labels: int64 (n,), the class that is true, or was requested.
        patients: int64 (n,).
    """

    probabilities: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]

    def among(self, classes: Sequence[int]) -> Answers:
        """Keep the images of some classes, and the chances among these, numbered anew."""
        rows = np.flatnonzero(np.isin(self.labels, classes))
        kept = self.probabilities[rows][:, np.array(classes)]
        return Answers(
            probabilities=kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12),
            labels=np.searchsorted(classes, self.labels[rows]).astype(np.int64),
            patients=self.patients[rows],
        )

    def counts(self, classes: int) -> list[int]:
        """Count the images of each class."""
        return [int(count) for count in np.bincount(self.labels, minlength=classes)]

    def people(self, classes: int) -> list[int]:
        """Count the patients of each class."""
        return [len(np.unique(self.patients[self.labels == one])) for one in range(classes)]


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """How well the values of one column are recognised.

    Attributes:
        column: Name of the condition.
        values: The values that were measured.
        left_out: Values with too few patients, or requested too rarely.
        images: Images measured, ``real`` and ``synthetic``, by value.
        patients: Real patients measured.
        auc: Area under the ROC curve, mean over the pairs of values; chance is 0.5.
        balanced_accuracy: Mean share of right answers over the values.
        chance: Balanced accuracy of guessing: 1 by the number of values.
        recall: Share of right answers, by value.
        pairs: Area under the ROC curve, by ``"one / other"``.
    """

    column: str
    values: tuple[str, ...]
    left_out: tuple[str, ...]
    images: Mapping[str, Mapping[str, int]]
    patients: int
    auc: Comparison
    balanced_accuracy: Comparison
    chance: float
    recall: Mapping[str, Comparison]
    pairs: Mapping[str, Comparison]

    @property
    def tells(self) -> bool:
        """Whether real images are recognised above chance; if not, the column says nothing."""
        return self.auc.real.low > 0.5

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "column": self.column,
            "values": list(self.values),
            "left_out": list(self.left_out),
            "images": {name: dict(counts) for name, counts in self.images.items()},
            "patients": self.patients,
            "tells": self.tells,
            "auc": self.auc.to_dict(),
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "chance": self.chance,
            "recall": {value: figure.to_dict() for value, figure in self.recall.items()},
            "pairs": {pair: figure.to_dict() for pair, figure in self.pairs.items()},
        }


def recognise(
    column: str,
    values: Sequence[str],
    real: Answers,
    synthetic: Answers,
    *,
    left_out: Sequence[str] = (),
    min_images: int,
    resamples: int,
    rng: np.random.Generator,
) -> Recognition | None:
    """Compare how well values are recognised in real and in synthetic images.

    Both are measured on the same values: those that enough synthetic images were asked for.

    Args:
        column: Name of the condition.
        values: Names of the classes, in the order of the probabilities.
        real: Answers to held-out real images.
        synthetic: Answers to synthetic images.
        left_out: Values that the classifier does not know.
        min_images: Synthetic images a value needs.
        resamples: Bootstrap resamples.
        rng: Source of randomness.

    Returns:
        The comparison, or None if fewer than two values were requested often enough.
    """
    asked = synthetic.counts(len(values))
    classes = [one for one, count in enumerate(asked) if count >= min_images]
    if len(classes) < 2:
        return None
    real, synthetic = real.among(classes), synthetic.among(classes)
    names = tuple(values[one] for one in classes)
    rare = [value for value in values if value not in names]
    k = len(names)
    of_real = bootstrap(_statistics(real, k), real.patients, resamples=resamples, rng=rng)
    of_synthetic = bootstrap(
        _statistics(synthetic, k), synthetic.patients, resamples=resamples, rng=rng
    )

    def dealt(order: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        other = Answers(
            probabilities=synthetic.probabilities,
            labels=synthetic.labels[order],
            patients=synthetic.patients,
        )
        return _statistics(other, k)(np.ones((1, len(order)))).ravel()

    by_chance = shuffles(dealt, len(synthetic.labels), rng)
    # The figures are in the order of _statistics; recalls are shares.
    people: list[tuple[int, int] | None] = [None] * len(by_chance)
    people[2 : 2 + k] = zip(real.people(k), synthetic.people(k), strict=True)
    figures = [
        compare(of_real, of_synthetic, by_chance, position, people=count)
        for position, count in enumerate(people)
    ]
    pairs = [f"{names[i]} / {names[j]}" for i in range(k) for j in range(i + 1, k)]
    return Recognition(
        column=column,
        values=names,
        left_out=(*left_out, *rare),
        images={
            "real": dict(zip(names, real.counts(k), strict=True)),
            "synthetic": dict(zip(names, synthetic.counts(k), strict=True)),
        },
        patients=len(np.unique(real.patients)),
        auc=figures[0],
        balanced_accuracy=figures[1],
        chance=1.0 / k,
        recall=dict(zip(names, figures[2 : 2 + k], strict=True)),
        pairs=dict(zip(pairs, figures[2 + k :], strict=True)),
    )


def _statistics(answers: Answers, classes: int) -> Statistics:
    """Mean area, balanced accuracy, recall of each class, area of each pair."""
    first, second = np.triu_indices(classes, k=1)

    def figures(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        areas = pair_aucs(answers.probabilities, answers.labels, weights)
        pairs = (areas[:, first, second] + areas[:, second, first]) / 2.0
        hits = recalls(answers.probabilities, answers.labels, weights)
        means = [pairs.mean(axis=1, keepdims=True), hits.mean(axis=1, keepdims=True)]
        return np.concatenate([*means, hits, pairs], axis=1)

    return figures
