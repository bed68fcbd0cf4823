"""The gate of the human check: nothing leaves unless somebody looked at the patients' images.

Which cohort the synthetic images were learned from is recorded by its digest, and a split changes
that digest. So the cohort must be given as it is now, split: its review names the images and not
the split (:mod:`bussynth.review.folder`), so it holds as it was recorded before.

What links the reviewed cohort to the images is, with the claim ``empirically-audited``, the audit,
which names the training cohort it compared with (:mod:`bussynth.auditing` refuses images of a model
that says it learned from another one), and what the synthetic cohort itself says of its training.
With ``formal-dp`` no record may name the patients, so the link is the ledger that the statement is
compared with. Neither covers control patients from another cohort, nor what a base was trained on
before, and images made from a reviewed cohort (``restyle``) need a review of their own.
"""

from __future__ import annotations

from pathlib import Path

from bussynth.cohort.cohort import Cohort
from bussynth.errors import AuditGateError
from bussynth.record import digest
from bussynth.review.approval import check_review

__all__ = ["check_review_gate"]


def check_review_gate(
    reviewed: Path,
    made: Cohort,
    *,
    audited: str | None = None,
    ledger: Path | None = None,
) -> None:
    """Refuse to release images learned from a cohort that nobody approved.

    Args:
        reviewed: Folder of the real cohort.
        made: The cohort to be released.
        audited: Digest of the training cohort that the audit compared with, if there is an audit.
        ledger: Folder of the real cohort whose ledger the statement was compared with, if it was.

    Raises:
        AuditGateError: The review is missing, stale, incomplete or left rejected images in place;
            or no record says that the images were learned from this cohort. All is listed.
        DataError: ``reviewed`` holds no cohort, or cannot be read.
        IntegrityError: The cohort or its approval is damaged.
    """
    cohort = Cohort.open(reviewed)
    cohort.verify()
    state = check_review(reviewed)
    problems = [] if state.approved else [f"{state.state}: {state.sentence}"]
    if audited is None and ledger is None:
        problems.append(
            "nothing links the images to this cohort: the audit names no training cohort, or, with "
            "the claim formal-dp, --ledger does not give this cohort too"
        )
    found = [audited, digest(made.provenance.get("trained_on"))]
    found.append(None if ledger is None else Cohort.open(ledger).digest)
    if any(one not in (None, cohort.digest) for one in found):
        problems.append(
            "the images were learned from, or audited against, another cohort than this one, or "
            "before it was split anew"
        )
    if problems:
        raise AuditGateError(
            f"The export needs an approved review of {reviewed}, and of the cohort that the images "
            "were learned from: see `bussynth review`.",
            problems,
        )
