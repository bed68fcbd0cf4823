"""The search for copies in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audits.copies.findings import ChannelCopies, CopyFindings
from audits.copies.guarantee import NearPairs, count_within
from audits.copies.identity import IdentityHit
from audits.images import Patients
from audits.outcome import Outcome, plain
from audits.settings import AuditSettings
from audits.statistics.intervals import clopper_pearson

__all__ = ["summarise_copies", "summarise_identity"]

Counts = Mapping[str, int]


def summarise_identity(
    to_train: tuple[IdentityHit, ...], to_control: tuple[IdentityHit, ...], n: Counts
) -> Outcome:
    """Count synthetic images equal to a real image."""
    identical = {hit.query for hit in (*to_train, *to_control)}
    total = n["synthetic"]
    return Outcome(
        name="identity",
        question="Does a synthetic image equal a real image, up to mirroring and quarter turns?",
        n=n,
        estimate=len(identical) / total if total else None,
        interval=None,
        p_value=None,
        fired=bool(identical),
        sentence=(
            f"{len(to_train)} of {total} synthetic images equal a training image and "
            f"{len(to_control)} equal a control image."
        ),
        details={
            "images": len(identical),
            "equal_to_train": len(to_train),
            "equal_to_control": len(to_control),
        },
    )


def summarise_copies(
    findings: CopyFindings,
    channels: Sequence[ChannelCopies],
    near: NearPairs,
    patients: Patients,
    n: Counts,
    settings: AuditSettings,
) -> Outcome:
    """State copies, false alarms and what lies within the radius of the exhaustive search."""
    k, total = findings.train_images, findings.n_images
    deciding = [channel.name for channel in channels if channel.admitted]
    train, control = count_within(near, patients)
    within_train, within_control = int((train > 0).sum()), int((control > 0).sum())
    return Outcome(
        name="copies",
        question="Is a synthetic image a near-copy of a train image?",
        n=n,
        estimate=k / total if total else None,
        interval=clopper_pearson(k, total, settings.confidence) if total else None,
        p_value=None,
        fired=findings.above_control(settings.alpha),
        sentence=(
            f"{k} of {total} synthetic images were flagged as near-copies of images of "
            f"{findings.train_patients} training patients, {findings.control_images} of images of "
            f"control patients. {len(deciding)} of {len(channels)} copy searches "
            "passed their positive controls. An exhaustive search found "
            f"{within_train} synthetic images within its radius of a training image "
            f"and {within_control} within it of a control image."
        ),
        details={
            **plain(findings),
            "deciding": deciding,
            "radius": near.radius,
            "within_radius_of_train": within_train,
            "within_radius_of_control": within_control,
        },
    )
