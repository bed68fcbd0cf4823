"""The copy test: thresholds calibrated on control images, and what they flag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.copies.framings import SCALES, CopyScores, confirmed
from audits.images import Patients
from audits.settings import AuditSettings
from audits.statistics.intervals import Interval, clopper_pearson

__all__ = ["CopyFindings", "Thresholds", "calibrate", "count_copies"]


@dataclass(frozen=True)
class Thresholds:
    """Ratios below which an image is a copy, one for each scale.

    Attributes:
        ratios: Largest ratio at each scale of :data:`audits.copies.framings.SCALES`.
        tightened: Whether control images made them stricter than declared.
        control_images: Control images used, near-duplicates left out.
        control_fired: Those the declared threshold would have flagged.
        control_rate: Exact interval on that false-positive rate.
        smallest: Smallest control ratio at each scale, 1 without control images.
    """

    ratios: tuple[float, ...]
    tightened: bool
    control_images: int
    control_fired: int
    control_rate: Interval
    smallest: tuple[float, ...]


@dataclass(frozen=True)
class CopyFindings:
    """Confirmed copies among the synthetic images.

    Attributes:
        n_images: Synthetic images.
        train_images: Those confirmed as copies of a train image.
        train_patients: Distinct train patients copied.
        control_images: Those that meet the criterion for a control image: false alarms.
        control_patients: Distinct control patients concerned.
        excess_p: Probability of at least that many train patients if hits fell at random.
        beyond_doubt: Whether the hits need no comparison with chance: the declared threshold
            held, or some hit has a ratio of a near-duplicate.
    """

    n_images: int
    train_images: int
    train_patients: int
    control_images: int
    control_patients: int
    excess_p: float
    beyond_doubt: bool = True

    def above_control(self, alpha: float) -> bool:
        """Whether the copies of train images exceed what false alarms explain.

        Args:
            alpha: Level of the comparison with false alarms.

        Returns:
            True for any copy beyond doubt when control patients are never hit; else when the
            excess is significant. The smallest ratio of a few control images is no bound for many
            synthetic images, so a hit just below a threshold drawn from it proves nothing.
        """
        if not self.train_images:
            return False
        return (self.beyond_doubt and not self.control_images) or self.excess_p <= alpha


def calibrate(
    control: CopyScores, duplicated: npt.NDArray[np.bool_], settings: AuditSettings
) -> Thresholds:
    """Make the declared threshold stricter until no control image comes near it.

    Control images pose as synthetic against the same real images, their own patient left out,
    so sizes match: a threshold from a smaller reference would flag sound images.

    Args:
        control: Copy scores of the control images.
        duplicated: bool (m,), control images that are near-duplicates of another patient's.
        settings: The audit's settings.

    Returns:
        The thresholds.
    """
    kept = control.take(~duplicated)
    near = np.where(kept.distance <= settings.copy_distance, kept.ratio, 1.0)
    smallest = near.min(axis=0, initial=1.0)
    ratios = np.minimum(settings.copy_ratio, settings.control_margin * smallest)
    fired = int(
        confirmed(kept, (settings.copy_ratio,) * len(SCALES), settings.copy_distance)
        .any(axis=1)
        .sum()
    )
    return Thresholds(
        tuple(float(r) for r in ratios),
        bool((ratios < settings.copy_ratio).any()),
        len(kept),
        fired,
        clopper_pearson(fired, len(kept), settings.confidence),
        tuple(float(s) for s in smallest),
    )


def count_copies(
    scores: CopyScores, patients: Patients, thresholds: Thresholds, settings: AuditSettings
) -> tuple[CopyFindings, npt.NDArray[np.int64]]:
    """Count confirmed copies of train images, and false alarms on control images.

    Args:
        scores: Copy scores of the synthetic images among all real images.
        patients: The numbering.
        thresholds: Calibrated thresholds.
        settings: The audit's settings.

    Returns:
        The counts, and for each synthetic image the scale at which it was confirmed as a copy of
        a train image, -1 if not.
    """
    from scipy.stats import hypergeom

    flagged = confirmed(scores, thresholds.ratios, settings.copy_distance)
    member = np.zeros(scores.patient.shape, np.bool_)
    known = scores.patient >= 0
    member[known] = patients.member[scores.patient[known]]
    of_train, of_control = flagged & member, flagged & known & ~member
    hit_train = len(np.unique(scores.patient[of_train]))
    hit_control = len(np.unique(scores.patient[of_control]))
    excess = hypergeom.sf(
        hit_train - 1, len(patients.member), patients.n_members, hit_train + hit_control
    )
    findings = CopyFindings(
        len(scores),
        int(of_train.any(axis=1).sum()),
        hit_train,
        int((of_control.any(axis=1) & ~of_train.any(axis=1)).sum()),
        hit_control,
        float(excess),
        not thresholds.tightened
        or bool((scores.ratio[of_train] <= settings.duplicate_ratio).any()),
    )
    return findings, np.where(of_train.any(axis=1), of_train.argmax(axis=1), -1)
