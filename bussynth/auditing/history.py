"""What the run ledger says of an audit: how often, what changed in between, was it registered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from audits.settings import AuditSettings
from bussynth.atomic import canonical_json
from bussynth.auditing.ledger import (
    LEDGER_FILE,
    LedgerEntry,
    LedgerState,
    append_entry,
    read_ledger,
)
from bussynth.auditing.sources import CohortImages, RoleImages

__all__ = ["LedgerSummary", "append_to_first", "ledger_places", "record_run", "settings_digest"]

_FAIL: Final = "FAIL"


@dataclass(frozen=True, kw_only=True)
class LedgerSummary:
    """An audit among the audits of the same control patients; counts include this one.

    Attributes:
        place: ``"real data"``, ``"beside the report"`` or ``"nowhere"``.
        control_runs: Audits of this control set.
        synthetic_runs: Audits of this synthetic set against it.
        synthetic_sets: Different synthetic sets audited against it.
        settings_used: Different settings used with it.
        failed_before: Earlier audits against it that ended in FAIL.
        other_controls: Audits of other control sets in the same ledger, such as earlier splits.
        registration: ``"pre-registered"``, ``"registered late"``, ``"different"`` or ``"none"``.
        registered: When the settings (or others, if ``"different"``) were registered, UTC.
        flags: Signs of adaptive reuse, each a sentence.
        problems: What is wrong with the ledger, each a sentence.
        head: SHA-256 of this audit's line.
        sentences: All of it in plain words.
    """

    place: str
    control_runs: int
    synthetic_runs: int
    synthetic_sets: int
    settings_used: int
    failed_before: int
    other_controls: int
    registration: str
    registered: str | None
    flags: tuple[str, ...]
    problems: tuple[str, ...]
    head: str | None
    sentences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON types."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


def settings_digest(
    settings: AuditSettings, *, encoders: Sequence[str] = (), release_model: bool = False
) -> str:
    """Return ``"sha256:…"`` of all that decides what an audit computes of given images.

    Args:
        settings: All of them, changed or not.
        encoders: Digests of the user's encoders.
        release_model: Whether the model is audited too.
    """
    values = {name: entry["value"] for name, entry in settings.describe().items()}
    content = {"settings": values, "encoders": sorted(encoders), "release_model": release_model}
    return "sha256:" + hashlib.sha256(canonical_json(content).encode()).hexdigest()


def ledger_places(control: RoleImages, out: Path | None) -> dict[str, Path]:
    """Return where the ledger may be, by kind of place, the best one first.

    In the folder of the control cohort, where every audit of these patients meets it; else
    beside the output. A cohort's own checks look at the files that it names and at no other.

    Args:
        control: The control images.
        out: The output, or None.
    """
    places = {}
    if isinstance(control, CohortImages):
        places["real data"] = control.cohort.path / LEDGER_FILE
    if out is not None:
        places["beside the report"] = out.absolute().parent / LEDGER_FILE
    return places


def append_to_first(
    places: Mapping[str, Path], entry: LedgerEntry
) -> tuple[str, LedgerState, LedgerEntry | None]:
    """Append to the first place that can be written.

    Args:
        places: See :func:`ledger_places`.
        entry: The line.

    Returns:
        The kind of place, all that the ledgers up to there held before, and the line as written
        (None if nowhere). Places that refused are among the problems.
    """
    known = LedgerState()
    for kind, path in places.items():
        try:
            if kind != "real data":
                path.parent.mkdir(parents=True, exist_ok=True)
            before, written = append_entry(path, entry)
        except OSError as error:
            found = read_ledger(path)
            refused = f"The ledger {_where(kind)} cannot be written ({error.strerror})."
            known = _joined(known, LedgerState(found.entries, (*found.problems, refused)))
            continue
        return kind, _joined(known, before), written
    return "nowhere", known, None


def _where(kind: str) -> str:
    return "with the real data" if kind == "real data" else kind


def _joined(first: LedgerState, second: LedgerState) -> LedgerState:
    entries = sorted((*first.entries, *second.entries), key=lambda entry: entry.time)
    return LedgerState(tuple(entries), first.problems + second.problems)


def record_run(
    *,
    train: RoleImages,
    control: RoleImages,
    synthetic: RoleImages,
    settings: str,
    verdict: str,
    out: Path | None,
    generator: str | None = None,
) -> LedgerSummary:
    """Write an audit into the run ledger and sum up its history.

    Call it before the result is shown to anybody.

    Args:
        train: What the generator learned from.
        control: What it never saw.
        synthetic: What was audited.
        settings: See :func:`settings_digest`.
        verdict: The verdict.
        out: Where the report will be written, or None.
        generator: Digest of the model that made the images, if it is known otherwise than by the
            synthetic cohort.
    """
    if generator is None and isinstance(synthetic, CohortImages):
        found = synthetic.cohort.provenance.get("generator")
        generator = found if isinstance(found, str) else None
    now = LedgerEntry(
        kind="audit",
        time="",
        settings=settings,
        train=train.digest(),
        control=control.digest(),
        synthetic=synthetic.digest(),
        images=len(synthetic),
        generator=generator,
        verdict=verdict,
    )
    place, before, written = append_to_first(ledger_places(control, out), now)
    return summarise(before, now, place=place, head=None if written is None else written.sha256)


def summarise(
    before: LedgerState, now: LedgerEntry, *, place: str, head: str | None
) -> LedgerSummary:
    """Compare an audit with what the ledger held before it.

    Args:
        before: The ledger without this audit.
        now: This audit.
        place: Where it was recorded.
        head: SHA-256 of its line.
    """
    audits = [entry for entry in before.entries if entry.kind == "audit"]
    same_control = [entry for entry in audits if entry.control == now.control]
    same_set = [entry for entry in same_control if entry.synthetic == now.synthetic]
    failed = [entry for entry in same_control if entry.verdict == _FAIL]
    status, date, registration = _registration(before, now)
    flags = _flags(now, same_control, same_set, failed)
    runs, sets = len(same_control) + 1, {entry.synthetic for entry in (*same_control, now)}
    used = {entry.settings for entry in (*same_control, now)}
    problems = list(before.problems)
    if place != "real data":
        problems.append(
            "This audit was recorded nowhere, so later ones cannot count it."
            if place == "nowhere"
            else "The ledger lies beside the report, so audits written elsewhere are not counted."
        )
    sentences = [
        f"This is audit {runs} of these control patients and audit {len(same_set) + 1} of these "
        "synthetic images.",
        f"Tried against them so far: {_count(len(sets), 'synthetic set')}, "
        f"{_count(len(used), 'choice')} of settings. Earlier audits that ended in FAIL: "
        f"{len(failed)}.",
        registration,
        *flags,
        *problems,
    ]
    return LedgerSummary(
        place=place,
        control_runs=runs,
        synthetic_runs=len(same_set) + 1,
        synthetic_sets=len(sets),
        settings_used=len(used),
        failed_before=len(failed),
        other_controls=len(audits) - len(same_control),
        registration=status,
        registered=date,
        flags=tuple(flags),
        problems=tuple(problems),
        head=head,
        sentences=tuple(sentences),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _flags(
    now: LedgerEntry,
    same_control: Sequence[LedgerEntry],
    same_set: Sequence[LedgerEntry],
    failed: Sequence[LedgerEntry],
) -> list[str]:
    """Name the signs of adaptive reuse."""
    flags = []
    others = {entry.synthetic for entry in failed if entry.synthetic != now.synthetic}
    if others:
        flags.append(
            f"{_count(len(others), 'other synthetic set')} failed against these control patients "
            "before. Each further try makes a pass by chance likelier; the stated error holds for "
            "one."
        )
    variants = {entry.settings for entry in same_set} - {now.settings}
    if variants:
        flags.append(
            f"These images were audited before with {_count(len(variants), 'other choice')} of "
            "settings. Settings chosen after a look void the p-values."
        )
    larger = [
        entry.images or 0
        for entry in same_control
        if now.generator is not None
        and entry.generator == now.generator
        and entry.synthetic != now.synthetic
    ]
    if larger and now.images is not None and max(larger) > now.images:
        flags.append(
            f"An earlier set of the same model had {max(larger)} images, this one has "
            f"{now.images}. If images were taken out after an audit, what is missing points at "
            "the patients they resembled."
        )
    return flags


def _registration(before: LedgerState, now: LedgerEntry) -> tuple[str, str | None, str]:
    """Say whether the settings were registered before these images were first audited."""
    looked = False
    early: list[LedgerEntry] = []
    late: list[LedgerEntry] = []
    for entry in before.entries:
        if entry.control != now.control:
            continue
        if entry.kind == "audit":
            looked = looked or entry.synthetic == now.synthetic
        else:
            (late if looked else early).append(entry)
    different = len({entry.settings for entry in (*early, *late)})
    several = f" ({different} different ones were registered)" if different > 1 else ""
    match = next((entry for entry in early if entry.settings == now.settings), None)
    if match is not None:
        return (
            "pre-registered",
            match.time,
            f"The settings were pre-registered on {_day(match)}{several}.",
        )
    match = next((entry for entry in late if entry.settings == now.settings), None)
    if match is not None:
        return (
            "registered late",
            match.time,
            f"The settings were registered on {_day(match)}, after a first audit of these "
            f"images{several}.",
        )
    if early or late:
        last = (*early, *late)[-1]
        return (
            "different",
            last.time,
            f"The settings differ from those registered on {_day(last)}{several}.",
        )
    return "none", None, "The settings were not pre-registered."


def _day(entry: LedgerEntry) -> str:
    return entry.time.partition("T")[0]
