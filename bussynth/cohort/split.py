"""Splitting a cohort by patient, by a recorded lottery, before anything is trained.

An audit compares patients the generator learned from (``train``) with patients it never
saw (``control``). The comparison is valid only because the same lottery drew both, so the
lottery is stratified, recorded and done once. ``test`` is held out for measuring utility.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bussynth import atomic
from bussynth.cohort.cohort import Cohort
from bussynth.cohort.row import Row
from bussynth.cohort.schema import build_manifest
from bussynth.cohort.split_config import SplitConfig
from bussynth.cohort.store import write_shards
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.progress import SILENT, Progress

__all__ = [
    "LOTTERY",
    "SplitResult",
    "assignment_digest",
    "check_assignment",
    "check_split",
    "draw",
    "kept_record",
    "patient_strata",
    "split_cohort",
]

LOTTERY = "stratified lottery by patient"
_SEVERITY = ("malignant", "benign", "normal")
# Below this an audit is inconclusive; the figure is explained in docs/audits.md.
MIN_CONTROL_PATIENTS = 200


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """What the lottery drew."""

    cohort: Cohort
    patients: dict[str, int]
    images: dict[str, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            "cohort": str(self.cohort.path),
            "digest": self.cohort.digest,
            "patients": self.patients,
            "images": self.images,
            "notes": list(self.notes),
        }


def patient_strata(cohort: Cohort, by: Sequence[str]) -> dict[str, str]:
    """Give each patient one stratum: their most frequent value in each column.

    For ``pathology`` the most severe value counts, so that a patient with a cancer is
    counted as such whatever the number of other views.

    Args:
        cohort: A cohort with patients.
        by: Condition columns.

    Returns:
        Patient pseudonym to stratum name.
    """
    # Counted in Arrow: what reaches Python grows with the patients, not with their images.
    table = cohort.table(["patient", *by]).group_by(["patient", *by]).aggregate([([], "count_all")])
    seen: dict[str, list[Counter[str]]] = {}
    for entry in table.to_pylist():
        counters = seen.setdefault(entry["patient"], [Counter() for _ in by])
        for counter, column in zip(counters, by, strict=True):
            counter[entry[column] or "unknown"] += entry["count_all"]

    def main_value(column: str, counter: Counter[str]) -> str:
        if column == "pathology":
            return next((word for word in _SEVERITY if counter[word]), "unknown")
        return min(counter, key=lambda word: (-counter[word], word))

    return {
        patient: " / ".join(
            main_value(column, counter) for column, counter in zip(by, counters, strict=True)
        )
        for patient, counters in seen.items()
    }


def draw(
    strata: Mapping[str, str], fractions: Mapping[str, float], rng: np.random.Generator
) -> dict[str, str]:
    """Draw a split for each patient, stratum by stratum.

    Within a stratum every order of the patients is equally likely and the sizes are
    rounded at random, so each patient has exactly the given chance of each split, and
    patients of a stratum are exchangeable: what the audit's permutation tests rest on.

    Args:
        strata: Patient to stratum.
        fractions: Chance of each split but ``train``, which takes the rest.
        rng: Source of chance.

    Returns:
        Patient to split.
    """
    members: dict[str, list[str]] = {}
    for patient in sorted(strata):
        members.setdefault(strata[patient], []).append(patient)
    rest = []
    for stratum in sorted(members):
        patients = members[stratum]
        rest += [patients[i] for i in rng.permutation(len(patients))]
    # Systematic sampling along the shuffled strata: each stratum and the whole get their
    # share within one patient, and the random offset makes every patient's chance exact.
    result: dict[str, str] = {}
    left = 1.0
    for name, fraction in fractions.items():
        rate, offset = fraction / left, rng.random()
        ticks = np.floor(np.arange(len(rest) + 1) * rate + offset)
        drawn = np.diff(ticks) > 0
        result |= {patient: name for patient, hit in zip(rest, drawn, strict=True) if hit}
        rest = [patient for patient, hit in zip(rest, drawn, strict=True) if not hit]
        left -= fraction
    return result | dict.fromkeys(rest, "train")


def check_split(cohort: Cohort, config: SplitConfig, *, force: bool = False) -> list[str]:
    """Check that the cohort can be split as asked.

    Returns:
        Notes for the user, such as a control set too small for a conclusive audit.

    Raises:
        UsageError: The fractions are impossible, or the cohort is split already or keeps the
            splits of the cohort it was derived from.
        DataError: The cohort is synthetic, has too few patients, or patients in two splits.
    """
    if cohort.kind == "synthetic":
        raise DataError("A synthetic cohort has no patients, so it cannot be split.")
    if config.control + config.test >= 1:
        raise UsageError(
            f"control={config.control} and test={config.test} leave nobody to train on; "
            "their sum must be below 1."
        )
    missing = [column for column in config.by if column not in cohort.vocabulary]
    if missing:
        raise UsageError(
            f"by={missing[0]!r} is no condition of the cohort; "
            f"it has {', '.join(cohort.vocabulary)}."
        )
    if cohort.split_record is not None and cohort.derived is not None:
        raise UsageError(
            f"{cohort.path} was derived from a cohort that was split, and keeps its splits: with "
            "others, a patient would be in training here and in the test there. Split that cohort "
            "and derive from it anew."
        )
    if cohort.split_record is not None and not force:
        raise UsageError(
            f"{cohort.path} is split already. A new split makes every model trained on it "
            "impossible to audit; use --force if none was trained."
        )
    patients = cohort.counts["patients"]
    wanted = 1 + (config.control > 0) + (config.test > 0)
    if patients < wanted:
        raise DataError(f"The cohort has {patients} patients; {wanted} splits need as many.")
    for name, fraction in (("control", config.control), ("test", config.test)):
        if 0 < fraction * patients < 1 - 1e-9:
            raise DataError(
                f"{patients} patients are too few for {name}={fraction}: the draw may leave it "
                "without anybody."
            )
    expected = round(patients * config.control)
    if expected < MIN_CONTROL_PATIENTS:
        return [
            f"about {expected} control patients: an audit needs {MIN_CONTROL_PATIENTS} "
            "for a conclusive verdict"
        ]
    return []


def split_cohort(
    path: Path | str,
    config: SplitConfig,
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> SplitResult:
    """Split the patients of a cohort and record how.

    The shards are written anew beside the old ones; replacing ``cohort.json`` is the one
    step that makes the split valid, so a killed run leaves the cohort as it was.

    Args:
        path: The cohort.
        config: Fractions, strata and seed.
        force: Split again although a split is recorded.
        progress: Where to report.

    Raises:
        UsageError: See :func:`check_split`.
        DataError: See :func:`check_split`.
    """
    cohort = Cohort.open(path)
    notes = check_split(cohort, config, force=force)
    seed = config.seed if config.seed is not None else secrets.randbits(64)
    strata = patient_strata(cohort, config.by)
    fractions = {"control": config.control, "test": config.test}
    assignment = draw(strata, fractions, np.random.default_rng(seed))
    for name, fraction in fractions.items():
        if fraction > 0 and name not in assignment.values():
            raise DataError(
                f"No patient was drawn for {name!r}; the cohort is too small for {name}={fraction}."
            )
    images: Counter[str] = Counter()

    def assigned() -> Iterator[Row]:
        with progress.task("Splitting", total=len(cohort)) as task:
            for row in cohort:
                name = assignment[row.patient or ""]
                images[name] += 1
                task.advance()
                yield replace(row, split=name)

    token = secrets.token_hex(4)
    staging = cohort.path / f".split.partial-{token}"
    folder = f"data-{token}"
    try:
        shards, tally = write_shards(
            staging,
            assigned(),
            folder=folder,
            vocabulary=cohort.vocabulary,
            image_size=cohort.image_size,
            patients=True,
            masks=cohort.has_masks,
            rows_per_shard=max(shard.rows for shard in cohort.shards),
        )
        (staging / folder).rename(cohort.path / folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    record = {
        "method": LOTTERY,
        "by": list(config.by),
        "control": config.control,
        "test": config.test,
        "seed": seed,
        "assignment_sha256": _committed(assignment.items()),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "times_split": 1 + (cohort.split_record or {}).get("times_split", 0),
    }
    manifest = build_manifest(
        kind=cohort.kind,
        image_size=cohort.image_size,
        vocabulary=cohort.vocabulary,
        masks=cohort.has_masks,
        counts=tally.to_dict(),
        shards=shards,
        split=record,
        provenance=cohort.provenance,
    )
    atomic.write_json(cohort.path / "cohort.json", manifest)
    _remove_unlisted(cohort.path, keep=folder)
    return SplitResult(
        cohort=Cohort.open(path),
        patients=dict(Counter(assignment.values())),
        images=dict(images),
        notes=tuple(notes),
    )


def kept_record(source: Cohort) -> dict[str, Any] | None:
    """Return the record of splits for a cohort whose images are derived from ``source``.

    It is not called a lottery: rows were chosen and conditions changed after the draw, so audits
    do not take its patients for exchangeable.

    Args:
        source: Cohort or a selection of it; None is returned if it was not split.
    """
    record = source.split_record
    if record is None:
        return None
    return record | {
        "method": "kept from the source",
        "assignment_sha256": assignment_digest([source]),
        "source": {key: record.get(key) for key in ("method", "assignment_sha256")},
    }


def check_assignment(cohort: Cohort) -> None:
    """Compare who is in which split with what the lottery drew.

    Raises:
        IntegrityError: Splits were edited after the draw.
    """
    record = cohort.split_record
    if record is None:
        return
    if assignment_digest([cohort]) != record.get("assignment_sha256"):
        raise IntegrityError(
            f"The splits in {cohort.path} are not those that `bussynth split` drew; restore the "
            "cohort, or split it anew with --force."
        )


def assignment_digest(cohorts: Sequence[Cohort]) -> str:
    """Recompute from the rows what the lottery committed to as ``assignment_sha256``.

    A patient who stands in two splits counts twice, so that no such cohort matches.

    Args:
        cohorts: One cohort, or cohorts that together hold the patients of one lottery.
    """
    pairs: set[tuple[str, str]] = set()
    for cohort in cohorts:
        table = cohort.table(["patient", "split"]).group_by(["patient", "split"]).aggregate([])
        pairs |= {(str(row["patient"]), str(row["split"])) for row in table.to_pylist()}
    return _committed(pairs)


def _committed(pairs: Iterable[tuple[str, str]]) -> str:
    text = "\n".join(f"{patient} {name}" for patient, name in sorted(pairs))
    return hashlib.sha256(text.encode()).hexdigest()


def _remove_unlisted(root: Path, *, keep: str) -> None:
    for stale in [*root.glob("data*"), *root.glob(".split.partial-*")]:
        if stale.is_dir() and stale.name != keep:
            shutil.rmtree(stale, ignore_errors=True)
