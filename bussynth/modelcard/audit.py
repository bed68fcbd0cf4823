"""The audit of a card: what may leave the site of an audit of this model's images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bussynth.errors import DataError, IntegrityError
from bussynth.modelcard.model import CardModel
from bussynth.record import field, mapping, number, whole
from bussynth.report.cards import build_cards
from bussynth.report.formats import share
from bussynth.report.render import read_report
from bussynth.report.shareable import shareable
from bussynth.report.wording import VERDICTS

__all__ = ["AuditSummary", "Planted", "read_summary"]

_FILE, _SEAL = "report.json", "report.sha256"
_MOSTLY_MISSED: Final = 0.5
_LOSSES: Final = "white_box"


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What became of copies planted to see whether the audit finds them.

    Attributes:
        kinds: Kinds that had to be found.
        recall: Least share found of these, or "not measured".
        least: Lower bound on that share, one-sided.
        missed: Other kinds of which most were missed, with the share found.
    """

    kinds: int
    recall: str
    least: str
    missed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AuditSummary:
    """What an audit found.

    Attributes:
        verdict: ``"FAIL"``, ``"INCONCLUSIVE"`` or ``"NO EVIDENCE ABOVE FLOOR"``.
        headline: The verdict in words.
        reasons: Why, a line each.
        counts: Images and patients that were compared.
        tests: Name, outcome, number and answer of each test.
        losses: Whether the model was attacked by its own losses.
        planted: The positive controls.
        trusted: What nothing proves, a sentence each.
    """

    verdict: str
    headline: str
    reasons: tuple[str, ...]
    counts: Mapping[str, int | None]
    tests: tuple[tuple[str, str, str, str], ...]
    losses: bool
    planted: Planted
    trusted: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether traces of training patients were found."""
        return self.verdict == "FAIL"


def read_summary(folder: Path, model: CardModel, known: Collection[str] = ()) -> AuditSummary:
    """Read the audit of a model's images.

    Args:
        folder: What ``bussynth audit`` wrote.
        model: The model.
        known: Digests of synthetic cohorts that name the model as their generator; an audit of
            one of these needs no other proof.

    Raises:
        DataError: There is no audit, it is of another version or damaged, or of other images.
        IntegrityError: The report was changed after the audit.
    """
    path = folder / _FILE
    if not path.is_file():
        raise DataError(f"{folder} holds no audit: {_FILE} is missing.")
    _check_seal(folder)
    report = read_report(path)
    named = field(report, "model", "digest")
    learned = mapping(field(report, "inputs", "train"))
    matched = learned.get("digest") == model.cohort
    made = mapping(field(report, "inputs", "synthetic"))
    problems = []
    if named is not None and named != model.digest:
        problems.append("it names another model")
    problems += _foreign(made, model.digest, known=known, stood_by=named is not None)
    # An audit without the model may compare with a cohort that another model learned from.
    if named is None and learned.get("source") == "cohort" and not matched:
        problems.append("it compares with other images than those the model learned from")
    if problems:
        raise DataError(
            f"{path} is not an audit of this model's images; generate a cohort with the model and "
            "audit that.",
            problems,
        )
    try:
        # In the order of the file, as the report itself is rendered.
        kept = shareable(json.loads(json.dumps(report, sort_keys=True)))
        cards = build_cards(kept)
        return AuditSummary(
            verdict=kept["verdict"],
            headline=VERDICTS[kept["verdict"]].headline,
            reasons=tuple(str(reason) for reason in kept["reasons"]),
            counts={key: whole(kept["counts"].get(key)) for key in _COUNTS},
            tests=tuple((card.text.short, card.label, card.value, card.answer) for card in cards),
            losses=any(card.name == _LOSSES and card.style != "none" for card in cards),
            planted=_planted(kept["controls"]["planted"]),
            trusted=tuple(str(note) for note in kept["model"]["notes"])
            if named is not None
            else tuple(_unproven(matched=matched)),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} lacks fields or holds wrong ones; audit again.") from error


_COUNTS: Final = (
    "synthetic_images",
    "train_images",
    "train_patients",
    "control_images",
    "control_patients",
)


def _foreign(
    made: Mapping[str, Any], model: str, *, known: Collection[str], stood_by: bool
) -> Iterator[str]:
    """What speaks against images as those of a model, or fails to speak for them.

    Of a nameless folder that was audited together with the model the report itself says that it
    is taken on trust.
    """
    generator = made.get("generator")
    if made.get("derived"):
        yield "its images were derived from those of another cohort, so they show no model's own"
    elif generator is not None and generator != model:
        yield "the images audited name another generator than this model"
    elif generator is None and not stood_by and made.get("digest") not in known:
        yield (
            "the audit names no generator of its images, and neither --samples nor --evaluation "
            "shows that this model made them"
        )


def _unproven(*, matched: bool) -> Iterator[str]:
    """What an audit without the model leaves open."""
    if not matched:
        yield "That the model learned from the training images compared is taken on trust."


def _check_seal(folder: Path) -> None:
    seal = folder / _SEAL
    if not seal.is_file():
        return
    try:
        words = seal.read_text(encoding="ascii").split()
    except UnicodeDecodeError:
        words = []
    if words[:1] != [hashlib.sha256((folder / _FILE).read_bytes()).hexdigest()]:
        raise IntegrityError(
            f"{folder / _FILE} was changed after the audit: it does not match {_SEAL}; audit again."
        )


def _planted(entries: list[Mapping[str, Any]]) -> Planted:
    tried = [entry for entry in entries if entry["planted"]]
    decisive = [entry for entry in tried if entry["decisive"]]
    worst = min(decisive, key=lambda entry: float(entry["recall"]), default=None)
    least = [low for entry in decisive if (low := number(entry["lower"])) is not None]
    return Planted(
        kinds=len(decisive),
        recall="not measured" if worst is None else share(worst["recall"]),
        least=share(min(least, default=None)),
        missed=tuple(
            f"{entry['name']} ({share(entry['recall'])} found)"
            for entry in tried
            if not entry["decisive"] and entry["recall"] < _MOSTLY_MISSED
        ),
    )
