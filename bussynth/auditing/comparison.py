"""Who is compared with whom, and whether chance decided it.

The tests of an audit are exact only if a recorded lottery drew train and control patients. This
module pairs the sources, refuses pairs that mean nothing, and says of the others what is in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bussynth.auditing.patients import read_patients
from bussynth.auditing.sources import (
    CohortImages,
    FolderImages,
    RoleImages,
    Size,
    Source,
    open_source,
)
from bussynth.cohort.cohort import Cohort
from bussynth.cohort.split import LOTTERY, assignment_digest, patient_strata
from bussynth.errors import DataError, UsageError

__all__ = ["Comparison", "PatientKeys", "open_comparison", "open_real"]

PatientKeys = Path | str | Mapping[str, Sequence[str]]
"""A CSV with the columns file and patient, or ``{"train": [...], "control": [...]}``."""

_REAL = ("train", "control")


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Three sources that fit together.

    Attributes:
        synthetic: The images to be released.
        train: What the generator learned from.
        control: What it never saw.
        size: (height, width) at which all are compared.
        patients: One key an image for train and control, or None if unknown.
        strata: One stratum an image for train and control, or None without a lottery.
        randomised: Whether a recorded lottery drew train and control patients.
        split: The record of the lottery, without its seed.
        doubts: Why a result is exploratory only; empty if ``randomised``.
        notes: What a reader should know besides.
    """

    synthetic: RoleImages
    train: RoleImages
    control: RoleImages
    size: Size
    patients: dict[str, tuple[str, ...]] | None = field(repr=False)
    strata: dict[str, tuple[str, ...]] | None = field(repr=False)
    randomised: bool
    split: dict[str, Any]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sources(self) -> tuple[RoleImages, RoleImages, RoleImages]:
        """Synthetic, train and control."""
        return self.synthetic, self.train, self.control

    def n_patients(self, role: str) -> int | None:
        """Number of patients of ``"train"`` or ``"control"``, None if unknown."""
        return None if self.patients is None else len(set(self.patients[role]))


def open_comparison(
    synthetic: Source,
    *,
    train: Source | None = None,
    control: Source | None = None,
    real: Source | None = None,
    patients: PatientKeys | None = None,
) -> Comparison:
    """Open the three sources and check that they can be compared.

    Args:
        synthetic: The images to be released.
        train: What the generator learned from.
        control: Images of other patients, drawn by the same lottery.
        real: Instead of both: a cohort that was split.
        patients: Patients of the images, unless they come from cohorts.

    Raises:
        UsageError: Arguments contradict each other or are missing.
        DataError: Images cannot be read or compared; see the checks below.
    """
    made = open_source(synthetic, "synthetic")
    seen, unseen = open_real(train=train, control=control, real=real)
    size, notes = _common_size(made, seen, unseen)
    notes += [note for source in (made, seen, unseen) for note in source.notes]
    keys, key_notes = _patient_keys(seen, unseen, patients)
    notes += key_notes
    if keys is not None:
        _refuse_shared_patients(keys)
    _refuse_same_images(seen, unseen)
    notes += _check_training(made, seen)
    doubts, split = _doubts(seen, unseen, keys, same_rows=real is not None)
    return Comparison(
        synthetic=made,
        train=seen,
        control=unseen,
        size=size,
        patients=keys,
        strata=None if doubts or keys is None else _strata(seen, unseen, keys),
        randomised=not doubts,
        split=split,
        doubts=tuple(doubts),
        notes=tuple(notes),
    )


def open_real(
    *, train: Source | None = None, control: Source | None = None, real: Source | None = None
) -> tuple[RoleImages, RoleImages]:
    """Open the real images: train and control.

    Args:
        train: See :func:`open_comparison`.
        control: See :func:`open_comparison`.
        real: See :func:`open_comparison`.

    Raises:
        UsageError: Arguments contradict each other or are missing.
        DataError: Images cannot be read.
    """
    if (real is None) == (train is None and control is None):
        raise UsageError("Give either real (a cohort that was split) or both train and control.")
    if real is not None:
        cohort = real if isinstance(real, Cohort) else _open_cohort(real)
        if cohort.split_record is None:
            raise UsageError(f"{cohort.path} was not split; run `bussynth split` before training.")
        train = control = cohort
    if train is None or control is None:
        raise UsageError("An audit needs both train and control.")
    return open_source(train, "train"), open_source(control, "control")


def _open_cohort(real: Source) -> Cohort:
    if not isinstance(real, (str, Path)):
        raise UsageError("real must be a cohort that was split; give train and control instead.")
    return Cohort.open(real)


def _common_size(made: RoleImages, *real: RoleImages) -> tuple[Size, list[str]]:
    """Find the size of the synthetic images and check that all others have or can get it."""
    if len(made.sizes) != 1:
        raise DataError(
            f"synthetic: the images have {len(made.sizes)} different sizes; they must have one."
        )
    size = next(iter(made.sizes))
    notes, problems = [], []
    for source in real:
        others = sum(count for found, count in source.sizes.items() if found != size)
        if not others:
            continue
        if isinstance(source, FolderImages) and size[0] == size[1]:
            notes.append(
                f"{source.role}: {others} of {len(source)} images had another size than the "
                f"synthetic ones and were letterboxed to {size[1]}x{size[0]}"
            )
        else:
            listed = ", ".join(f"{width}x{height}" for height, width in sorted(source.sizes)[:5])
            problems.append(f"{source.role}: {listed}, but synthetic: {size[1]}x{size[0]}")
    if problems:
        raise DataError(
            "The images have different sizes; bring them to one size the way the generator's "
            "training images were.",
            problems,
        )
    return size, notes


def _patient_keys(
    train: RoleImages, control: RoleImages, given: PatientKeys | None
) -> tuple[dict[str, tuple[str, ...]] | None, list[str]]:
    sources = {"train": train, "control": control}
    keys: dict[str, tuple[str, ...]] = {}
    for role, source in sources.items():
        if isinstance(source, CohortImages):
            keys[role] = tuple(source.column("patient"))
    notes: list[str] = []
    if isinstance(given, Mapping):
        unknown = [role for role in given if role not in _REAL or role in keys]
        if unknown:
            raise UsageError(
                "patients: keys must be train or control, for roles that are no cohorts."
            )
        for role, column in given.items():
            if len(column) != len(sources[role]):
                raise DataError(f"{role}: {len(column)} patients for {len(sources[role])} images.")
            keys[role] = tuple(column)
    elif given is not None:
        folders = [source for source in sources.values() if isinstance(source, FolderImages)]
        if not folders:
            raise UsageError("A patient table serves folders of images; there is none.")
        table = read_patients(Path(given), folders)
        keys |= {source.role: column for source, column in zip(folders, table.keys, strict=True)}
        notes += table.notes
    if len(keys) == 1:
        missing = next(role for role in _REAL if role not in keys)
        raise UsageError(f"{missing}: its patients are unknown; give them with a patient table.")
    return keys or None, notes


def _refuse_shared_patients(keys: Mapping[str, Sequence[str]]) -> None:
    shared = set(keys["train"]) & set(keys["control"])
    if shared:
        rows = [number for number, key in enumerate(keys["control"], start=1) if key in shared]
        raise DataError(
            f"{len(shared)} patients are in both train and control; a control patient must be "
            "unknown to the generator. Split by patient.",
            [f"image {number} of control" for number in rows],
        )


def _refuse_same_images(train: RoleImages, control: RoleImages) -> None:
    """Refuse one set in both roles; in cohorts the patients tell."""
    cohorts = isinstance(train, CohortImages) or isinstance(control, CohortImages)
    if not cohorts and train.digest() == control.digest():
        raise DataError(
            "train and control are the same images; control must hold other patients, whom the "
            "generator never saw."
        )


def _check_training(made: RoleImages, train: RoleImages) -> list[str]:
    """Compare what the synthetic cohort says of its training with the cohort given."""
    trained_on = None
    if isinstance(made, CohortImages) and made.cohort.kind != "synthetic":
        return _check_sources(made.cohort, train)
    if isinstance(made, CohortImages):
        trained_on = made.cohort.provenance.get("trained_on")
    if isinstance(train, CohortImages) and trained_on is not None:
        if trained_on != train.cohort.digest:
            raise DataError(
                "The synthetic images come from a model that was trained on another cohort, or "
                "before this cohort was split anew; audit against the cohort it was trained on."
            )
        return []
    return [
        "The synthetic images do not prove which images their generator learned from: that it "
        "was trained on the train images, and on no control image, is taken on trust."
    ]


def _check_sources(made: Cohort, train: RoleImages) -> list[str]:
    """Compare what a derived cohort says of its sources with the cohort given."""
    record = made.derived or {}
    digest = train.cohort.digest if isinstance(train, CohortImages) else None
    if digest is None or record.get("source") != digest:
        raise DataError(
            f"{made.path} was derived from another cohort than the one it is to be compared with, "
            "or before that was split anew; audit it against the cohort it was derived from: "
            "--real COHORT."
        )
    notes = ["The audited images were derived from the train images, each from one of them."]
    if made.kind == "real":
        notes.append("Whatever the verdict, they show the findings of these patients.")
    if record.get("trained_on") != digest:
        notes.append(
            "The model that derived the images learned from another cohort; of the patients in "
            "that, this audit says nothing."
        )
    return notes


def _doubts(
    train: RoleImages,
    control: RoleImages,
    keys: Mapping[str, Sequence[str]] | None,
    *,
    same_rows: bool,
) -> tuple[list[str], dict[str, Any]]:
    """Say why train and control may differ by more than chance; nothing if a lottery drew them."""
    if keys is None:
        return ["The patients of the images are unknown, so every image counts as a patient."], {}
    if not isinstance(train, CohortImages) or not isinstance(control, CohortImages):
        return ["No recorded lottery drew the train and control patients."], {}
    records = [source.cohort.split_record or {} for source in (train, control)]
    if not all(records):
        return ["No recorded lottery drew the train and control patients."], {}
    committed = [record.get("assignment_sha256") for record in records]
    if committed[0] != committed[1]:
        return ["Train and control patients were drawn by two different lotteries."], {}
    record = records[0]
    split = {key: record.get(key) for key in ("method", "by", "control", "test", "times_split")}
    split["assignment_sha256"] = committed[0]
    doubts = []
    if record.get("method") != LOTTERY:
        doubts.append("The split was not drawn by a lottery that this version knows.")
    wholes = [Cohort.open(source.cohort.path) for source in (train, control)]
    if assignment_digest(wholes) != committed[0]:
        doubts.append("The splits of the patients are not those that the lottery recorded.")
    selected = any(
        len(source) != whole.counts.get("splits", {}).get(source.role)
        for source, whole in zip((train, control), wholes, strict=True)
    )
    if selected and not same_rows:
        doubts.append("Only some of the drawn images were given, by a choice that is unknown.")
    return doubts, split


def _strata(
    train: RoleImages, control: RoleImages, keys: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Give each image the stratum within which the lottery drew its patient."""
    result = {}
    for source in (train, control):
        if not isinstance(source, CohortImages):
            continue
        record = source.cohort.split_record or {}
        strata = patient_strata(Cohort.open(source.cohort.path), record.get("by", []))
        result[source.role] = tuple(strata[key] or "all" for key in keys[source.role])
    return result
