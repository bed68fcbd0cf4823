"""Gaussian model of lesion boxes: where they lie and how large they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bussynth.errors import IntegrityError

__all__ = ["BoxModel", "box_coordinates", "fit_boxes"]

_SHRINKAGE: Final = 10.0  # pseudo-patients behind the model shrunk towards
_MIN_SIDE: Final = 0.02  # shortest side of a drawn box, in sides of the image
_MAX_TRIES: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class BoxModel:
    """Gaussian of logit(centre x), logit(centre y), log(width), log(height) of a lesion box.

    Lengths are in sides of the image. Parameters are rounded to two decimals.

    Attributes:
        mean: Four means.
        covariance: Four by four.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(
        cls,
        points: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        base: BoxModel | None,
    ) -> BoxModel:
        """Fit to boxes, shrunk towards a base model by ten pseudo-patients.

        Args:
            points: Coordinates ``(n, 4)``, see :func:`box_coordinates`.
            weights: ``(n,)``, summing to the number of patients.
            base: Model of all pathologies, or None to shrink towards independence.
        """
        total = weights.sum()
        mean = weights @ points / total
        if base is not None:
            mean = (total * mean + _SHRINKAGE * np.array(base.mean)) / (total + _SHRINKAGE)
        centred = points - mean
        covariance = (weights[:, None] * centred).T @ centred / total
        # Independent coordinates of moderate spread: about a third of the image each way.
        target = np.array(base.covariance) if base is not None else np.eye(4) * 0.25
        covariance = (total * covariance + _SHRINKAGE * target) / (total + _SHRINKAGE)
        return cls(
            mean=tuple(round(float(v), 2) for v in mean),
            covariance=tuple(tuple(round(float(v), 2) for v in row) for row in covariance),
        )

    def draw(self, rng: np.random.Generator) -> tuple[float, float, float, float]:
        """Draw x0, y0, x1, y1 in sides of the image; draws that leave it are thrown away."""
        # Rounding may leave a covariance slightly indefinite: the tiny ridge mends that.
        root = np.linalg.cholesky(_positive(np.array(self.covariance)))
        for _ in range(_MAX_TRIES):
            u, v, log_w, log_h = np.array(self.mean) + root @ rng.standard_normal(4)
            x, y = 1 / (1 + math.exp(-u)), 1 / (1 + math.exp(-v))
            w, h = math.exp(min(log_w, 1.0)), math.exp(min(log_h, 1.0))
            box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            if min(w, h) >= _MIN_SIDE and min(box) >= 0 and max(box) <= 1:
                return box
        raise IntegrityError("The box prior gives no box inside the image; train again.")

    def sound(self) -> bool:
        """Whether the shape is right and the numbers are of a size boxes can have."""
        numbers = [*self.mean, *(value for row in self.covariance for value in row)]
        return (
            len(self.mean) == 4
            and [len(row) for row in self.covariance] == [4] * 4
            and all(abs(value) <= 50 for value in numbers)
        )


def _positive(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Nearest symmetric matrix with eigenvalues of at least 0.0025."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray((vectors * np.maximum(values, 0.0025)) @ vectors.T)


def box_coordinates(box: Sequence[float], image_size: tuple[int, int]) -> list[float]:
    """Coordinates of a box in which :class:`BoxModel` is a Gaussian.

    Args:
        box: x0, y0, x1, y1 in pixels, within the image and not empty.
        image_size: Height and width in pixels.
    """
    height, width = image_size
    x0, y0, x1, y1 = box
    x, y = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height
    return [
        math.log(x / (1 - x)),
        math.log(y / (1 - y)),
        math.log((x1 - x0) / width),
        math.log((y1 - y0) / height),
    ]


def fit_boxes(
    conditions: Sequence[Mapping[str, Any]],
    patients: Sequence[str],
    image_size: tuple[int, int],
    min_patients: int,
) -> dict[str, BoxModel]:
    """Fit one model a pathology and the pooled one, "any".

    Args:
        conditions: ``pathology`` and ``lesion_box`` of each image.
        patients: Patient of each image.
        image_size: Height and width in pixels.
        min_patients: Pathologies with boxes of fewer patients get no model of their own.

    Returns:
        Models by pathology; empty if all patients with boxes together are too few.
    """
    rows = [i for i, row in enumerate(conditions) if row.get("lesion_box") is not None]
    if len({patients[i] for i in rows}) < min_patients:
        return {}
    points = np.array([box_coordinates(conditions[i]["lesion_box"], image_size) for i in rows])
    owners = np.array([patients[i] for i in rows])
    kinds = np.array([conditions[i].get("pathology") or "any" for i in rows])

    def fit(chosen: npt.NDArray[np.bool_], base: BoxModel | None) -> BoxModel:
        images = Counter(owners[chosen].tolist())
        weights = np.array([1 / images[owner] for owner in owners[chosen].tolist()])
        return BoxModel.fit(points[chosen], weights, base)

    common = [
        kind
        for kind in sorted(set(kinds.tolist()))
        if len(set(owners[kinds == kind].tolist())) >= min_patients
    ]
    # Too few patients of rare pathologies stay out of the pool as well: the difference between
    # the pool and the models of the others would give away their boxes.
    chosen = np.isin(kinds, common)
    if len(set(owners[~chosen].tolist())) >= min_patients:
        chosen[:] = True
    pooled = fit(chosen, None)
    return {"any": pooled} | {kind: fit(kinds == kind, pooled) for kind in common if kind != "any"}
