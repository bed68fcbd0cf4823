"""The prior of a private model: noisy counts and moments of patients, one look in the ledger.

Every patient gives one vector of at most unit length: shares of the values of each condition by
pathology, and bounded moments of the lesion boxes. All bins and bounds are public. Where noise
drowns the counts, the prior falls back to what is usual: even shares, boxes of moderate size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bussynth.generator.box_model import BoxModel, box_coordinates
from bussynth.generator.prior import UNKNOWN, ConditionPrior

__all__ = ["patient_vectors", "prior_bins", "private_prior"]

Numbers = npt.NDArray[np.float64]

# Where lesion boxes usually lie, in the coordinates of BoxModel; what is farther out than three
# deviations counts as if it lay there. Public: it is what the phantom simulator draws.
_USUAL: Final = np.array([0.0, -0.9, -1.15, -1.6])
_SPREAD: Final = np.array([0.4, 0.5, 0.45, 0.5])
_REACH: Final = 3.0
_PAIRS: Final = [(i, j) for i in range(4) for j in range(i, 4)]
_MOMENTS: Final = 1 + 4 + len(_PAIRS)
_SMOOTHING: Final = 0.5


def _pathologies(vocabulary: Mapping[str, Sequence[str]]) -> list[str]:
    return [UNKNOWN, *vocabulary.get("pathology", ())]


def _blocks(vocabulary: Mapping[str, Sequence[str]]) -> int:
    """Parts of a patient's vector of unit length each: one a column, and the boxes."""
    return len(vocabulary) + 1


def prior_bins(vocabulary: Mapping[str, Sequence[str]]) -> int:
    """Length of a patient's vector.

    Args:
        vocabulary: Public values of each column.
    """
    kinds = len(_pathologies(vocabulary))
    return kinds * (sum(len(words) + 1 for words in vocabulary.values()) + _MOMENTS)


def patient_vectors(
    conditions: Sequence[Mapping[str, Any]],
    patients: Sequence[str],
    vocabulary: Mapping[str, Sequence[str]],
    image_size: tuple[int, int],
) -> list[Numbers]:
    """What each patient gives: the mean over their images, no longer than 1.

    Args:
        conditions: Values by column and ``lesion_box`` of each image; values outside of the
            vocabulary count as not stated.
        patients: Patient of each image.
        vocabulary: Public values of each column.
        image_size: Height and width in pixels.

    Returns:
        float64 ``(bins,)`` for each patient, see :func:`prior_bins`.
    """
    kinds = _pathologies(vocabulary)
    scale = 1 / math.sqrt(_blocks(vocabulary))
    sums: dict[str, Numbers] = {}
    counts: dict[str, int] = {}
    for row, patient in zip(conditions, patients, strict=True):
        stated = row.get("pathology")
        kind = kinds.index(stated) if stated in kinds else 0
        parts = []
        for column, words in sorted(vocabulary.items()):
            options, value = [UNKNOWN, *words], row.get(column)
            table = np.zeros((len(kinds), len(options)))
            table[kind, options.index(value if value in options else UNKNOWN)] = 1
            parts.append(table.ravel())
        moments = np.zeros((len(kinds), _MOMENTS))
        if row.get("lesion_box") is not None:
            moments[kind] = _moments(row["lesion_box"], image_size)
        vector = scale * np.concatenate([*parts, moments.ravel()])
        sums[patient] = sums.get(patient, 0) + vector
        counts[patient] = counts.get(patient, 0) + 1
    return [total / counts[patient] for patient, total in sums.items()]


def _moments(box: Sequence[float], image_size: tuple[int, int]) -> Numbers:
    """One, coordinates and products of coordinates of a box; no longer than 1."""
    z = np.clip((box_coordinates(box, image_size) - _USUAL) / (_REACH * _SPREAD), -1, 1)
    found = np.concatenate([[1.0], z, [z[i] * z[j] for i, j in _PAIRS]])
    return found / math.sqrt(_MOMENTS)


def private_prior(
    noisy: Numbers,
    noise: float,
    vocabulary: Mapping[str, Sequence[str]],
    image_size: tuple[int, int],
) -> ConditionPrior:
    """Make the prior of what was released; it costs nothing more.

    Args:
        noisy: Sum of the patients' vectors with noise, float64 ``(bins,)``.
        noise: Standard deviation of that noise.
        vocabulary: As in :func:`patient_vectors`.
        image_size: Height and width in pixels.
    """
    kinds = _pathologies(vocabulary)
    scale = math.sqrt(_blocks(vocabulary))
    counts, noise = noisy * scale, noise * scale
    values: dict[str, dict[str, tuple[float, ...]]] = {}
    at = 0
    for column, words in sorted(vocabulary.items()):
        size = len(words) + 1
        table = counts[at : at + len(kinds) * size].reshape(len(kinds), size)
        at += table.size
        values[column] = {"any": _shares(table.sum(0), noise * math.sqrt(len(kinds)))}
        if column != "pathology":
            values[column] |= {
                kind: _shares(row, noise)
                for kind, row in zip(kinds[1:], table[1:], strict=True)
                if row.sum() > noise * math.sqrt(size)
            }
    moments = counts[at:].reshape(len(kinds), _MOMENTS) * math.sqrt(_MOMENTS)
    noise *= math.sqrt(_MOMENTS)
    pooled = _box_model(moments.sum(0), noise * math.sqrt(len(kinds)), None)
    boxes = {"any": pooled} | {
        kind: _box_model(row, noise, pooled)
        for kind, row in zip(kinds[1:], moments[1:], strict=True)
        if kind != "normal" and row[0] > noise
    }
    return ConditionPrior(
        vocabulary={column: tuple(words) for column, words in sorted(vocabulary.items())},
        image_size=image_size,
        cells={},
        values=values,
        boxes=boxes,
    )


def _shares(counts: Numbers, noise: float) -> tuple[float, ...]:
    """Shares of noisy counts, of which only what stands out of the noise counts.

    To it comes a little of each value but "not stated", more where noise may hide more of them.
    """
    # What is above by a little only may be noise, so it has a little say (soft thresholding,
    # Donoho 1995, doi:10.1109/18.382009).
    seen = np.maximum(counts - 2 * noise, 0.0)
    even = np.array([0.0] + [max(_SMOOTHING, noise / 4)] * (len(counts) - 1))
    if not seen.any() and not even.any():
        even = np.ones(len(counts))
    found = seen + even
    return tuple(round(float(v), 3) for v in found / found.sum())


def _box_model(moments: Numbers, noise: float, base: BoxModel | None) -> BoxModel:
    """Gaussian of noisy moments, shrunk towards what is usual, the more the noisier they are."""
    usual = np.zeros(4) if base is None else (np.array(base.mean) - _USUAL) / (_REACH * _SPREAD)
    unit = np.outer(_REACH * _SPREAD, _REACH * _SPREAD)
    spread = np.eye(4) / _REACH**2 if base is None else np.array(base.covariance) / unit
    # As many pseudo-patients as the noise may feign.
    behind = 3 * noise
    total = max(float(moments[0]), 0.0) + behind
    # Two deviations from what is usual at most, and not much wider: noise must not ask for boxes
    # that no image can hold.
    mean = np.clip((moments[1:5] + behind * usual) / total, -2 / _REACH, 2 / _REACH)
    second = np.zeros((4, 4))
    for (i, j), value in zip(_PAIRS, moments[5:], strict=True):
        second[i, j] = second[j, i] = value
    second = (second + behind * (spread + np.outer(usual, usual))) / total
    eigen, vectors = np.linalg.eigh(second - np.outer(mean, mean))
    covariance = (vectors * np.clip(eigen, 0.01, 0.25)) @ vectors.T
    return BoxModel(
        mean=tuple(round(float(v), 2) for v in _USUAL + _REACH * _SPREAD * mean),
        covariance=tuple(tuple(round(float(v), 2) for v in row) for row in covariance * unit),
    )
