"""What only shows when all files are seen: one object twice, and patients who are mixed up.

The patient is the unit of every split and every privacy claim. So where identifiers contradict
each other, the files wait for a person rather than for luck.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from bussynth.dicom.record import KEPT, LEFT_OUT, QUARANTINED, FileRecord

__all__ = ["settle_conflicts"]

_TWO_PATIENTS = (
    "two-patients-one-id",
    "files under this patient's identifier have different birth dates.",
)
_TWO_IDS = (
    "one-patient-two-ids",
    "files of this patient's name and birth date have different patient identifiers.",
)
_ONE_STUDY = (
    "one-study-two-patients",
    "files of one study have different patient identifiers.",
)
_ONE_IMAGE = (
    "one-image-two-patients",
    "a file of another patient holds the very same image.",
)
_TWO_OBJECTS = ("two-objects-one-uid", "another file has the same UID and other pixels.")


def settle_conflicts(
    records: Sequence[FileRecord], *, trust_patient_ids: bool = False
) -> list[FileRecord]:
    """Quarantine what contradicts itself, and leave out copies.

    Args:
        records: What became of each file, in order.
        trust_patient_ids: Believe identifiers of patients whatever names and birth dates say.

    Returns:
        The records in the same order; of equal objects the first one is kept.
    """
    settled = _duplicates(list(records))
    if not trust_patient_ids:
        born = _values(settled, lambda one: one.patient, lambda one: one.birth)
        mixed = {patient for patient, dates in born.items() if len(dates) > 1}
        settled = _quarantined(settled, _files_of(settled, mixed), *_TWO_PATIENTS)
        called = _values(settled, lambda one: one.identity, lambda one: one.patient)
        double = {one for patients in called.values() if len(patients) > 1 for one in patients}
        settled = _quarantined(settled, _files_of(settled, double), *_TWO_IDS)
        shared = _values(settled, lambda one: one.study, lambda one: one.patient)
        double = {one for patients in shared.values() if len(patients) > 1 for one in patients}
        settled = _quarantined(settled, _files_of(settled, double), *_ONE_STUDY)
    return _quarantined(settled, _shared_images(settled), *_ONE_IMAGE)


def _shared_images(records: Iterable[FileRecord]) -> set[int]:
    """Number the files of which another patient has an image, pixel by pixel.

    Speckle never comes twice, so it was filed under two names. Frames without tissue are alike.
    """
    holders: defaultdict[str, list[FileRecord]] = defaultdict(list)
    for record in records:
        if record.decision == KEPT:
            for digest in {one.digest for one in record.images if not one.constant}:
                holders[digest].append(record)
    return {
        one.number
        for held in holders.values()
        if len({record.patient for record in held}) > 1
        for one in held
    }


def _duplicates(records: list[FileRecord]) -> list[FileRecord]:
    groups: defaultdict[str, list[FileRecord]] = defaultdict(list)
    for record in records:
        if record.decision == KEPT:
            groups[record.uid].append(record)
    differing: set[int] = set()
    copies: set[int] = set()
    for group in groups.values():
        contents = {(one.patient, *(image.digest for image in one.images)) for one in group}
        if len(contents) > 1:
            differing |= {one.number for one in group}
        else:
            copies |= {one.number for one in group[1:]}
    records = _quarantined(records, differing, *_TWO_OBJECTS)
    return [
        _dropped(one, LEFT_OUT, "duplicate", "the same object as an earlier file.")
        if one.number in copies
        else one
        for one in records
    ]


def _values(
    records: Iterable[FileRecord],
    owner: Callable[[FileRecord], str],
    value: Callable[[FileRecord], str],
) -> dict[str, set[str]]:
    """Collect the values of each owner; files that do not say one are passed over."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.decision == KEPT and owner(record) and value(record):
            found[owner(record)].add(value(record))
    return found


def _files_of(records: Iterable[FileRecord], patients: set[str]) -> set[int]:
    """Number all files of patients in doubt, those that say nothing of it included."""
    return {one.number for one in records if one.decision == KEPT and one.patient in patients}


def _quarantined(
    records: list[FileRecord], numbers: set[int], reason: str, why: str
) -> list[FileRecord]:
    return [
        _dropped(one, QUARANTINED, reason, why) if one.number in numbers else one for one in records
    ]


def _dropped(record: FileRecord, decision: str, reason: str, why: str) -> FileRecord:
    return replace(record, decision=decision, reason=reason, why=why, images=(), objects=())
