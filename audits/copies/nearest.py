"""Copy channel over any feature space: nearest patient against the next one.

Vectors of the real images are given once. A query is turned into two vectors, plain and mirrored,
and the nearer one counts. A few patients are proposed in single precision, more than are needed;
double precision decides between them, by subtraction (see :mod:`audits.search.exact`). A patient
is represented by the image nearest to the query, so frames of one loop do not hide a copy.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from audits.copies.channel import (
    CopyScores,
    best_of_patients,
    empty_scores,
    rank_patients,
    same_picture,
    score_in_shards,
)
from audits.features.base import FeatureMap, FloatArray

__all__ = ["NearestChannel", "build_nearest"]

_SPARE = 4
"""Patients compared beyond those asked for: rounding cannot lose one of the nearest, and a picture
filed under several keys still has an outsider beside it."""


def _score_block(
    versions: npt.NDArray[np.float32],
    own: npt.NDArray[np.int64],
    *,
    real: FloatArray,
    rows: npt.NDArray[np.int64],
    patients: npt.NDArray[np.int64],
    candidates: int,
) -> CopyScores:
    """Score queries (m, 2, d): plain and mirrored vectors."""
    m = len(versions)
    plain, mirrored = np.ascontiguousarray(versions[:, 0]), np.ascontiguousarray(versions[:, 1])
    similarity = np.maximum(plain @ real.T, mirrored @ real.T)
    similarity[own[:, None] == patients[None, :]] = -np.inf
    starts = np.flatnonzero(np.r_[True, patients[1:] != patients[:-1]])
    positions = best_of_patients(similarity, starts, candidates + _SPARE)
    away = np.full((2, *positions.shape), np.inf)
    for version in range(2):
        for column in range(positions.shape[1]):
            known = positions[:, column] >= 0
            difference = versions[known, version].astype(np.float64)
            difference -= real[positions[known, column]]
            away[version, known, column] = np.sqrt(np.square(difference).sum(axis=1))
    nearer = away.min(axis=0)
    # All proposed: where the nearest ones show one picture, those beyond tell how far others are.
    ratio, distance, chosen = rank_patients(nearer, same_picture(nearer))
    # An image without content is as far from every image as from any other.
    ratio = np.where(np.square(plain).sum(axis=1) > 0, ratio, 1.0)
    every = np.arange(m)
    position = positions[every, chosen]
    found = chosen >= 0
    return CopyScores(
        ratio[:, None],
        distance[:, None],
        np.where(found, rows[position], -1)[:, None],
        np.where(found, patients[position], -1)[:, None],
        None,
        found & (away[1, every, chosen] < away[0, every, chosen]),
    )


@dataclass(frozen=True, eq=False)
class NearestChannel:
    """Nearest patient in a feature space.

    Attributes:
        space: The feature space.
        real: float32 (n, d), vectors of the real images, sorted by patient.
        rows: int64 (n,), the caller's row of each.
        patients: int64 (n,), ascending patient numbers.
        candidates: Patients compared in double precision, at least 2.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run; here, one after the other, by default.
    """

    space: FeatureMap
    real: FloatArray
    rows: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]
    candidates: int = 4
    shards: int = 1
    executor: Executor | None = None

    @property
    def name(self) -> str:
        """The name of the space."""
        return self.space.name

    @property
    def columns(self) -> tuple[str, ...]:
        """One column: the distance in the space."""
        return (self.space.name,)

    def score(
        self, images: npt.NDArray[np.uint8], own: npt.NDArray[np.int64] | None = None
    ) -> CopyScores:
        """Search images among the real ones.

        Args:
            images: uint8 (m, H, W).
            own: int64 (m,), patient left out for each; -1 or None for synthetic images.

        Returns:
            Distances between unit vectors, 0 to 2, in one column.
        """
        if len(images) == 0:
            return empty_scores(0, 1)
        mirrored = self.space.features(images, mirrored=True)
        return self.score_vectors(self.space.features(images), mirrored, own)

    def score_vectors(
        self,
        plain: FloatArray,
        mirrored: FloatArray,
        own: npt.NDArray[np.int64] | None = None,
    ) -> CopyScores:
        """Search vectors that the space gave before.

        Args:
            plain: float32 (m, d), vectors of the images.
            mirrored: float32 (m, d), vectors of the mirrored images.
            own: int64 (m,), patient left out for each; -1 or None for synthetic images.

        Returns:
            As :meth:`score`.
        """
        if len(plain) == 0 or len(self.rows) == 0:
            return empty_scores(len(plain), 1)
        # The space itself stays here: a learned one need not travel to other processes.
        block = partial(
            _score_block,
            real=self.real,
            rows=self.rows,
            patients=self.patients,
            candidates=self.candidates,
        )
        versions = np.stack([plain, mirrored], axis=1)
        return score_in_shards(block, versions, own, self.shards, self.executor)


def build_nearest(
    space: FeatureMap,
    images: npt.NDArray[np.uint8],
    patients: npt.NDArray[np.int64],
    *,
    candidates: int = 4,
    shards: int = 1,
    executor: Executor | None = None,
) -> NearestChannel:
    """Prepare real images for the channel.

    Args:
        space: The feature space.
        images: uint8 (n, H, W).
        patients: int64 (n,), patient number of each image.
        candidates: Patients compared in double precision, at least 2.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run.

    Returns:
        The channel.
    """
    order = np.argsort(patients, kind="stable").astype(np.int64)
    real = np.ascontiguousarray(space.features(images)[order])
    return NearestChannel(space, real, order, patients[order], candidates, shards, executor)
