"""The feature spaces of the contrast test and the searches in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.contrast import Captures, capture
from audits.features.pixels import FloatArray, pixel_features
from audits.images import Patients
from audits.search.exact import Neighbours, merge_nearest, nearest

__all__ = ["Searcher", "Space", "Subset", "subset"]


@dataclass(frozen=True, eq=False)
class Space:
    """One feature space with the features of all real images, train first.

    Attributes:
        name: For example ``"pixels 16"``.
        size: Side in cells.
        real: float32 (n_train + n_control, size * size).
    """

    name: str
    size: int
    real: FloatArray

    def versions(self, images: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Features of images, plain and mirrored."""
        return pixel_features(images, self.size), pixel_features(images, self.size, mirrored=True)


@dataclass(frozen=True, eq=False)
class Subset:
    """Some patients under new numbers and labels.

    Attributes:
        rows: int64, rows of the real images kept.
        patients: The numbering of those images' patients.
    """

    rows: npt.NDArray[np.int64]
    patients: Patients


def subset(
    patients: Patients, keep: npt.NDArray[np.bool_], member: npt.NDArray[np.bool_]
) -> Subset:
    """Keep some patients and label them anew.

    Args:
        patients: The numbering.
        keep: bool (patients,).
        member: bool (patients,), the new labels of all patients.

    Returns:
        The subset.
    """
    rows = np.flatnonzero(keep[patients.of_image])
    number = np.cumsum(keep) - 1
    renumbered = Patients(
        number[patients.of_image[rows]].astype(np.int64),
        member[keep],
        patients.stratum[keep],
        patients.known,
    )
    return Subset(rows, renumbered)


@dataclass(frozen=True)
class Searcher:
    """How searches run: never what they find.

    Attributes:
        neighbours: Real neighbours retrieved for each query.
        shards: Parts the references are cut into.
        threads: FAISS threads of each task.
        executor: Where tasks run; here by default.
    """

    neighbours: int = 8
    shards: int = 1
    threads: int = 1
    executor: Executor | None = None

    def find(self, queries: FloatArray, references: FloatArray, k: int | None = None) -> Neighbours:
        """Exact nearest references of every query."""
        return nearest(
            queries,
            references,
            self.neighbours if k is None else k,
            shards=self.shards,
            threads=self.threads,
            executor=self.executor,
        )

    def find_both(
        self, queries: FloatArray, references: FloatArray, boundary: int
    ) -> tuple[Neighbours, Neighbours, Neighbours]:
        """Nearest among all references, among those before a boundary, and among the rest."""
        first = self.find(queries, references[:boundary])
        second = self.find(queries, references[boundary:])
        shifted = Neighbours(
            second.squared, np.where(second.rows >= 0, second.rows + boundary, second.rows)
        )
        return merge_nearest([first, shifted], self.neighbours), first, shifted

    def captures(
        self,
        images: npt.NDArray[np.uint8],
        spaces: Sequence[Space],
        rows: npt.NDArray[np.int64],
        patient_of_row: npt.NDArray[np.int64],
    ) -> Mapping[str, Captures]:
        """Captures of images among some real images, in every space.

        Args:
            images: uint8 (m, H, W).
            spaces: Feature spaces.
            rows: int64 (n,), the real images to search, n at least 1.
            patient_of_row: int64 (n,), patient number of each.

        Returns:
            One entry a space.
        """
        result = {}
        for space in spaces:
            references = space.real[rows]
            versions = space.versions(images)
            found = tuple(self.find(version, references) for version in versions)
            result[space.name] = capture(versions, references, found, patient_of_row)
        return result
