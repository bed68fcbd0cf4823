"""Fidelity in every space: six numbers for synthetic images, and the same for real ones.

No number of these means anything alone. Each stands beside its floor: real training images in the
place of the synthetic ones, as many of them, compared with the same reference. A generator is as
good as its distance from the floor. Both share the reference, so the difference of two values is
known better than their intervals suggest.

Images of the reference must be of patients whom neither the generator nor the encoder has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.features.base import FeatureMap
from audits.fidelity.frechet import frechet
from audits.fidelity.kernel import kernel_distance
from audits.fidelity.leave_out import Doubles, LeaveOut, bounds
from audits.fidelity.manifold import build_manifold
from audits.fidelity.overlap import coverage, precision_and_density
from audits.search.threads import one_thread_each
from audits.statistics.intervals import wilson
from audits.statistics.streams import generator_for

__all__ = ["Measured", "SpaceFidelity", "measure_fidelity"]

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

_RANGES = {
    "fd": (0.0, np.inf),
    "kid": (-np.inf, np.inf),
    "precision": (0.0, 1.0),
    "recall": (0.0, 1.0),
    "density": (0.0, np.inf),
    "coverage": (0.0, 1.0),
}
"""The numbers, and what each can be."""
_SHARES = {"precision": "candidates", "recall": "references", "coverage": "references"}
"""Shares, and of whose images they are."""
_FEWEST_RESAMPLES = 20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number with its 95 % interval.

    :mod:`audits.fidelity.leave_out` says how it is found and what it covers. Intervals of shares
    are no narrower than Wilson's for as many independent patients (Wilson, JASA 22, 1927).

    Attributes:
        value: The number.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class SpaceFidelity:
    """Fidelity in one feature space.

    Attributes:
        space: Name of the space.
        dimensions: Length of its vectors.
        images: Synthetic images compared with the reference, and as many training images.
        synthetic: ``fd``, ``kid``, ``precision``, ``recall``, ``density`` and ``coverage`` of
            the synthetic images.
        floor: The same of the training images.
    """

    space: str
    dimensions: int
    images: int
    synthetic: Mapping[str, Measured]
    floor: Mapping[str, Measured]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "space": self.space,
            "dimensions": self.dimensions,
            "images": self.images,
            "synthetic": {name: asdict(one) for name, one in self.synthetic.items()},
            "floor": {name: asdict(one) for name, one in self.floor.items()},
        }


@dataclass(frozen=True, eq=False)
class _Side:
    """Images and the patient of each, numbered from 0."""

    images: Images
    patients: Rows


def measure_fidelity(
    spaces: Sequence[FeatureMap],
    synthetic: Images,
    train: Images,
    reference: Images,
    *,
    train_patients: Sequence[Any] | npt.NDArray[Any],
    reference_patients: Sequence[Any] | npt.NDArray[Any],
    seed: int,
    resamples: int = 2000,
    neighbours: int = 5,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[SpaceFidelity]:
    """Measure how close synthetic images are to real ones of patients not seen.

    A Fréchet distance of few images is too large by an amount that depends on their number. So as
    many rows are drawn from the synthetic as from the training images, at random without
    replacement, as the smaller set has. With a few hundred images of reference the bias remains
    much of a small distance; it is equal in the floor. Vectors of d numbers are multiplied by the
    root of d, so that of unit vectors the kernel of KID sees the cosine; FD is d times that of
    the plain vectors.

    Args:
        spaces: Feature spaces, see :func:`audits.fidelity.spaces.fidelity_spaces`.
        synthetic: uint8 (n, H, W).
        train: uint8 (n, H, W), real images that the generator learned from.
        reference: uint8 (n, H, W), real images of other patients.
        train_patients: (n,), patient of each training image.
        reference_patients: (n,), patient of each image of the reference.
        seed: Seed of the rows drawn and of the intervals.
        resamples: Draws for each interval. They are cheap; few make its ends uncertain.
        neighbours: k of precision, recall, density and coverage.
        threads: Jobs at a time; never changes a number.
        progress: Called with jobs done and in all.

    Returns:
        One result a space, in their order.

    Raises:
        AuditInputError: Shapes or types do not fit, or there are too few images or patients.
    """
    from torchmetrics.image import fid  # noqa: F401  (imported once, before threads start)

    _check(synthetic, train, reference, train_patients, reference_patients, resamples, neighbours)
    m = min(len(synthetic), len(train))
    chosen = _draw(len(train), m, seed, "train")
    of_train = np.asarray(train_patients)[chosen]
    sides = {
        "synthetic": _Side(synthetic[_draw(len(synthetic), m, seed, "synthetic")], np.arange(m)),
        "floor": _Side(train[chosen], _numbers(of_train)),
        "reference": _Side(reference, _numbers(np.asarray(reference_patients))),
    }
    _refuse_few(sides, neighbours)
    done, jobs = 0, len(spaces) * 5

    def report(results: Iterator[Any]) -> Iterator[Any]:
        nonlocal done
        for result in results:
            done += 1
            if progress is not None:
                progress(done, jobs)
            yield result

    def vectors(job: tuple[FeatureMap, str]) -> Doubles:
        features = job[0].features(sides[job[1]].images)
        scaled: Doubles = features.astype(np.float64) * np.sqrt(features.shape[1])
        return scaled

    def compare(job: tuple[Doubles, Doubles, str]) -> dict[str, Measured]:
        candidates, references, side = job
        numbers = _numbers_of(
            candidates, references, sides[side].patients, sides["reference"].patients, neighbours
        )
        return _with_intervals(numbers, seed, resamples)

    results = []
    with one_thread_each("torch"), ThreadPoolExecutor(max(1, threads)) as executor:
        every = report(executor.map(vectors, [(s, side) for s in spaces for side in sides]))
        found = [dict(zip(sides, (next(every) for _ in sides), strict=True)) for _ in spaces]
        pairs = [(f[side], f["reference"], side) for f in found for side in ("synthetic", "floor")]
        compared = report(executor.map(compare, pairs))
        for space, features in zip(spaces, found, strict=True):
            results.append(
                SpaceFidelity(
                    space=space.name,
                    dimensions=features["reference"].shape[1],
                    images=m,
                    synthetic=next(compared),
                    floor=next(compared),
                )
            )
    return results


def _numbers_of(
    candidates: Doubles,
    references: Doubles,
    candidate_groups: Rows,
    reference_groups: Rows,
    neighbours: int,
) -> dict[str, LeaveOut]:
    """All six numbers, with their values without each patient."""
    real = build_manifold(references, reference_groups, neighbours)
    made = build_manifold(candidates, candidate_groups, neighbours)
    precision, density = precision_and_density(candidates, candidate_groups, real)
    recall, _ = precision_and_density(references, reference_groups, made)
    groups = candidate_groups, reference_groups
    return {
        "fd": frechet(candidates, references, *groups),
        "kid": kernel_distance(candidates, references, *groups),
        "precision": precision,
        "recall": recall.turned(),
        "density": density,
        "coverage": coverage(candidates, candidate_groups, real),
    }


def _with_intervals(
    numbers: Mapping[str, LeaveOut], seed: int, resamples: int
) -> dict[str, Measured]:
    ends = bounds(numbers, seed=seed, resamples=resamples)
    result = {}
    for name, number in numbers.items():
        low, high = ends[name]
        if name in _SHARES:
            # Near 0 and 1 resampling finds nothing to change and would claim certainty.
            patients = len(getattr(number, _SHARES[name]))
            textbook = wilson(round(number.value * patients), patients)
            low, high = min(low, textbook.low), max(high, textbook.high)
        least, most = _RANGES[name]
        # Rounding leaves a distance of equal sets a trace below zero.
        value, low, high = (min(max(x, least), most) for x in (number.value, low, high))
        result[name] = Measured(value=value, low=min(low, value), high=max(high, value))
    return result


def _draw(n: int, m: int, seed: int, side: str) -> Rows:
    """Rows drawn without replacement, in ascending order."""
    rows: Rows = np.sort(generator_for(seed, f"fidelity rows {side}").permutation(n)[:m])
    return rows


def _numbers(patients: npt.NDArray[Any]) -> Rows:
    numbers: Rows = np.unique(patients, return_inverse=True)[1].astype(np.int64)
    return numbers


def _check(
    synthetic: Images,
    train: Images,
    reference: Images,
    train_patients: Sequence[Any] | npt.NDArray[Any],
    reference_patients: Sequence[Any] | npt.NDArray[Any],
    resamples: int,
    neighbours: int,
) -> None:
    problems = []
    sets = {"synthetic": synthetic, "train": train, "reference": reference}
    for name, images in sets.items():
        if images.ndim != 3 or images.dtype != np.uint8:
            problems.append(f"{name}: expected uint8 (n, H, W). Got {images.dtype} {images.shape}.")
        elif min(images.shape[1:]) < 8:
            problems.append(
                f"{name}: images of {images.shape[1]}x{images.shape[2]} are smaller than 8x8."
            )
    sizes = {images.shape[1:] for images in sets.values()}
    if not problems and len(sizes) > 1:
        listed = ", ".join(f"{name} {i.shape[1]}x{i.shape[2]}" for name, i in sets.items())
        problems.append(f"image sizes differ: {listed}. Resize all sets to one size.")
    for name, patients in (("train", train_patients), ("reference", reference_patients)):
        if len(patients) != len(sets[name]):
            problems.append(f"{name}: {len(patients)} patients for {len(sets[name])} images.")
    if resamples < _FEWEST_RESAMPLES:
        problems.append(f"resamples: expected at least {_FEWEST_RESAMPLES}. Got {resamples}.")
    if neighbours < 1:
        problems.append(f"neighbours: expected at least 1. Got {neighbours}.")
    if problems:
        raise AuditInputError("Fidelity cannot be measured on this.", problems)


def _refuse_few(sides: Mapping[str, _Side], neighbours: int) -> None:
    # Without any one patient there must still be k neighbours of other patients.
    needed = neighbours + 2
    problems = []
    for name, side in sides.items():
        found = int(side.patients.max(initial=-1)) + 1
        if found < needed:
            what = "images" if name == "synthetic" else "patients"
            where = {"floor": "train, of which as many images are drawn as synthetic ones"}
            problems.append(f"{where.get(name, name)}: {found} {what}; {needed} are needed.")
    if problems:
        raise AuditInputError("There are too few images to measure fidelity.", problems)
