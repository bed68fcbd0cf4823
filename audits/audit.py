"""The whole audit: synthetic images against train and control images, with its own controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.channels import (
    CopyExamination,
    examine_copies,
    score_channel,
    search_framings,
)
from audits.comparisons.battery import compare
from audits.comparisons.reach import patient_minimum
from audits.comparisons.suspects import most_suspicious
from audits.controls.doses import Dose, dose_response, limits_of_detection
from audits.controls.nulls import NullComparison, null_comparison
from audits.controls.planting import PLANTED_CLASSES, Renoise
from audits.copies.identity import find_identical
from audits.copies.listing import list_copies
from audits.copies.patches import PatchesChannel, build_patches
from audits.encoders import Encoder, train_encoders
from audits.features.base import FeatureMap
from audits.features.defaults import default_maps
from audits.images import ImageSet, Patients, check_roles, number_patients
from audits.material import POOL, Material, prepare_material
from audits.outcome import plain
from audits.result import AuditResult
from audits.search.threads import one_thread_each
from audits.settings import AuditSettings
from audits.spaces import Searcher, SpaceFindings, examine_space, judge_space
from audits.statistics.permutation import usable_patients
from audits.summaries.copies import summarise_copies, summarise_identity
from audits.verdict import Findings, decide

__all__ = ["Progress", "audit_images"]

Progress = Callable[[str, int, int], None]
"""Called with a stage, steps done and steps in all."""


class _Steps:
    """Counts stages for the caller's progress."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def begin(self, stage: str) -> None:
        """Say what comes next."""
        if self._progress is not None:
            self._progress(stage, min(self._done, self._total), self._total)
        self._done += 1

    def finish(self) -> None:
        """Say that all is done."""
        if self._progress is not None:
            self._progress("done", self._total, self._total)


def audit_images(
    synthetic: ImageSet,
    train: ImageSet,
    control: ImageSet,
    *,
    settings: AuditSettings | None = None,
    randomised_split: bool,
    encoders: Sequence[Encoder] | None = None,
    user_encoders: Sequence[FeatureMap] = (),
    renoise: Renoise | None = None,
    losses: Mapping[str, npt.NDArray[np.float64]] | None = None,
    executor: Executor | None = None,
    shards: int = 1,
    threads: int = 1,
    progress: Progress | None = None,
) -> AuditResult:
    """Measure whether synthetic images reveal the patients their generator learned from.

    Args:
        synthetic: Images to be released; no patients.
        train: Images the generator was trained on.
        control: Images of patients it never saw, drawn by the same coin-flip.
        settings: Thresholds, fixed before looking; defaults if None.
        randomised_split: Whether a recorded coin-flip assigned patients to train and control.
        encoders: From :func:`audits.encoders.train_encoders` on the same images; None trains them
            here.
        user_encoders: Further feature maps of the user's choice.
        renoise: The audited generator: makes near-duplicates of train images, as controls.
        losses: Denoising losses of the real images, train first, by noise level: only if the
            model is to be released too.
        executor: Where searches run; never changes a number.
        shards: Parts that searches are cut into; never changes a number.
        threads: Threads of each task; never changes a number.
        progress: Called as the audit advances.

    Returns:
        The result: verdict, tests, controls.

    Raises:
        AuditInputError: The sets cannot be compared; all problems are named.
    """
    settings = settings or AuditSettings()
    check_roles(synthetic, train, control)
    with _workers(executor, shards, threads) as (pool, parts):
        return _audit(
            (synthetic, train, control),
            settings,
            randomised_split=randomised_split,
            encoders=encoders,
            user_encoders=user_encoders,
            renoise=renoise,
            losses=losses,
            executor=pool,
            shards=parts,
            threads=threads,
            progress=progress,
        )


@contextmanager
def _workers(
    executor: Executor | None, shards: int, threads: int
) -> Iterator[tuple[Executor | None, int]]:
    """Threads of ours instead of those of the matrix library, which fight when cores are busy."""
    with one_thread_each("numpy"):
        if executor is None and threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                yield pool, threads
        else:
            yield executor, shards


def _audit(
    sets: tuple[ImageSet, ImageSet, ImageSet],
    settings: AuditSettings,
    *,
    randomised_split: bool,
    encoders: Sequence[Encoder] | None,
    user_encoders: Sequence[FeatureMap],
    renoise: Renoise | None,
    losses: Mapping[str, npt.NDArray[np.float64]] | None,
    executor: Executor | None,
    shards: int,
    threads: int,
    progress: Progress | None,
) -> AuditResult:
    synthetic, train, control = sets
    steps = _Steps(len(PLANTED_CLASSES) + 8 + 2 * settings.encoders + len(user_encoders), progress)
    patients = number_patients(train, control)
    steps.begin("identity")
    to_train = find_identical(synthetic.images, train.images)
    to_control = find_identical(synthetic.images, control.images)
    material = prepare_material(
        synthetic,
        train,
        control,
        patients,
        settings,
        renoise=renoise,
        advance=lambda name: steps.begin(f"planting copies: {name}"),
    )
    steps.begin("copy search: whole images")
    whole = search_framings(
        material,
        settings,
        raw_train=train.images,
        raw_control=control.images,
        shards=shards,
        executor=executor,
    )
    scores = [whole.scores]
    spaces: list[SpaceFindings] = []
    if len(synthetic) and len(material.real):
        if encoders is None:
            steps.begin("training encoders")
            encoders = train_encoders(train, control, settings, threads=threads)
        steps.begin("copy search: parts of images")
        patches = build_patches(material.real, patients.of_image)
        scores.append(score_channel(PatchesChannel(patches, shards, executor), material))
        none = np.zeros(len(material.real), np.bool_)
        fixed = (*default_maps(max(material.real.shape[1:])), *user_encoders)
        for encoder in (*(Encoder(space, none) for space in fixed), *encoders):
            steps.begin(f"searching in {encoder.space.name}")
            searcher = Searcher(shards, 1, executor)
            spaces.append(examine_space(encoder, material, searcher, settings))
        scores += [space.copies for space in spaces]
    copies = examine_copies(scores, whole.duplicates, material, settings)

    steps.begin("comparing train with control")
    judged = [judge_space(space, copies.traced[space.name], settings) for space in spaces]
    # Where too few copies could be planted to admit a space, all may still find leakage; the
    # verdict is then at best inconclusive.
    passed = [s for s, report in zip(spaces, judged, strict=True) if report.admitted]
    counting = passed or spaces
    counts = {
        "synthetic": len(synthetic),
        "train": len(train),
        "control": len(control),
        "train_patients": patients.n_members,
        "control_patients": patients.n_controls,
    }
    battery = compare(
        {space.name: space.captures for space in counting},
        [space.reach for space in counting],
        {space.name: space.minima for space in counting},
        patients,
        settings,
        counts=counts,
        real_labels=_joined_labels(train, control),
        synthetic_labels=synthetic.attributes,
        losses=losses,
        bound_spaces=_bound_spaces(counting),
    )
    steps.begin("null comparisons")
    nulls = _nulls(material, counting, settings)
    steps.begin("dose-response")
    doses = _doses(material, counting, copies, settings, len(battery.p_values))

    identity = summarise_identity(to_train, to_control, counts)
    tests = (
        identity,
        summarise_copies(copies.findings, copies.channels, whole.near, patients, counts, settings),
        *battery.outcomes,
    )
    worst = battery.disclosure.worst
    usable = usable_patients(patients)
    checked = sum(space.checked for space in spaces)
    mismatch = sum(space.mismatch * space.checked for space in spaces) / max(1, checked)
    verdict = decide(
        Findings(
            n_synthetic=len(synthetic),
            n_train_patients=patients.n_members,
            n_control_patients=patients.n_controls,
            patients_known=patients.known,
            randomised_split=randomised_split,
            identical=identity.details["images"],
            copies=copies.findings,
            p_values=battery.p_values,
            duplicates_across=whole.duplicates.across,
            recalls=copies.recalls,
            nulls=nulls,
            mismatch_rate=mismatch,
            upper_risk=worst.upper if worst else None,
            learned=tuple(r.admitted for r in judged if r.family == "learned"),
            learned_expected=settings.encoders > 0,
            excluded_train=int((patients.member & ~usable).sum()),
            excluded_control=int((~patients.member & ~usable).sum()),
            untested_tails=[
                share
                for share in settings.tails
                if share * len(synthetic) + 1e-9 < settings.min_tail
            ],
        ),
        settings,
    )
    steps.finish()
    return AuditResult(
        verdict=verdict,
        confirmatory=randomised_split and patients.known,
        inputs={
            "synthetic_images": len(synthetic),
            "train_images": len(train),
            "control_images": len(control),
            "train_patients": patients.n_members,
            "control_patients": patients.n_controls,
            "patients_known": patients.known,
            "strata": len(np.unique(patients.stratum)),
            "randomised_split": randomised_split,
            "image_size": [
                int(side)
                for side in (material.real if len(material.real) else synthetic.images).shape[1:]
            ],
            "overlays_masked": round(material.overlays, 4),
            "model_given": renoise is not None,
            "model_released": losses is not None,
        },
        settings=settings.describe(),
        spaces=tuple(judged),
        channels=copies.channels,
        tests=tests,
        recalls=copies.recalls,
        doses=doses,
        limit_of_detection=limits_of_detection(doses, settings.dose_power),
        nulls=nulls,
        agreement=_agreement(spaces, patients),
        duplicates={
            "identical": len(whole.duplicates.identical),
            "near": len(whole.duplicates.near),
            "within_control": len(whole.duplicates.within_control),
        },
        self_check={"queries": checked, "mismatch_rate": mismatch},
        histograms=tuple(space.histograms for space in spaces),
        private={
            "identical_to_train": plain(to_train),
            "identical_to_control": plain(to_control),
            "copies": list_copies(copies.channels, synthetic.images, train.images),
            "duplicates": plain(whole.duplicates),
            "membership": most_suspicious(battery.scores, patients),
        },
    )


def _joined_labels(train: ImageSet, control: ImageSet) -> dict[str, list[str]]:
    """Attributes known of both sides, train first."""
    return {
        name: [*values, *control.attributes[name]]
        for name, values in train.attributes.items()
        if name in control.attributes
    }


def _bound_spaces(spaces: Sequence[SpaceFindings]) -> tuple[str, ...]:
    """The finest pixel space and the first learned one: every score costs the bound confidence."""
    pixels = [space.name for space in spaces if space.family == "pixels"]
    learned = [space.name for space in spaces if space.family == "learned"]
    return (*pixels[-1:], *learned[:1])


def _nulls(
    material: Material, spaces: Sequence[SpaceFindings], settings: AuditSettings
) -> tuple[NullComparison, ...]:
    results = []
    for number, plan in enumerate(material.nulls):
        given = {space.name: space.null_captures[number] for space in spaces}
        captures = {name: found for name, found in given.items() if found is not None}
        results.append(null_comparison(plan, captures, len(material.nulls), settings))
    return tuple(results)


def _doses(
    material: Material,
    spaces: Sequence[SpaceFindings],
    copies: CopyExamination,
    settings: AuditSettings,
    tests: int,
) -> tuple[Dose, ...]:
    if not spaces or not len(material.planted[POOL].rows):
        return ()
    hits = next(entry for entry in copies.hits if entry.kind.name == POOL)
    return dose_response(
        {space.name: space.captures for space in spaces},
        {space.name: space.pool for space in spaces},
        hits.by_any(copies.counting),
        material.patients,
        settings,
        tests=tests,
    )


def _agreement(spaces: Sequence[SpaceFindings], patients: Patients) -> dict[str, Any] | None:
    """How far two encoders, trained from different seeds, agree on who is near."""
    from audits.features.learned.agreement import agreement

    learned = [space for space in spaces if space.family == "learned"]
    if len(learned) < 2:
        return None
    first, second = (
        patient_minimum(
            space.reach.to_synthetic.squared[:, 0], patients.of_image, len(patients.member)
        )
        for space in learned[:2]
    )
    result: dict[str, Any] = plain(agreement(first, second))
    return result
