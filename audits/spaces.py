"""What is computed in one feature space, from features to captures and reach.

A space is examined as a whole and its features are dropped before the next one, so memory holds
one space at a time however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.channels import ChannelScores, split_planted
from audits.comparisons.contrast import Captures, capture
from audits.comparisons.reach import Reach
from audits.copies.channel import CopyScores
from audits.copies.findings import admitted
from audits.copies.nearest import NearestChannel
from audits.encoders import Encoder
from audits.features.base import FeatureMap, FloatArray
from audits.images import Patients
from audits.material import POOL, Material
from audits.search.exact import Neighbours, merge_nearest, mismatch_rate, nearest
from audits.search.groups import group_minima
from audits.settings import AuditSettings
from audits.statistics.streams import generator_for

__all__ = ["Searcher", "SpaceFindings", "SpaceReport", "examine_space", "judge_space"]

Versions = tuple[FloatArray, FloatArray]
"""Features of the same images, plain and mirrored."""

_BINS = np.linspace(0.0, 2.0, 81)


@dataclass(frozen=True)
class Searcher:
    """How searches run: never what they find.

    Attributes:
        shards: Parts the references are cut into.
        threads: Threads of each task.
        executor: Where tasks run; here by default.
    """

    shards: int = 1
    threads: int = 1
    executor: Executor | None = None

    def find(
        self,
        queries: FloatArray,
        references: FloatArray,
        k: int,
        exclude: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None,
    ) -> Neighbours:
        """The exact k nearest references of every query."""
        return nearest(
            queries,
            references,
            k,
            shards=self.shards,
            threads=self.threads,
            executor=self.executor,
            exclude=exclude,
        )

    def features(self, space: FeatureMap, *sets: npt.NDArray[np.uint8]) -> tuple[Versions, ...]:
        """Features of sets of images, plain and mirrored; in threads, where those run tasks."""
        jobs = [(images, mirrored) for images in sets for mirrored in (False, True)]

        def work(job: tuple[npt.NDArray[np.uint8], bool]) -> FloatArray:
            return space.features(job[0], mirrored=job[1])

        if isinstance(self.executor, ThreadPoolExecutor):
            parts = list(self.executor.map(work, jobs))
        else:
            parts = [work(job) for job in jobs]
        return tuple(zip(parts[::2], parts[1::2], strict=True))

    def minima(
        self, queries: FloatArray, references: FloatArray, patients: Patients
    ) -> npt.NDArray[np.float64]:
        """Least squared distance of every query to every patient."""
        return group_minima(
            queries,
            references,
            patients.of_image,
            len(patients.member),
            shards=self.shards,
            threads=self.threads,
            executor=self.executor,
        )

    def captures(
        self,
        queries: Versions,
        references: FloatArray,
        patient_of_row: npt.NDArray[np.int64],
        k: int,
    ) -> Captures:
        """The patients that capture each query."""
        found = tuple(self.find(version, references, k) for version in queries)
        return capture(queries, references, found, patient_of_row)


@dataclass(frozen=True, eq=False)
class SpaceFindings:
    """All that later stages need of one space.

    Attributes:
        name: Name of the space.
        family: Kind of space.
        description: What a report says of it.
        copies: Copy scores of control, synthetic and planted images.
        captures: Captures of the synthetic images among all real ones.
        null_captures: Captures of each null comparison, None where it compares nothing.
        pool: Captures of the light copies of the dose response.
        reach: How near synthetic images come to each real image.
        minima: float64 (tried, patients), squared distances from sampled synthetic images.
        histograms: Binned distances for plots.
        checked: Searches repeated by brute force.
        mismatch: Share of them contradicted.
    """

    name: str
    family: str
    description: Mapping[str, Any]
    copies: ChannelScores
    captures: Captures
    null_captures: tuple[Captures | None, ...]
    pool: Captures
    reach: Reach
    minima: npt.NDArray[np.float64]
    histograms: Mapping[str, Any]
    checked: int
    mismatch: float


@dataclass(frozen=True)
class SpaceReport:
    """What a report says of a space.

    Attributes:
        name: Name of the space.
        family: Kind of space.
        description: Further facts, as JSON types.
        admitted: Whether planted light copies are nearest to the right patient, so that the space
            counts in the comparisons.
        reasons: Why not, one sentence each.
    """

    name: str
    family: str
    description: Mapping[str, Any]
    admitted: bool
    reasons: tuple[str, ...]


def judge_space(
    space: SpaceFindings, traced: Mapping[str, float], settings: AuditSettings
) -> SpaceReport:
    """Admit a space to the comparisons by its positive controls.

    Args:
        space: What was found in it.
        traced: For each light class, the demonstrated share of copies nearest to their patient.
        settings: The audit's settings.

    Returns:
        The space with its admission.
    """
    passed, reasons = admitted(traced, settings.min_recall)
    return SpaceReport(space.name, space.family, space.description, passed, reasons)


def examine_space(
    encoder: Encoder, material: Material, searcher: Searcher, settings: AuditSettings
) -> SpaceFindings:
    """Search everything in one space.

    Args:
        encoder: The feature map, and the real images it learned from, if any.
        material: Synthetic and real images, not empty, with what was planted.
        searcher: How to search.
        settings: The audit's settings.

    Returns:
        The findings, the same for any searcher.
    """
    space = encoder.space
    patients, n_train, k = material.patients, material.n_train, settings.neighbours
    of_row = patients.of_image
    real, synthetic, planted = searcher.features(
        space, material.real, material.synthetic, material.copies
    )
    reference = real[0]

    order = np.argsort(of_row, kind="stable").astype(np.int64)
    channel = NearestChannel(
        space,
        np.ascontiguousarray(reference[order]),
        order,
        of_row[order],
        settings.candidates,
        searcher.shards,
        searcher.executor,
    )

    def score(queries: Versions, own: npt.NDArray[np.int64] | None = None) -> CopyScores:
        return channel.score_vectors(*queries, own)

    light = material.copies_of[POOL]
    nulls: list[Captures | None] = []
    for plan in material.nulls:
        posing = synthetic if plan.posing is None else (real[0][plan.posing], real[1][plan.posing])
        usable = len(posing[0]) and len(plan.rows)
        nulls.append(
            searcher.captures(posing, reference[plan.rows], plan.patients.of_image, k)
            if usable
            else None
        )
    found = searcher.find(synthetic[0], reference, k)
    mismatch, checked = mismatch_rate(
        synthetic[0],
        reference,
        found,
        generator_for(settings.seed, f"self-check {space.name}"),
        settings.self_check,
    )
    to_synthetic = _lesser([searcher.find(reference, version, k) for version in synthetic], k)
    others = searcher.find(reference, reference, 1, (of_row, of_row))
    chosen = np.sort(
        generator_for(settings.seed, "singled out").permutation(len(material.synthetic))[
            : settings.singled_out
        ]
    )
    minima = np.minimum(
        *(searcher.minima(version[chosen], reference, patients) for version in synthetic)
    )
    return SpaceFindings(
        name=space.name,
        family=space.family,
        description={"dimension": int(reference.shape[1]), **space.describe()},
        copies=ChannelScores(
            channel.name,
            channel.columns,
            score((real[0][n_train:], real[1][n_train:]), of_row[n_train:]),
            score(synthetic),
            split_planted(score(planted), material),
            ~encoder.seen[n_train:],
        ),
        captures=capture(
            synthetic, reference, (found, searcher.find(synthetic[1], reference, k)), of_row
        ),
        null_captures=tuple(nulls),
        pool=searcher.captures((planted[0][light], planted[1][light]), reference, of_row, k),
        reach=Reach(space.name, to_synthetic, others.squared[:, 0]),
        minima=minima,
        histograms={
            "space": space.name,
            "bin_edges": [round(float(edge), 4) for edge in _BINS],
            "train_to_synthetic": _binned(to_synthetic.squared[:n_train, 0]),
            "control_to_synthetic": _binned(to_synthetic.squared[n_train:, 0]),
        },
        checked=checked,
        mismatch=mismatch,
    )


def _lesser(parts: list[Neighbours], k: int) -> Neighbours:
    """The k nearest over versions of the references, each row once at its lesser distance."""
    merged = merge_nearest(parts, sum(part.rows.shape[1] for part in parts))
    order = np.argsort(merged.rows, axis=1, kind="stable")
    rows = np.take_along_axis(merged.rows, order, 1)
    # Stable: of equal rows the nearer one stands first.
    repeated = np.zeros(rows.shape, np.bool_)
    repeated[:, 1:] = (rows[:, 1:] == rows[:, :-1]) & (rows[:, 1:] >= 0)
    squared = np.where(repeated, np.inf, np.take_along_axis(merged.squared, order, 1))
    rows = np.where(repeated, -1, rows)
    return merge_nearest([Neighbours(squared, rows)], k)


def _binned(squared: npt.NDArray[np.float64]) -> list[int]:
    distances = np.sqrt(squared[np.isfinite(squared)])
    return [int(count) for count in np.histogram(distances, _BINS)[0]]
