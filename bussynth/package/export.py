"""Export: from a synthetic cohort to a signed package, under one of two privacy claims.

``empirically-audited`` needs an audit that does not forbid it (:mod:`bussynth.package.audit_gate`),
``formal-dp`` a cohort whose differential privacy was accounted for
(:mod:`bussynth.package.dp_gate`).

The package is built anew, column by column and pixel by pixel, from what is allowed to
leave; what the cohort holds beside that (provenance, ids, metadata of images, further
columns) has no way in. Of the record of a private model only its privacy statement leaves.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bussynth import __version__, atomic
from bussynth.cohort.cohort import Cohort
from bussynth.cohort.row import Row
from bussynth.cohort.schema import Shard, build_manifest
from bussynth.cohort.store import Tally, file_sha256, write_shards
from bussynth.errors import DataError, UsageError
from bussynth.images import decode_image, encode_png
from bussynth.package.audit_gate import AuditReport, check_gate, check_kind, read_audit
from bussynth.package.card import license_text, render_card, render_statement
from bussynth.package.croissant import croissant_metadata
from bussynth.package.dp_gate import FormalRelease, check_dp_gate
from bussynth.package.export_config import ExportConfig
from bussynth.package.guarantee import Guarantee
from bussynth.package.info import PackageInfo
from bussynth.package.keys import PublicKey, load_private_key
from bussynth.package.manifest import (
    AUDIT_FILE,
    CLAIM,
    ENVELOPE,
    FORMAL_CLAIM,
    STATEMENT_FILE,
    STATEMENT_WORDS_FILE,
    FileEntry,
    Manifest,
)
from bussynth.package.marking import DERIVED_SOURCE_TYPE, DIGITAL_SOURCE_TYPE, mark_png
from bussynth.package.review_gate import check_review_gate
from bussynth.package.signature import sign_payload
from bussynth.package.verify import verify_package
from bussynth.progress import SILENT, Progress
from bussynth.record import field

__all__ = ["ExportPlan", "check_export", "export_package"]

_MAX_SHARD_BYTES = 256 * 2**20
_MAX_SHARD_ROWS = 65_536
# A PNG of noise is as large as its pixels; chunk framing, the mark and the other columns
# add no more than this to a row.
_ROW_OVERHEAD = 4096
_ENDS_THE_CLAIM = (
    "The record of this cohort claims formal-dp. The package does not: it publishes figures of an "
    "audit, which no ledger counts, and with them the guarantee ends for everything of these "
    "patients that is released. To keep it, export with --claim formal-dp and without an audit."
)


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """An export of which everything has been checked but the images themselves.

    Attributes:
        cohort: The cohort, synthetic or derived from real images.
        evidence: What lets it pass: its audit, or its privacy statement.
        config: What to call it.
        key_id: Id of the signing key.
        out: The folder to make.
        created_at: UTC time for the manifest.
    """

    cohort: Cohort
    evidence: AuditReport | FormalRelease
    config: ExportConfig
    key_id: str
    out: Path
    created_at: str

    @property
    def rows_per_shard(self) -> int:
        """Rows a shard, such that no shard exceeds 256 MiB whatever the images hold."""
        height, width = self.cohort.image_size
        planes = 2 if self.cohort.has_masks else 1
        row = planes * (height * (width + 16) + _ROW_OVERHEAD)
        return max(1, min(_MAX_SHARD_ROWS, _MAX_SHARD_BYTES // row))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the publisher should know before anything is written."""
        if isinstance(self.evidence, FormalRelease):
            return self.evidence.notes
        if field(self.cohort.provenance, "privacy", "claim") == FORMAL_CLAIM:
            return (_ENDS_THE_CLAIM,)
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``--dry-run --json``."""
        evidence = self.evidence
        if isinstance(evidence, FormalRelease):
            statement = evidence.statement
            privacy: dict[str, Any] = {"epsilon": statement.epsilon, "delta": statement.delta}
        else:
            privacy = {"verdict": evidence.verdict}
        return {
            "cohort": str(self.cohort.path),
            "images": len(self.cohort),
            **privacy,
            "key_id": self.key_id,
            "out": str(self.out),
            "config": self.config.to_dict(),
        }


def check_export(
    synthetic: str | os.PathLike[str],
    audit: str | os.PathLike[str] | None,
    key: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    config: ExportConfig,
    ledger: str | os.PathLike[str] | None = None,
    require_review: str | os.PathLike[str] | None = None,
    force: bool = False,
    passphrase: str | None = None,
) -> ExportPlan:
    """Check everything an export needs, except reading the images.

    Args:
        synthetic: See :func:`export_package`.
        audit: See :func:`export_package`.
        key: See :func:`export_package`.
        out: See :func:`export_package`.
        config: See :func:`export_package`.
        ledger: See :func:`export_package`.
        require_review: See :func:`export_package`.
        force: See :func:`export_package`.
        passphrase: See :func:`export_package`.

    Raises:
        UsageError: The key or the output place is wrong, or the arguments do not belong to the
            claim.
        DataError: The cohort is not synthetic, or derived from real images and that was not
            declared, or cannot be read; or the claim ``formal-dp`` does not cover it.
        AuditGateError: The audit, or the review that is required, forbids the export.
        IntegrityError: For the claim ``formal-dp``: a shard is missing or damaged.
    """
    inputs = _Inputs(Path(synthetic), _path(audit), _path(ledger), _path(require_review))
    return _prepare(inputs, Path(key), Path(out), config, force, passphrase)[0]


def export_package(
    synthetic: str | os.PathLike[str],
    audit: str | os.PathLike[str] | None,
    key: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    config: ExportConfig,
    ledger: str | os.PathLike[str] | None = None,
    require_review: str | os.PathLike[str] | None = None,
    force: bool = False,
    passphrase: str | None = None,
    progress: Progress = SILENT,
) -> PackageInfo:
    """Write a synthetic cohort as a signed package with one of two privacy claims.

    Args:
        synthetic: Folder of the synthetic cohort.
        audit: Folder that ``bussynth audit`` wrote for exactly this cohort; None for the claim
            ``formal-dp``, with which figures of an audit must not leave.
        key: Private key of the publisher, made by ``bussynth keygen``.
        out: Folder to make; it appears whole or not at all.
        config: Claim, name, version, licence and description.
        ledger: For the claim ``formal-dp``: folder of the real cohort, to compare the statement
            with its ledger. The package then states what the ledger states now.
        require_review: Folder of the real cohort that the images were learned from: refuse unless
            a person looked at all of it and approved it
            (:mod:`bussynth.package.review_gate`).
        force: Replace an earlier output of bussynth.
        passphrase: Of the private key, if it is encrypted.
        progress: Where to report images done.

    Returns:
        The package, verified with the public half of ``key``.

    Raises:
        UsageError: The key or the output place is wrong, or the arguments do not belong to the
            claim.
        DataError: The cohort is not synthetic, or derived from real images and that was not
            declared, or holds what no synthetic cohort may hold; or the claim ``formal-dp`` does
            not cover it, for reasons that are all listed.
        AuditGateError: The audit is missing, of another cohort, failed, or is inconclusive
            and that was not accepted; or derived images were not audited against their sources;
            or the review that is required is missing, or of another cohort.
        IntegrityError: The cohort was changed since it was written.
    """
    inputs = _Inputs(Path(synthetic), _path(audit), _path(ledger), _path(require_review))
    plan, private = _prepare(inputs, Path(key), Path(out), config, force, passphrase)
    plan.cohort.verify()
    with atomic.new_directory(plan.out, force=force, markers=(ENVELOPE,)) as staging:
        manifest = _write(plan, staging, progress)
        envelope = sign_payload(manifest.to_statement(), private)
        # Last, so that a folder without it is never taken for a package.
        (staging / ENVELOPE).write_bytes(envelope)
        public = PublicKey(private.public_key().public_bytes_raw())
        info = verify_package(staging, public)
    return replace(info, path=plan.out)


@dataclass(frozen=True)
class _Inputs:
    """The folders that an export reads."""

    synthetic: Path
    audit: Path | None
    ledger: Path | None
    reviewed: Path | None

    def named(self) -> Iterator[tuple[Path, str]]:
        yield self.synthetic, "cohort"
        if self.audit is not None:
            yield self.audit, "audit"
        if self.ledger is not None:
            yield self.ledger, "real cohort"
        if self.reviewed is not None:
            yield self.reviewed, "reviewed cohort"


def _path(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)


def _prepare(
    inputs: _Inputs,
    key: Path,
    out: Path,
    config: ExportConfig,
    force: bool,
    passphrase: str | None,
) -> tuple[ExportPlan, Ed25519PrivateKey]:
    private = load_private_key(key, passphrase=passphrase)
    atomic.check_output(out, force=force, markers=(ENVELOPE,))
    config = replace(config, name=config.name or out.absolute().name)
    inside = out.absolute().resolve()
    for source, what in inputs.named():
        resolved = source.resolve()
        if inside == resolved or inside in resolved.parents or resolved in inside.parents:
            raise UsageError(f"{out} overlaps the folder of the {what}; choose another place.")
    cohort = Cohort.open(inputs.synthetic)
    evidence: AuditReport | FormalRelease
    if config.claim == FORMAL_CLAIM:
        evidence = check_dp_gate(cohort, config, audit=inputs.audit, ledger=inputs.ledger)
    else:
        config, evidence = _check_audited(cohort, config, inputs)
    if inputs.reviewed is not None:
        audited = None if isinstance(evidence, FormalRelease) else evidence.train_digest
        check_review_gate(inputs.reviewed, cohort, audited=audited, ledger=inputs.ledger)
    plan = ExportPlan(
        cohort=cohort,
        evidence=evidence,
        config=config,
        key_id=PublicKey(private.public_key().public_bytes_raw()).key_id,
        out=out,
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    return plan, private


def _check_audited(
    cohort: Cohort, config: ExportConfig, inputs: _Inputs
) -> tuple[ExportConfig, AuditReport]:
    if inputs.ledger is not None:
        raise UsageError(
            f"--ledger: the claim {CLAIM} states no epsilon to compare with a ledger; leave it "
            f"out, or export with --claim {FORMAL_CLAIM}."
        )
    if inputs.audit is None:
        raise UsageError(
            f"The claim {CLAIM} needs the audit of this cohort: run `bussynth audit` and give its "
            "folder with --audit. Images of a private model, or of `bussynth evolve`, may leave "
            f"without one: --claim {FORMAL_CLAIM}."
        )
    config = check_kind(cohort, config)
    report = read_audit(inputs.audit)
    check_gate(
        report,
        cohort_digest=cohort.digest,
        images=len(cohort),
        accept_inconclusive=config.accept_inconclusive,
        source_digest=None if cohort.derived is None else str(cohort.derived.get("source")),
    )
    return config, report


def _write(plan: ExportPlan, staging: Path, progress: Progress) -> Manifest:
    """Write every file but the envelope and return the manifest that lists them."""
    cohort, config = plan.cohort, plan.config
    tallies: dict[str, Counter[str]] = {column: Counter() for column in cohort.vocabulary}
    boxes = 0

    def counted() -> Iterator[Row]:
        nonlocal boxes
        with progress.task("Exporting", len(cohort)) as task:
            for number, source in enumerate(cohort):
                row = _rebuilt(source, number, cohort)
                boxes += row.lesion_box is not None
                for column, value in row.conditions.items():
                    tallies[column][value or "unknown"] += 1
                yield row
                task.advance()

    shards, tally = write_shards(
        staging,
        counted(),
        folder="data",
        vocabulary=cohort.vocabulary,
        image_size=cohort.image_size,
        patients=False,
        masks=cohort.has_masks,
        rows_per_shard=plan.rows_per_shard,
    )
    _write_cohort(plan, staging, _renamed(staging, shards), tally)
    publisher = config.publisher or f"the holder of key {plan.key_id[:16]}"
    height, width = cohort.image_size
    facts: dict[str, Any] = {
        "name": config.name or "",
        "version": config.version,
        "license": config.license,
        "description": config.description,
        "url": config.url,
        "publisher": publisher,
        "created_at": plan.created_at,
        "tool_version": __version__,
        "images": tally.images,
        "height": height,
        "width": width,
        "conditions": {key: dict(sorted(words.items())) for key, words in tallies.items()},
        "boxes": f"for {boxes} of {tally.images} images",
        "masks": "yes" if cohort.has_masks else "no",
        "derived": config.declare_derived,
        "key_id": plan.key_id,
    }
    (staging / "reports").mkdir()
    claimed, about = _write_evidence(plan, staging, facts)
    facts |= about
    _write_text(staging / "LICENSE.txt", license_text(config.license, publisher))
    _write_text(staging / "README.md", render_card(facts))
    papers = croissant_metadata(facts, _entries(staging), masks=cohort.has_masks)
    _write_json(staging / "croissant.json", papers)
    files = _entries(staging)
    return Manifest(
        name=config.name or "",
        version=config.version,
        license=config.license,
        description=config.description,
        created_at=plan.created_at,
        tool_version=__version__,
        images=tally.images,
        conditions=facts["conditions"],
        claim=config.claim,
        files=files,
        **claimed,
    )


def _write_evidence(
    plan: ExportPlan, staging: Path, facts: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write what the claim rests on; returns fields of the manifest, and facts for the papers."""
    evidence = plan.evidence
    if isinstance(evidence, FormalRelease):
        statement = evidence.statement
        _write_json(staging / STATEMENT_FILE, statement.content)
        guarantee = Guarantee(
            epsilon=statement.epsilon,
            delta=statement.delta,
            unit=statement.unit,
            adjacency=statement.adjacency,
            statement_sha256=file_sha256(staging / STATEMENT_FILE),
            ledger_checked=evidence.ledger_checked,
        )
        about = {"guarantee": guarantee, "statement": statement}
        _write_text(staging / STATEMENT_WORDS_FILE, render_statement({**facts, **about}))
        return {"guarantee": guarantee}, about
    derived = plan.config.declare_derived
    declared = {} if derived is None else {"derived_from_real": derived}
    _write_json(staging / AUDIT_FILE, evidence.to_package() | declared)
    accepted = evidence.verdict == "INCONCLUSIVE"
    fields = {
        "verdict": evidence.verdict,
        "reasons": evidence.reasons,
        "accepted_inconclusive": accepted,
    }
    sealed = {"audit_sha256": file_sha256(staging / AUDIT_FILE), "derived": derived}
    return fields | sealed, fields | {"aggregate": evidence.aggregate}


def _rebuilt(source: Row, number: int, cohort: Cohort) -> Row:
    """Make a row from what is allowed to leave: pixels, known conditions, box and mask."""
    derived = cohort.derived is not None
    if not derived and (source.patient is not None or source.split is not None):
        raise DataError(f"Row {number + 1} has a patient or a split; the cohort is not synthetic.")
    height, width = cohort.image_size
    what, limit = f"image {number + 1} of {len(cohort)}", height * width
    mark = DERIVED_SOURCE_TYPE if derived else DIGITAL_SOURCE_TYPE
    png = mark_png(encode_png(decode_image(source.png, what=what, max_pixels=limit)), mark)
    mask = None
    if cohort.has_masks and source.mask_png is not None:
        pixels = decode_image(source.mask_png, what=f"mask of {what}", max_pixels=limit)
        mask = mark_png(encode_png(pixels), mark)
    return Row(
        id=f"s{number:07d}",
        png=png,
        conditions={column: source.conditions.get(column) for column in cohort.vocabulary},
        lesion_box=source.lesion_box,
        mask_png=mask,
    )


def _renamed(staging: Path, shards: list[Shard]) -> list[Shard]:
    """Name the shards as dataset hubs expect it: split, number and how many there are."""
    renamed = []
    for number, shard in enumerate(shards):
        path = f"data/train-{number:05d}-of-{len(shards):05d}.parquet"
        (staging / shard.path).rename(staging / path)
        renamed.append(replace(shard, path=path))
    return renamed


def _write_cohort(plan: ExportPlan, staging: Path, shards: list[Shard], tally: Tally) -> None:
    """Write ``cohort.json``, so that every verb takes the package for the cohort it is."""
    cohort = plan.cohort
    provenance: dict[str, Any] = {"bussynth": __version__, "package": plan.config.name}
    if plan.config.declare_derived is not None:
        provenance["derived"] = {"by": "export", "declaration": plan.config.declare_derived}
    manifest = build_manifest(
        kind="synthetic",
        image_size=cohort.image_size,
        vocabulary=cohort.vocabulary,
        masks=cohort.has_masks,
        counts=tally.to_dict(),
        shards=shards,
        split=None,
        provenance=provenance,
    )
    _write_json(staging / "cohort.json", manifest)


def _entries(staging: Path) -> dict[str, FileEntry]:
    return {
        file.relative_to(staging).as_posix(): FileEntry(file_sha256(file), file.stat().st_size)
        for file in sorted(staging.rglob("*"))
        if file.is_file()
    }


def _write_json(path: Path, value: Any) -> None:
    _write_text(path, atomic.canonical_json(value, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    # The staging folder is synced as a whole, so a plain write is enough here.
    path.write_bytes(text.encode())
