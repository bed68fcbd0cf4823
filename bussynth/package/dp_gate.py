"""The gate of the claim ``formal-dp``: nothing leaves that looked at patients and was not counted.

What may leave is what post-processing of the counted releases makes: images, and what the publisher
says without looking. So the record of the cohort is held to what ``generate`` and ``evolve``
write; anything more is a reason to ask what it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bussynth.atomic import canonical_json
from bussynth.cohort.cohort import LEDGER_FILE, Cohort
from bussynth.dependencies import missing_dependency
from bussynth.errors import BussynthError, DataError, IntegrityError, UsageError
from bussynth.package.dp_statement import DpStatement, parse_dp_statement
from bussynth.package.export_config import ExportConfig
from bussynth.package.manifest import CLAIM, FORMAL_CLAIM
from bussynth.package.names import shown
from bussynth.record import digest, field, mapping
from privacy.dp.errors import DPInputError
from privacy.dp.ledger import Ledger

__all__ = ["FormalRelease", "check_dp_gate"]

_PROVENANCE = {"bussynth", "generator", "sampler", "request", "trained_on", "privacy"}
_CLAIM_KEYS = ("claim", "epsilon", "delta", "unit", "statement")
_AGAIN = "generate the cohort anew from the private model, or with `bussynth evolve`"
_WRITTEN = (
    "the statement is written from the ledger and never edited; " + _AGAIN + ", or restore its "
    "cohort.json"
)


@dataclass(frozen=True, kw_only=True)
class FormalRelease:
    """What the gate lets pass.

    Attributes:
        statement: What the package states.
        ledger_checked: Whether it was compared with the ledger.
        recorded_epsilon: Epsilon in the record of the cohort; less than that of ``statement`` where
            the ledger states more by now.
    """

    statement: DpStatement
    ledger_checked: bool
    recorded_epsilon: float

    @property
    def notes(self) -> tuple[str, ...]:
        """What the publisher should know; none of it is in the package."""
        if not self.ledger_checked:
            return (
                "The statement was not compared with the ledger: what was spent on the same "
                "patients since is not in it. Compare it with --ledger COHORT.",
            )
        if self.recorded_epsilon < self.statement.epsilon:
            return (
                "More was spent on these patients since the images were made, so the package "
                "states what the ledger states now.",
            )
        return ()


def check_dp_gate(
    cohort: Cohort,
    config: ExportConfig,
    *,
    audit: Path | None = None,
    ledger: Path | None = None,
) -> FormalRelease:
    """Refuse to release with the claim ``formal-dp`` what it does not cover.

    Args:
        cohort: The cohort to be released.
        config: Of the export.
        audit: The folder of an audit, if one was given, which is refused.
        ledger: Folder of the real cohort whose ledger to compare the statement with.

    Returns:
        The statement of the package. With a ledger it is what that states now, if that is not less
        than what the cohort's record says.

    Raises:
        UsageError: Arguments do not belong to this claim.
        DataError: The cohort must not leave under it. All problems are listed, those of the
            arguments included, each with a remedy.
        IntegrityError: A shard of the cohort is missing or damaged.
        MissingDependencyError: The accounting libraries are not installed.
    """
    arguments = list(_argument_problems(config, audit))
    problems = [*_kind_problems(cohort), *_record_problems(cohort), *_row_problems(cohort)]
    statement, found = _recorded(cohort)
    problems += found
    release = None
    if statement is not None:
        release, found = _compared(statement, ledger)
        problems += found
    if problems or release is None:
        raise DataError(
            f"{cohort.path} must not leave with the claim {FORMAL_CLAIM}; nothing was written.",
            [*arguments, *problems],
        )
    if arguments:
        raise UsageError(f"These do not belong to the claim {FORMAL_CLAIM}.", arguments)
    return release


def _argument_problems(config: ExportConfig, audit: Path | None) -> Iterator[str]:
    if audit is not None:
        yield (
            "--audit: verdict and figures of an audit are looks at the patients that no ledger "
            f"counts; leave it out, or export with --claim {CLAIM}"
        )
    if config.accept_inconclusive:
        yield "--accept-inconclusive: there is no verdict to accept; leave it out"
    if config.declare_derived is not None:
        yield (
            "--declare-derived: images derived from real ones show patients, which no epsilon "
            f"covers; leave it out, or export them with --claim {CLAIM}"
        )


def _kind_problems(cohort: Cohort) -> Iterator[str]:
    if cohort.kind != "synthetic":
        yield f"it is a {cohort.kind} cohort; {_AGAIN}"
    if "derived" in cohort.provenance:
        yield (
            "its images were derived from others, so each shows what one of them showed; export "
            "images of `bussynth generate` from a private model"
        )
    if cohort.split_record is not None or set(cohort.counts) - {"images"}:
        yield (
            "it counts patients or splits, and exact counts of patients are looks that no ledger "
            f"knows; {_AGAIN}"
        )
    if cohort.has_masks:
        yield f"it has masks, which neither `generate` nor `evolve` makes; {_AGAIN}"


def _record_problems(cohort: Cohort) -> Iterator[str]:
    record = cohort.provenance
    request = mapping(record.get("request"))
    if "guard" in record or request.get("guard", "none") != "none":
        yield (
            "a guard chose among its images by comparing them with training images; generate "
            "without --guard"
        )
    if record.get("trained_on") is not None:
        yield (
            "its generator names the cohort that it learned from, as private ones do not; generate "
            "from a model that was trained with --dp-epsilon"
        )
    if digest(record.get("generator")) is None:
        yield f"its record names no generator; {_AGAIN}"
    for key in sorted(record.keys() - _PROVENANCE - {"guard", "derived"}):
        yield (
            f"its record holds {shown(key, 40)}, which neither `generate` nor `evolve` writes and "
            f"which may come of the real images; {_AGAIN}"
        )


def _row_problems(cohort: Cohort) -> Iterator[str]:
    """Images that were left out, added or moved after they were made."""
    if cohort.kind != "synthetic":
        return
    asked = field(cohort.provenance, "request", "n")
    names = cohort.table(["id"]).column("id").to_pylist()
    if asked != len(names) or names != [f"synthetic-{i:08d}" for i in range(len(names))]:
        yield (
            "its images are not all those that were asked for, in their order: to choose among "
            f"them may be a look at the patients; {_AGAIN}, and export it whole"
        )


def _recorded(cohort: Cohort) -> tuple[DpStatement | None, list[str]]:
    """The statement in the record of a cohort, and what is wrong with the claim."""
    claim = cohort.provenance.get("privacy")
    if not isinstance(claim, Mapping) or claim.get("claim") != FORMAL_CLAIM:
        return None, [
            f"its record makes no claim {FORMAL_CLAIM}; generate from a model that was trained "
            "with --dp-epsilon, or with `bussynth evolve`; or audit the cohort and export with "
            f"--claim {CLAIM}"
        ]
    problems = [
        f"the claim in its record holds {shown(key, 40)}, which is not known here"
        for key in sorted(claim.keys() - set(_CLAIM_KEYS))
    ]
    try:
        statement = parse_dp_statement(claim.get("statement"), what="The statement")
    except IntegrityError as error:
        problems += [f"its statement: {problem}" for problem in error.problems]
        return None, [*problems, _WRITTEN]
    for key in ("epsilon", "delta", "unit"):
        if claim.get(key) != statement.content["guarantee"][key]:
            problems.append(f"the {key} of the claim is another one than that of its statement")
    if field(cohort.provenance, "request", "verb") == "evolve" and statement.content[
        "public_inputs"
    ].get("base") != cohort.provenance.get("generator"):
        problems.append("its generator is another one than the public base of its statement")
    problems += [f"its statement: {problem}" for problem in _recomputed(statement)]
    return statement, [*problems, _WRITTEN] if problems else []


def _recomputed(statement: DpStatement) -> tuple[str, ...]:
    try:
        return _contradictions(canonical_json(statement.content))
    except ModuleNotFoundError as error:
        raise (missing_dependency(error) or error) from error


@lru_cache(maxsize=16)
def _contradictions(content: str) -> tuple[str, ...]:
    """Kept, as it takes a second and a check is followed by the export that it was for."""
    from privacy.dp.recheck import contradictions

    return tuple(contradictions(json.loads(content)))


def _compared(
    statement: DpStatement, folder: Path | None
) -> tuple[FormalRelease | None, list[str]]:
    """The statement as a package makes it, and what the ledger says against it."""
    recorded = statement.epsilon
    if folder is None:
        return (
            FormalRelease(statement=statement, ledger_checked=False, recorded_epsilon=recorded),
            [],
        )
    from privacy.dp.recheck import ledger_contradictions, stated_now

    remedy = "give --ledger the real cohort that the model was trained on, with its own ledger"
    try:
        ledger = Ledger.open(folder / LEDGER_FILE, subject=Cohort.open(folder).digest)
        problems = ledger_contradictions(statement.content, ledger)
        if problems:
            return None, [f"--ledger: {problem.rstrip('.')}; {remedy}" for problem in problems]
        now = _as_packaged(stated_now(statement.content, ledger).to_dict())
    except ModuleNotFoundError as error:
        raise (missing_dependency(error) or error) from error
    except (DPInputError, BussynthError) as error:
        return None, [f"--ledger: {error.message} Otherwise {remedy}"]
    # Less is said where a plan was given back since, or by other versions of the libraries.
    stated = now if now.epsilon >= recorded else statement
    return FormalRelease(statement=stated, ledger_checked=True, recorded_epsilon=recorded), []


def _as_packaged(content: Mapping[str, Any]) -> DpStatement:
    """A statement fresh from a ledger, with the values that JSON will give back."""
    plain = json.loads(json.dumps(content, allow_nan=False))
    return parse_dp_statement(plain, what="The statement of the ledger")
