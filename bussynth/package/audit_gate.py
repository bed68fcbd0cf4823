"""The gate: no package without a privacy audit of exactly these images that did not fail.

Of the audit report only the verdict, its reasons and the part named ``aggregate`` leave
the hospital; digests of patients' cohorts, per-image distances and pictures stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bussynth.cohort.cohort import Cohort
from bussynth.errors import AuditGateError, DataError, IntegrityError, UsageError
from bussynth.package.export_config import ExportConfig
from bussynth.package.manifest import VERDICTS
from bussynth.package.names import shown, text_problem
from bussynth.package.strict_json import strict_json

__all__ = ["AUDIT_SCHEMA", "AuditReport", "check_gate", "check_kind", "read_audit"]

AUDIT_SCHEMA = "bussynth-audit/2"
PACKAGED_SCHEMA = "bussynth-package-audit/1"
_MAX_BYTES = 64 * 2**20
_MAX_DEPTH = 32
_RERUN = "run `bussynth audit` on this cohort"


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What the gate needs of an audit report.

    Attributes:
        verdict: ``"FAIL"``, ``"INCONCLUSIVE"`` or ``"NO EVIDENCE ABOVE FLOOR"``.
        reasons: Why, in plain words.
        aggregate: The figures that may leave the hospital.
        cohort_digest: Digest of the audited synthetic cohort.
        cohort_images: Number of audited images.
        train_digest: Digest of the training images they were compared with, if it is known.
    """

    verdict: str
    reasons: tuple[str, ...]
    aggregate: dict[str, Any]
    cohort_digest: str
    cohort_images: int
    train_digest: str | None

    def to_package(self) -> dict[str, Any]:
        """Return what goes into the package as ``reports/audit.json``, and nothing else."""
        return {
            "schema": PACKAGED_SCHEMA,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "aggregate": self.aggregate,
        }


def read_audit(folder: Path) -> AuditReport:
    """Read and check ``report.json`` of an audit folder.

    If ``report.sha256`` lies beside it, the report must have the digest written there.

    Args:
        folder: What ``bussynth audit`` wrote.

    Raises:
        AuditGateError: The report is missing, was edited, or is none that this version knows.
    """
    file = folder / "report.json"
    seal = folder / "report.sha256"
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        sealed = seal.read_text(encoding="ascii").split() if seal.exists() else None
    except FileNotFoundError as error:
        raise AuditGateError(
            f"There is no audit in {folder}: report.json is missing; {_RERUN}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AuditGateError(f"The audit in {folder} cannot be read; {_RERUN}.") from error
    if sealed is not None and sealed[:1] != [hashlib.sha256(data).hexdigest()]:
        raise AuditGateError(
            f"{file} was changed after the audit: it does not match report.sha256; {_RERUN}."
        )
    try:
        report = strict_json(data, what=str(file), max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
    except IntegrityError as error:
        raise AuditGateError(f"{error.message} Repair: {_RERUN}.") from error
    return _parse(report, file)


def check_gate(
    report: AuditReport,
    *,
    cohort_digest: str,
    images: int,
    accept_inconclusive: bool,
    source_digest: str | None = None,
) -> None:
    """Refuse to release what the audit does not cover or does not clear.

    Args:
        report: The audit.
        cohort_digest: Digest of the cohort to be released.
        images: Number of its images.
        accept_inconclusive: Whether a person has decided to release after an inconclusive
            audit; the package will say so.
        source_digest: Of the cohort whose images these were derived from, if they were.

    Raises:
        AuditGateError: The audit is of other images or compared derived images with others than
            their sources, failed, or is inconclusive and that was
            not accepted.
    """
    if report.cohort_digest != cohort_digest or report.cohort_images != images:
        raise AuditGateError(f"The audit is of another cohort than the one to export; {_RERUN}.")
    if source_digest is not None and report.train_digest != source_digest:
        raise AuditGateError(
            "The audit did not compare these images with those they were derived from; audit them "
            "against that cohort."
        )
    if report.verdict == "FAIL":
        raise AuditGateError(
            "The privacy audit failed, so the cohort is not exported. Read the report, change "
            "how the generator is trained, generate anew and audit again.",
            report.reasons,
        )
    if report.verdict == "INCONCLUSIVE" and not accept_inconclusive:
        raise AuditGateError(
            "The privacy audit is inconclusive: it cannot tell whether the images reveal "
            "patients. Enlarge the audit, or accept this with --accept-inconclusive; the "
            "package will then say so.",
            report.reasons,
        )


def check_kind(cohort: Cohort, config: ExportConfig) -> ExportConfig:
    """Refuse cohorts that may not leave, whatever their audit says.

    Args:
        cohort: The cohort to be released.
        config: Of the export.

    Returns:
        The configuration with the words that fit the images.

    Raises:
        DataError: The cohort is not synthetic, or derived from real images and that was not
            declared.
        UsageError: A declaration is given for images that need none.
    """
    if cohort.derived is not None and cohort.kind != "phantom":
        return _check_derived(cohort, config)
    if cohort.derived is not None and cohort.kind == "phantom":
        raise DataError(
            f"{cohort.path} is a phantom cohort derived from simulated images: it shows no "
            "patient, so there is nothing to declare, and it is not synthetic either, so it is not "
            "exported. Export images of `bussynth generate`; or share the recipe (`bussynth "
            "phantom`, `bussynth restyle`)."
        )
    if cohort.kind != "synthetic":
        raise DataError(
            f"{cohort.path} is a {cohort.kind} cohort; only synthetic cohorts are exported. "
            "Make one with `bussynth generate`."
        )
    if cohort.split_record is not None or set(cohort.counts) & {"patients", "splits"}:
        raise DataError(f"{cohort.path} counts patients or splits; it is no synthetic cohort.")
    if config.declare_derived is not None:
        raise UsageError(
            f"{cohort.path} was not derived from real images; leave --declare-derived out."
        )
    return config


def _check_derived(cohort: Cohort, config: ExportConfig) -> ExportConfig:
    """Refuse images derived from real ones unless somebody answers for them.

    The declaration lifts the refusal of the kind alone. The audit searches for copies of training
    patients, so images derived from others would pass it unexamined.
    """
    if config.declare_derived is None:
        raise DataError(
            f"{cohort.path} was derived from real images: each shows the findings of a patient, "
            "so they are personal data and are not exported. Share images of `bussynth generate` "
            "instead; or, if the law or the patients allow it, declare on what grounds with "
            "--declare-derived TEXT. Their audit must clear them all the same."
        )
    if set(cohort.counts.get("splits", {})) != {"train"}:
        raise DataError(
            f"{cohort.path} holds images derived from others than training patients, which an "
            "audit cannot clear: it searches for copies of training patients. Derive from those "
            "alone: `bussynth restyle --split train`."
        )
    if config.description == ExportConfig().description:
        return replace(config, description="Breast-ultrasound images derived from real ones.")
    return config


def _parse(report: Any, file: Path) -> AuditReport:
    if not isinstance(report, dict) or report.get("schema") != AUDIT_SCHEMA:
        found = shown(report.get("schema")) if isinstance(report, dict) else "none"
        raise AuditGateError(
            f"{file} has the schema {found}, this version knows {AUDIT_SCHEMA!r}; {_RERUN}."
        )
    problems = []
    verdict, reasons, aggregate = (report.get(key) for key in ("verdict", "reasons", "aggregate"))
    if verdict not in VERDICTS:
        problems.append(f"verdict: is none of {', '.join(VERDICTS)}")
    if not isinstance(reasons, list) or len(reasons) > 100:
        problems.append("reasons: expected a list of at most 100 lines")
        reasons = []
    problems += [
        problem
        for line in reasons
        if (problem := text_problem(line, what="reasons", max_length=1000))
    ]
    if not isinstance(aggregate, dict):
        problems.append("aggregate: is missing")
        aggregate = {}
    inputs = report.get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    synthetic = inputs.get("synthetic")
    synthetic = synthetic if isinstance(synthetic, dict) else {}
    if not isinstance(synthetic.get("digest"), str) or not isinstance(synthetic.get("images"), int):
        problems.append("inputs.synthetic: needs digest and images")
    problems += _leaks(aggregate, {key: inputs[key] for key in inputs if key != "synthetic"})
    train = inputs.get("train")
    compared = train.get("digest") if isinstance(train, dict) else None
    if problems:
        raise AuditGateError(f"{file} is not a report this version can use; {_RERUN}.", problems)
    return AuditReport(
        verdict=str(verdict),
        reasons=tuple(reasons),
        aggregate=aggregate,
        cohort_digest=synthetic["digest"],
        cohort_images=synthetic["images"],
        train_digest=compared if isinstance(compared, str) else None,
    )


def _leaks(aggregate: dict[str, Any], private: dict[str, Any]) -> list[str]:
    """Find in the part that leaves what must stay: texts of the private inputs, bad texts."""
    secrets = {text for text in _texts(private, keys=False) if len(text) >= 8}
    problems = set()
    for text in _texts(aggregate):
        if any(secret in text for secret in secrets):
            problems.add("aggregate: repeats a digest or a name of a patients' cohort")
        problem = text_problem(text, what="aggregate", max_length=1000) if text else None
        if problem is not None:
            problems.add(problem)
    return sorted(problems)


def _texts(value: Any, *, keys: bool = True) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if keys:
                yield key
            yield from _texts(item, keys=keys)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, keys=keys)
