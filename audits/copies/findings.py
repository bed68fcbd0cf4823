"""The copy test: what the calibrated thresholds flag, and whether chance explains it.

Every channel (:mod:`audits.copies.channel`) is calibrated (:mod:`audits.copies.thresholds`) and
counted by itself; the worst decides. Two routes lead to a finding, and
together they err with probability at most alpha where nothing was copied:

* **Beyond doubt.** A hit so near that chance does not come as near to any patient in as many
  images, channels and columns, by the extrapolated tail of the control images. One copied image
  suffices.
* **Excess.** More train patients among the patients hit than the lottery explains. It needs no
  model of distances, but several patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import comb

import numpy as np
import numpy.typing as npt

from audits.copies.channel import CopyScores, confirmed
from audits.copies.thresholds import Thresholds, calibrate
from audits.images import Patients
from audits.settings import CLEAR_SHARE, AuditSettings

__all__ = [
    "ChannelCopies",
    "CopyFindings",
    "Thresholds",
    "admitted",
    "calibrate",
    "combine",
    "count_copies",
    "examine",
    "excess_probability",
]

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CopyFindings:
    """Confirmed copies among the synthetic images, of one channel or of all together.

    Attributes:
        n_images: Synthetic images.
        train_images: Those confirmed as copies of a train image.
        train_patients: Distinct train patients copied.
        control_images: Those that meet the criterion for a control image: false alarms.
        control_patients: Distinct control patients concerned.
        excess_p: Probability of at least that many train patients if hits fell at random.
        beyond_doubt: Whether some hit needs no comparison with chance: it is nearer than sound
            images come, however many are looked at.
        control_beyond_doubt: Whether a hit on a control patient, who cannot have been copied, is
            as near, so that nearness proves nothing here.
    """

    n_images: int
    train_images: int
    train_patients: int
    control_images: int
    control_patients: int
    excess_p: float
    beyond_doubt: bool = True
    control_beyond_doubt: bool = True

    def above_control(self, alpha: float) -> bool:
        """Whether the copies of train images exceed what false alarms explain.

        Args:
            alpha: Level of the comparison with false alarms.

        Returns:
            True for any copy beyond doubt unless control patients are hit as clearly; else when
            the excess is significant. The smallest ratio of a few control images is no bound for
            many synthetic images, so a hit just below a threshold drawn from it proves nothing.
        """
        return bool(self.train_images) and (self.certain or self.excess_p <= alpha)

    @property
    def certain(self) -> bool:
        """Whether a copy is beyond doubt and no control patient is hit as clearly."""
        spoilt = bool(self.control_images) and self.control_beyond_doubt
        return bool(self.train_images) and self.beyond_doubt and not spoilt


@dataclass(frozen=True, eq=False)
class ChannelCopies:
    """What one channel found, for the findings over all channels and for the site's own eyes.

    Attributes:
        name: The channel.
        columns: What its columns stand for.
        thresholds: Calibrated thresholds.
        findings: Its counts.
        scores: Its scores of the synthetic images.
        of_train: bool (m, columns), hits on train patients.
        of_control: bool (m, columns), hits on control patients.
        admitted: Whether its positive controls passed on these data, so that what it finds counts
            as demonstrated recall. Its hits count in any case: control images keep it specific.
        reasons: Why not, one sentence each.
    """

    name: str
    columns: tuple[str, ...]
    thresholds: Thresholds
    findings: CopyFindings
    scores: CopyScores
    of_train: Flags = field(repr=False)
    of_control: Flags = field(repr=False)
    admitted: bool = True
    reasons: tuple[str, ...] = ()

    @property
    def column(self) -> Numbers:
        """First column in which an image is a copy of a train image, -1 where none; int64 (m,)."""
        return np.where(self.of_train.any(axis=1), self.of_train.argmax(axis=1), -1)


def excess_probability(patients: Patients, train: Numbers, control: Numbers) -> float:
    """Probability of at least as many train patients among the patients hit, under the lottery.

    In each stratum the number is hypergeometric; the strata are independent.

    Args:
        patients: The numbering.
        train: Distinct train patients hit.
        control: Distinct control patients hit.

    Returns:
        The p-value, in (0, 1]; 1 when nobody is hit.
    """
    hit = np.r_[train, control].astype(np.int64)
    mass = np.ones(1)
    for cell in np.unique(patients.stratum[hit]):
        inside = patients.stratum == cell
        total, members = int(inside.sum()), int(patients.member[inside].sum())
        drawn = int((patients.stratum[hit] == cell).sum())
        ways = [comb(members, k) * comb(total - members, drawn - k) for k in range(drawn + 1)]
        mass = np.convolve(mass, [way / comb(total, drawn) for way in ways])
    return float(min(1.0, mass[len(train) :].sum()))


def _hits(
    scores: CopyScores, patients: Patients, thresholds: Thresholds, settings: AuditSettings
) -> tuple[Flags, Flags]:
    """Hits on train and on control patients, (m, columns)."""
    flagged = confirmed(scores, thresholds.ratios, settings.copy_distance)
    known = scores.patient >= 0
    member = np.zeros(scores.patient.shape, np.bool_)
    member[known] = patients.member[scores.patient[known]]
    return flagged & member, flagged & known & ~member


def _clear(
    scores: CopyScores,
    hits: Flags,
    thresholds: Thresholds,
    settings: AuditSettings,
    comparisons: int,
    *,
    shown: bool,
) -> bool:
    """Whether some hit is nearer than chance brings any of so many ratios.

    Where control images are too few to say what chance does, the rule of one third decides, and
    only in a channel that was shown to work.
    """
    level = CLEAR_SHARE * settings.alpha / max(1, comparisons)
    for row, column in np.argwhere(hits):
        ratio = float(scores.ratio[row, column])
        chance = thresholds.chance_below(ratio, int(column))
        if chance is None:
            if shown and ratio <= settings.duplicate_ratio:
                return True
        elif chance <= level:
            return True
    return False


def examine(
    name: str,
    columns: tuple[str, ...],
    scores: CopyScores,
    patients: Patients,
    thresholds: Thresholds,
    settings: AuditSettings,
    *,
    channels: int = 1,
    verdict: tuple[bool, tuple[str, ...]] = (True, ()),
) -> ChannelCopies:
    """Count confirmed copies of train images in one channel, and false alarms on control images.

    Args:
        name: The channel.
        columns: What its columns stand for.
        scores: Its scores of the synthetic images among all real images.
        patients: The numbering.
        thresholds: Its calibrated thresholds.
        settings: The audit's settings.
        channels: Channels looked at in all; a hit beyond doubt must be so among all of them.
        verdict: Result of :func:`admitted`.

    Returns:
        Counts and hits.
    """
    of_train, of_control = _hits(scores, patients, thresholds, settings)
    train, control = np.unique(scores.patient[of_train]), np.unique(scores.patient[of_control])
    comparisons = scores.ratio.size * max(1, channels)
    findings = CopyFindings(
        len(scores),
        int(of_train.any(axis=1).sum()),
        len(train),
        int((of_control.any(axis=1) & ~of_train.any(axis=1)).sum()),
        len(control),
        excess_probability(patients, train, control),
        _clear(scores, of_train, thresholds, settings, comparisons, shown=verdict[0]),
        _clear(scores, of_control, thresholds, settings, comparisons, shown=verdict[0]),
    )
    return ChannelCopies(
        name, columns, thresholds, findings, scores, of_train, of_control, *verdict
    )


def count_copies(
    scores: CopyScores, patients: Patients, thresholds: Thresholds, settings: AuditSettings
) -> tuple[CopyFindings, Numbers]:
    """Count the copies of a single channel (see :func:`examine`).

    Args:
        scores: Copy scores of the synthetic images among all real images.
        patients: The numbering.
        thresholds: Calibrated thresholds.
        settings: The audit's settings.

    Returns:
        The counts, and for each synthetic image the column in which it was confirmed as a copy of
        a train image, -1 if not.
    """
    found = examine("", (), scores, patients, thresholds, settings)
    return found.findings, found.column


def admitted(lower_bounds: Mapping[str, float], min_recall: float) -> tuple[bool, tuple[str, ...]]:
    """Whether a channel may decide: its positive controls pass on these data.

    Args:
        lower_bounds: Demonstrated recall (one-sided lower bound) of each class of light copies
            that is required of the channel.
        min_recall: Recall each must reach.

    Returns:
        The answer, and one sentence for each class that falls short.
    """
    if not lower_bounds:
        return False, ("No copies could be planted, so nothing shows that the channel finds any.",)
    reasons = tuple(
        f"Planted copies '{name}': a recall of {bound:.3f} is demonstrated; {min_recall:g} is "
        "required."
        for name, bound in lower_bounds.items()
        if bound < min_recall
    )
    return not reasons, reasons


def combine(channels: Sequence[ChannelCopies], patients: Patients, n_images: int) -> CopyFindings:
    """The findings of all channels together; the worst decides.

    An image and a patient count once, however many channels flag them; an image that copies a
    train patient in one channel is no false alarm in another. The p-value is Bonferroni's over the
    channels, with the share of alpha that hits beyond doubt leave. A hit on a control patient as
    clear as those on train, in whatever channel, spoils them all.

    Args:
        channels: What each channel found.
        patients: The numbering.
        n_images: Synthetic images.

    Returns:
        Counts for the verdict; without a channel nothing is found.
    """
    on_train, on_control = np.zeros(n_images, np.bool_), np.zeros(n_images, np.bool_)
    hit = np.zeros(len(patients.member), np.bool_)
    p_value = 1.0
    for channel in channels:
        on_train |= channel.of_train.any(axis=1)
        on_control |= channel.of_control.any(axis=1)
        hit[channel.scores.patient[channel.of_train | channel.of_control]] = True
        p_value = min(p_value, channel.findings.excess_p)
    found = [channel.findings for channel in channels]
    return CopyFindings(
        n_images,
        int(on_train.sum()),
        int((hit & patients.member).sum()),
        int((on_control & ~on_train).sum()),
        int((hit & ~patients.member).sum()),
        min(1.0, max(1, len(channels)) * p_value / (1.0 - CLEAR_SHARE)),
        any(each.train_images and each.beyond_doubt for each in found),
        any(each.control_patients and each.control_beyond_doubt for each in found),
    )
