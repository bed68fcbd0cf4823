"""The whole audit: synthetic images against train and control images, with its own controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.comparisons.contrast import Captures, capture, contrast
from audits.comparisons.disclosure import excess_disclosure
from audits.controls.doses import Dose, dose_response
from audits.controls.nulls import NullComparison, null_comparisons
from audits.controls.planting import PLANTED_CLASSES
from audits.controls.recall import demonstrate_recall, plant
from audits.copies.duplicates import find_duplicates
from audits.copies.findings import calibrate, count_copies
from audits.copies.framings import SCALES, CopyScores, build_reference, score_copies
from audits.copies.identity import find_identical
from audits.features.pixels import pixel_features
from audits.images import ImageSet, Patients, check_roles, number_patients
from audits.outcome import plain
from audits.result import AuditResult
from audits.search.exact import mismatch_rate
from audits.settings import AuditSettings
from audits.spaces import Searcher, Space
from audits.statistics.streams import generator_for
from audits.summaries import (
    summarise_contrast,
    summarise_copies,
    summarise_disclosure,
    summarise_identity,
)
from audits.verdict import Findings, decide

__all__ = ["Progress", "audit_images"]

Progress = Callable[[str, int, int], None]
"""Called with a stage, steps done and steps in all."""

_DOSE_CLASS = "noise 20 dB"
_BINS = np.linspace(0.0, 2.0, 81)
_STAGES = 8


@dataclass(frozen=True, eq=False)
class _Searches:
    """What the neighbour searches gave."""

    captures: Mapping[str, Captures]
    patient_squared: npt.NDArray[np.float64]
    histograms: Mapping[str, Any]
    checked: int
    mismatch: float


def _binned(squared: npt.NDArray[np.float64]) -> list[int]:
    distances = np.sqrt(squared[np.isfinite(squared)])
    return [int(count) for count in np.histogram(distances, _BINS)[0]]


def _search(
    synthetic: ImageSet,
    control: ImageSet,
    spaces: list[Space],
    patients: Patients,
    searcher: Searcher,
    settings: AuditSettings,
) -> _Searches:
    """Captures of the synthetic images, patients' nearest synthetic image, distances for plots."""
    n_train = len(patients.of_image) - len(control)
    captures: dict[str, Captures] = {}
    histograms: dict[str, Any] = {}
    patient_squared = np.full(len(patients.member), np.inf)
    checked = wrong = 0.0
    for space in spaces:
        versions = space.versions(synthetic.images)
        found = [searcher.find_both(version, space.real, n_train) for version in versions]
        captures[space.name] = capture(
            versions, space.real, tuple(f[0] for f in found), patients.of_image
        )
        rate, queries = mismatch_rate(
            versions[0],
            space.real,
            found[0][0],
            generator_for(settings.seed, f"self-check {space.name}"),
            settings.self_check,
        )
        checked, wrong = checked + queries, wrong + rate * queries
        if space is spaces[-1]:
            # One space declared beforehand: the finest scale.
            reached = [searcher.find(space.real, version, 1).squared[:, 0] for version in versions]
            np.minimum.at(patient_squared, patients.of_image, np.minimum(*reached))
            posing = [
                searcher.find(version, space.real[:n_train], 1).squared[:, 0]
                for version in space.versions(control.images)
            ]
            to_train, to_control = (
                np.minimum(found[0][part].squared[:, 0], found[1][part].squared[:, 0])
                for part in (1, 2)
            )
            histograms = {
                "space": space.name,
                "bin_edges": [round(float(edge), 4) for edge in _BINS],
                "synthetic_to_train": _binned(to_train),
                "synthetic_to_control": _binned(to_control),
                "control_to_train": _binned(np.minimum(*posing)),
            }
    rate = wrong / checked if checked else 0.0
    return _Searches(captures, patient_squared, histograms, int(checked), rate)


def _pairs(scores: CopyScores, scale: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """The confirmed copies, most certain first, for the site's own eyes."""
    pairs = []
    for query in np.flatnonzero(scale >= 0):
        column = int(scale[query])
        pairs.append(
            {
                "synthetic": int(query),
                "train": int(scores.row[query, column]),
                "cells": SCALES[column],
                "ratio": float(scores.ratio[query, column]),
                "distance": float(scores.distance[query, column]),
                "largest_tile_distance": float(scores.tile[query]),
                "mirrored": bool(scores.mirrored[query]),
            }
        )
    return sorted(pairs, key=lambda pair: (pair["ratio"], pair["synthetic"]))


def _limits_of_detection(doses: tuple[Dose, ...], settings: AuditSettings) -> dict[str, int | None]:
    limits: dict[str, int | None] = {}
    for name in ("copies", "contrast", "either"):
        reached = [
            dose.copies
            for dose in doses
            if dose.copies and getattr(dose, f"by_{name}") >= settings.dose_power
        ]
        limits[name] = min(reached, default=None)
    return limits


def audit_images(
    synthetic: ImageSet,
    train: ImageSet,
    control: ImageSet,
    *,
    settings: AuditSettings | None = None,
    randomised_split: bool,
    executor: Executor | None = None,
    shards: int = 1,
    threads: int = 1,
    progress: Progress | None = None,
) -> AuditResult:
    """Audit synthetic images for copies of, and closeness to, the images they were trained on.

    Empty sets and single images are allowed; what cannot be computed is reported as not
    estimable and the verdict says why.

    Args:
        synthetic: Images to be released.
        train: Images the generator was trained on, with patients.
        control: Images of other patients, held out by the same random split.
        settings: Thresholds and sizes, fixed beforehand; the defaults by default.
        randomised_split: Whether patients were assigned to train and control by a recorded
            random split. There is no default: the answer decides what the audit can say.
        executor: Where shards run (any ``concurrent.futures`` executor); never changes a number.
        shards: Parts the work is cut into; never changes a number.
        threads: FAISS threads of each task.
        progress: Called with a stage, steps done and steps in all.

    Returns:
        The result.

    Raises:
        AuditInputError: Sets that cannot be compared; lists every problem.
    """
    settings = AuditSettings() if settings is None else settings
    check_roles(synthetic, train, control)
    tell = progress if progress is not None else lambda stage, done, total: None
    steps = _STAGES + len(PLANTED_CLASSES)
    patients = number_patients(train, control)
    n_train = len(train)
    n = {
        "synthetic": len(synthetic),
        "train_patients": patients.n_members,
        "control_patients": patients.n_controls,
    }
    if n_train and len(control):
        real = np.concatenate([train.images, control.images])
    else:
        real = train.images if n_train else control.images

    tell("identity", 0, steps)
    to_train = find_identical(synthetic.images, train.images)
    to_control = find_identical(synthetic.images, control.images)

    tell("control images posing as synthetic", 1, steps)
    reference = build_reference(real, patients.of_image)

    def score(
        images: npt.NDArray[np.uint8], own: npt.NDArray[np.int64] | None = None
    ) -> CopyScores:
        return score_copies(
            images,
            reference,
            own=own,
            candidates=settings.candidates,
            shards=shards,
            executor=executor,
        )

    posing = score(control.images, patients.of_image[n_train:])
    duplicates = find_duplicates(
        train.images, control.images, posing, settings.duplicate_ratio, settings.copy_distance
    )
    duplicated = np.zeros(len(control), np.bool_)
    pairs = (*duplicates.near, *duplicates.within_control)
    duplicated[[row for row, _ in pairs] + [hit.query for hit in duplicates.identical]] = True
    thresholds = calibrate(posing, duplicated, settings)

    tell("copy search", 2, steps)
    scores = score(synthetic.images)
    copies, confirmed_at = count_copies(scores, patients, thresholds, settings)

    tell("neighbour search", 3, steps)
    searcher = Searcher(settings.neighbours, shards, threads, executor)
    searches = _Searches({}, np.empty(0), {}, 0, 0.0)
    spaces: list[Space] = []
    if len(real) and len(synthetic):
        spaces = [Space(f"pixels {s}", s, pixel_features(real, s)) for s in settings.scales]
        searches = _search(synthetic, control, spaces, patients, searcher, settings)

    tell("contrast", 4, steps)
    contrasted = contrast(
        searches.captures,
        patients,
        tails=settings.tails,
        min_tail=settings.min_tail,
        alpha=settings.alpha,
        permutations=settings.permutations,
        bootstrap=settings.bootstrap,
        confidence=settings.confidence,
        rng=generator_for(settings.seed, "contrast"),
    )
    disclosed = None
    if spaces:
        disclosed = excess_disclosure(
            searches.patient_squared,
            patients,
            quantile=settings.disclosure_quantile,
            permutations=settings.permutations,
            confidence=settings.confidence,
            rng=generator_for(settings.seed, "disclosure"),
        )

    tell("null comparisons", 5, steps)
    nulls: tuple[NullComparison, ...] = ()
    if spaces:
        nulls = null_comparisons(synthetic.images, real, spaces, patients, searcher, settings)

    done = 6

    def advance(name: str) -> None:
        nonlocal done
        done += 1
        tell(f"planted copies: {name}", done, steps)

    train_patients = patients.of_image[:n_train]
    recalls, found = demonstrate_recall(
        train.images, train_patients, score, thresholds.ratios, settings, advance=advance
    )

    tell("dose-response", steps - 1, steps)
    doses: tuple[Dose, ...] = ()
    if spaces and n_train:
        light = next(kind for kind in PLANTED_CLASSES if kind.name == _DOSE_CLASS)
        pool, _ = plant(train.images, train_patients, light, settings.planted, settings.seed)
        planted = searcher.captures(pool, spaces, np.arange(len(real)), patients.of_image)
        doses = dose_response(searches.captures, planted, found[_DOSE_CLASS], patients, settings)

    identity = summarise_identity(to_train, to_control, n)
    verdict = decide(
        Findings(
            n_synthetic=len(synthetic),
            n_train_patients=patients.n_members,
            n_control_patients=patients.n_controls,
            patients_known=patients.known,
            randomised_split=randomised_split,
            identical=identity.details["images"],
            copies=copies,
            p_values={
                "contrast": contrasted.p_value,
                "disclosure": disclosed.p_value if disclosed else None,
            },
            duplicates_across=duplicates.across,
            recalls=recalls,
            nulls=nulls,
            mismatch_rate=searches.mismatch,
            upper_risk=disclosed.upper if disclosed else None,
        ),
        settings,
    )
    tell("done", steps, steps)
    return AuditResult(
        verdict=verdict,
        inputs={
            "synthetic_images": len(synthetic),
            "train_images": n_train,
            "control_images": len(control),
            "train_patients": patients.n_members,
            "control_patients": patients.n_controls,
            "patients_known": patients.known,
            "strata": len(np.unique(patients.stratum)),
            "randomised_split": randomised_split,
            "image_size": [
                int(side) for side in (real if len(real) else synthetic.images).shape[1:]
            ],
        },
        settings=settings.describe(),
        tests=(
            identity,
            summarise_copies(copies, thresholds, n, settings),
            summarise_contrast(contrasted, n, settings.alpha),
            summarise_disclosure(disclosed, n, settings.alpha),
        ),
        recalls=recalls,
        doses=doses,
        limit_of_detection=_limits_of_detection(doses, settings),
        nulls=nulls,
        duplicates={
            "identical": len(duplicates.identical),
            "near": len(duplicates.near),
            "within_control": len(duplicates.within_control),
        },
        self_check={"queries": searches.checked, "mismatch_rate": searches.mismatch},
        histograms=searches.histograms,
        private={
            "identical_to_train": plain(to_train),
            "identical_to_control": plain(to_control),
            "copies": _pairs(scores, confirmed_at),
            "duplicates": plain(duplicates),
        },
    )
