"""What a copy channel is, and how distances to a few patients become a score.

A channel is one way of looking for copies: whole pictures under changes of framing, parts of
pictures, vectors of a feature space. Each gives, for every image and in each of its columns, the
nearest patient and the ratio of the distance to that patient over the distance to the next one
(ratio of first to second neighbour: Yoon et al., ICML workshop 2023). Channels are calibrated and
admitted one by one; the worst decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOCK",
    "CopyChannel",
    "CopyScores",
    "best_of_patients",
    "confirmed",
    "empty_scores",
    "join_scores",
    "rank_patients",
    "same_picture",
    "score_in_shards",
]

BLOCK = 128
"""Queries computed together. Shards are cut at multiples, so results do not depend on shards."""

_SAME = 1 / 3
"""Patients within this share of the farthest candidate's distance show one picture.

Rule of one third: two images that are both that close to a query are close to each other (triangle
inequality).
"""

Images = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float64]
Queries = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class CopyScores:
    """What a channel found for each of m queries, in each of its columns.

    Attributes:
        ratio: float64 (m, columns), first distance / second distance, where the second patient
            does not show the first one's picture; 1 where there is none or the query is flat.
        distance: float64 (m, columns), distance to the nearest image, sqrt(2 - 2 NCC) or that of
            unit vectors.
        row: int64 (m, columns), the caller's row of the nearest image, -1 where none.
        patient: int64 (m, columns), its patient, -1 where none.
        tile: float64 (m,), largest tile distance (RMS in standard deviations) to the nearest
            image of the finest scale; infinity where none. None if the channel has none.
        mirrored: bool (m,), whether that image matched mirrored. None if the channel does not say.
    """

    ratio: Distances
    distance: Distances
    row: Numbers
    patient: Numbers
    tile: Distances | None = None
    mirrored: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.ratio)

    def take(self, index: npt.NDArray[np.generic] | slice) -> CopyScores:
        """The scores of some queries."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return CopyScores(**{name: value[index] for name, value in values.items()})


class CopyChannel(Protocol):
    """One way of looking for copies among fixed real images."""

    @property
    def name(self) -> str:
        """Unique name, for example ``"framings"``."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """What each column of the scores stands for."""
        ...

    def score(self, images: Images, own: Numbers | None = None) -> CopyScores:
        """Search images among the real ones.

        Args:
            images: uint8 (m, H, W), of the real images' size.
            own: int64 (m,), patient number of each image, left out of its own search; -1 or None
                for synthetic images.

        Returns:
            One entry an image. Entry i depends on image i alone.
        """
        ...


def empty_scores(m: int, columns: int, *, detailed: bool = False) -> CopyScores:
    """Scores of queries for which there is nothing to find.

    Args:
        m: Queries.
        columns: Columns of the channel.
        detailed: Whether the channel gives ``tile`` and ``mirrored``.

    Returns:
        No nearest image, infinite distance, ratio 1.
    """
    shape = (m, columns)
    return CopyScores(
        np.ones(shape),
        np.full(shape, np.inf),
        np.full(shape, -1, np.int64),
        np.full(shape, -1, np.int64),
        np.full(m, np.inf) if detailed else None,
        np.zeros(m, np.bool_) if detailed else None,
    )


def join_scores(parts: Sequence[CopyScores]) -> CopyScores:
    """Scores of successive queries of one channel, put together; at least one part."""
    given = [name for name, value in vars(parts[0]).items() if value is not None]
    return CopyScores(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in given}
    )


def confirmed(
    scores: CopyScores, thresholds: tuple[float, ...], max_distance: float
) -> npt.NDArray[np.bool_]:
    """Which queries are copies, in each column.

    Args:
        scores: Result of a channel.
        thresholds: Largest ratio accepted in each column.
        max_distance: Largest distance accepted: a ratio alone would flag an odd pair far apart.

    Returns:
        bool (m, columns).
    """
    near = scores.distance <= max_distance
    result: npt.NDArray[np.bool_] = (scores.ratio <= np.array(thresholds)) & near
    return result


def best_of_patients(
    similarity: npt.NDArray[np.float32], starts: Numbers, count: int
) -> npt.NDArray[np.int64]:
    """The most similar image of each of the most similar patients.

    Args:
        similarity: float32 (m, n), columns sorted by patient; minus infinity where excluded.
        starts: int64 (patients,), first column of each patient.
        count: Patients wanted.

    Returns:
        int64 (m, at most count), column numbers, most similar patient first, ties by patient; -1
        where there are fewer.
    """
    maxima = np.maximum.reduceat(similarity, starts, axis=1)
    count = min(count, maxima.shape[1])
    top = np.sort(np.argpartition(-maxima, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(maxima, top, 1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, 1)
    stops = np.r_[starts[1:], similarity.shape[1]]
    positions = np.full(top.shape, -1, np.int64)
    for row, groups in enumerate(top):
        for column, group in enumerate(groups):
            if maxima[row, group] > -np.inf:
                start = starts[group]
                positions[row, column] = start + similarity[row, start : stops[group]].argmax()
    return positions


def same_picture(distances: Distances) -> npt.NDArray[np.bool_]:
    """Which candidates are so near that they show one picture.

    Args:
        distances: float64 (m, count), infinity where there is no candidate.

    Returns:
        bool (m, count).
    """
    known = np.where(np.isfinite(distances), distances, -np.inf)
    result: npt.NDArray[np.bool_] = distances <= _SAME * known.max(axis=1, keepdims=True)
    return result


def rank_patients(
    distances: Distances, same: npt.NDArray[np.bool_]
) -> tuple[Distances, Distances, Numbers]:
    """Nearest candidate, and its distance over that of the next one who shows another picture.

    Args:
        distances: float64 (m, count), one candidate a patient, infinity where there is none.
        same: bool (m, count), candidates that show one picture.

    Returns:
        Ratio (1 where there is no second patient) and distance, float64 (m,), and the candidate's
        column, int64 (m,), -1 where there is none.
    """
    every = np.arange(len(distances))
    ordered = np.argsort(distances, axis=1, kind="stable")
    first = ordered[:, 0]
    nearest = distances[every, first]
    found = np.isfinite(nearest)
    ratio = np.ones(len(distances))
    if ordered.shape[1] > 1:
        other = ~np.take_along_axis(same, ordered, 1)
        other[:, 0] = False
        column = np.where(other.any(axis=1), other.argmax(axis=1), 1)
        second = distances[every, ordered[every, column]]
        usable = found & np.isfinite(second) & (second > 0)
        ratio[usable] = nearest[usable] / second[usable]
    return ratio, nearest, np.where(found, first, -1)


def score_in_shards(
    score_block: Callable[[Queries, Numbers], CopyScores],
    queries: Queries,
    own: Numbers | None,
    shards: int,
    executor: Executor | None,
) -> CopyScores:
    """Score queries in fixed blocks, several blocks a task.

    Args:
        score_block: Pure function of at most :data:`BLOCK` queries and their patients; one that
            can be pickled if the executor uses processes.
        queries: Images or vectors, (m, ...), m at least 1.
        own: int64 (m,), patient left out for each, or None; (m, k) where a channel hands on more.
        shards: Tasks; never changes a number.
        executor: Where tasks run; here, one after the other, by default.

    Returns:
        One entry a query.
    """
    m = len(queries)
    own = np.full(m, -1, np.int64) if own is None else own
    blocks = -(-m // BLOCK)
    size = BLOCK * -(-blocks // max(1, shards))
    tasks = [(score_block, queries[i : i + size], own[i : i + size]) for i in range(0, m, size)]
    run = map if executor is None else executor.map
    return join_scores(list(run(_score_shard, tasks)))


def _score_shard(
    task: tuple[Callable[[Queries, Numbers], CopyScores], Queries, Numbers],
) -> CopyScores:
    score_block, queries, own = task
    return join_scores(
        [
            score_block(queries[i : i + BLOCK], own[i : i + BLOCK])
            for i in range(0, len(queries), BLOCK)
        ]
    )
