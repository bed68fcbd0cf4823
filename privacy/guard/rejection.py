"""Rejection of samples that come closer to a training image than control images do.

Control images come from other patients of the same draw, so however near they come to training
images, they come by chance. A sample is rejected when, in any channel, it is nearer than almost
any control image, by one of two numbers:

* the **distance** to the nearest training image. It alone sees a copy of a picture that is filed
  under several patients;
* the **ratio** of that distance to the distance of the next patient. Softness and framing change
  both distances alike, so it sees copies through changes that would hide them from the first.

**Threshold.** Each of the numbers gets an equal part of ``alpha``. Of m control values the
threshold is the k-th smallest, k = floor(part (m + 1)), so that an image that is exchangeable with
control images falls below it with a probability of at most k / (m + 1). With too few control
images for that, k = 1: nearer than every control image; more is then rejected than ``alpha`` says,
and ``describe`` states how much. Images of one control patient are not independent, so the rate is
nominal. A control image that itself looks like a copy (below a third of the median; rule of one
third) would set the threshold for all and is left out, which makes the guard stricter.

**What an audit after the guard means.** The audit of the released images asks whether what is left
leaks, and is needed as before; run it against the same train and control images.

* The guard removes images near training patients and none near control patients. Contrast,
  disclosure and membership compare just these, so after the guard they lean towards "no leak":
  an excess they find is real, and its absence says less than without a guard.
* The same asymmetry is a trace. Where images resemble some control patients by chance but no
  training patient at all, the gap tells one from the other.
* Never filter by the very statistic that the audit judges by, and never set the guard's thresholds
  by trying until an audit passes: the audit's controls would then no longer say what chance does.
* How much is rejected beyond ``expected_rejections`` is evidence of memorisation. It stays on
  record. If it is much, train again: rejection treats the symptom.

A guard holds vectors of all training images. It is personal data and never leaves the site.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.guard.channels import Channel, pixel_channels
from privacy.guard.claim import NOTE, VOIDS
from privacy.guard.errors import GuardInputError
from privacy.guard.framings import FloatArray
from privacy.guard.neighbours import Reference

__all__ = ["RejectionGuard", "Threshold", "expected_share"]

Images = npt.NDArray[np.uint8]

_DUPLICATE = 1 / 3
_ROUNDING = 1e-9
"""Relative part taken off a threshold, so that rounding does not decide on a tie."""
_SMALLEST = 8


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Below which value a number of a channel rejects.

    Attributes:
        value: The threshold.
        rank: Which of the control values it is, from the smallest, k.
        controls: Control images it was taken from, m.
        duplicates: Control images left out because they look like copies themselves.
    """

    value: float
    rank: int
    controls: int
    duplicates: int

    @classmethod
    def of(cls, values: FloatArray, alpha: float) -> Threshold:
        """Threshold that an exchangeable image undercuts with a probability of about ``alpha``.

        Args:
            values: float64 ``(m,)``, of the control images, at least one.
            alpha: Probability.
        """
        kept = np.sort(values[values >= _DUPLICATE * np.median(values)])
        rank = _rank(len(kept), alpha)
        return cls(
            value=float(kept[rank - 1]) * (1 - _ROUNDING),
            rank=rank,
            controls=len(kept),
            duplicates=len(values) - len(kept),
        )

    @property
    def expected(self) -> float:
        """Largest probability with which an exchangeable image is rejected."""
        return self.rank / (self.controls + 1)


def expected_share(controls: int, alpha: float, size: tuple[int, int]) -> float:
    """What :attr:`RejectionGuard.expected` will be at least, told before anything is compared.

    Args:
        controls: Number of control images; those that look like copies do not count.
        alpha: Share of unrelated images that may be rejected.
        size: Height and width of the images, which the default channels depend on.
    """
    thresholds = 2 * len(pixel_channels(*size))
    return min(1.0, thresholds * _rank(controls, alpha / thresholds) / (controls + 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class RejectionGuard:
    """Decides which images stay far enough from all training images.

    Use :meth:`fit` to get one.

    Attributes:
        size: Height and width of the images.
        references: Training images in each channel. Personal data.
        thresholds: Of distance and ratio, by channel.
        alpha: Share of unrelated images that may be rejected.
        train_images: Number of training images.
    """

    size: tuple[int, int]
    references: tuple[Reference, ...]
    thresholds: tuple[tuple[Threshold, Threshold], ...]
    alpha: float
    train_images: int

    @classmethod
    def fit(
        cls,
        train: Images,
        control: Images,
        *,
        patients: Sequence[str] | None = None,
        alpha: float = 0.01,
        channels: Sequence[Channel] | None = None,
    ) -> RejectionGuard:
        """Learn from training and control images what is too near.

        Args:
            train: uint8 ``(n, H, W)``, images the generator learned from.
            control: uint8 ``(m, H, W)``, images of other patients of the same draw.
            patients: Patient of each training image; an own one for each image by default. Without
                them a patient with several alike images hides copies from the ratio, not from the
                distance.
            alpha: Share of unrelated images that may be rejected, over all channels together.
            channels: What to compare by; pixels at 16 and 32 cells by default
                (:func:`privacy.guard.channels.pixel_channels`).

        Returns:
            The guard, a function of the arguments alone.

        Raises:
            GuardInputError: Arrays, patients or settings cannot be used.
        """
        problems = [*_array_problems("train", train), *_array_problems("control", control)]
        if not problems and train.shape[1:] != control.shape[1:]:
            problems.append(
                f"train images are {train.shape[1]}x{train.shape[2]} pixels, "
                f"control images {control.shape[1]}x{control.shape[2]}; resize one of them"
            )
        if patients is not None and len(patients) != len(train):
            problems.append(f"{len(patients)} patients for {len(train)} train images")
        if not 0 < alpha < 1:
            problems.append(f"alpha={alpha!r}: must lie between 0 and 1")
        names = [channel.name for channel in channels or ()]
        if channels is not None and (not names or len(set(names)) != len(names)):
            problems.append("channels: name at least one, and each one differently")
        if problems:
            raise GuardInputError("A rejection guard cannot be made of these.", problems)
        height, width = train.shape[1:]
        numbers = np.arange(len(train))
        if patients is not None:
            numbers = np.unique(np.asarray(patients, dtype=str), return_inverse=True)[1]
        order = np.argsort(numbers, kind="stable")
        starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
        references = tuple(
            Reference(channel, channel.vectors(train[order]), starts)
            for channel in (pixel_channels(height, width) if channels is None else channels)
        )
        part = alpha / (2 * len(references))
        return cls(
            size=(height, width),
            references=references,
            thresholds=tuple(_thresholds(reference, control, part) for reference in references),
            alpha=alpha,
            train_images=len(train),
        )

    def accept(self, images: Images) -> npt.NDArray[np.bool_]:
        """Which images may be released.

        Args:
            images: uint8 ``(n, H, W)`` of the training images' size; n may be 0.

        Returns:
            bool ``(n,)``. Entry i depends on image i alone.

        Raises:
            GuardInputError: Images of another type or size.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.size:
            raise GuardInputError(
                f"This guard takes uint8 images (n, {self.size[0]}, {self.size[1]}), "
                f"not {images.dtype} {images.shape}."
            )
        accepted = np.ones(len(images), dtype=np.bool_)
        for reference, (distance, ratio) in zip(self.references, self.thresholds, strict=True):
            # What one channel rejected need not be searched in the next.
            rows = np.flatnonzero(accepted)
            found = reference.nearness(images[rows])
            accepted[rows] = (found.distance >= distance.value) & (found.ratio >= ratio.value)
        return accepted

    @cached_property
    def digest(self) -> str:
        """``"sha256:..."`` of all that decides: training vectors, patients and thresholds."""
        digest = hashlib.sha256(repr((self.size, self.thresholds)).encode())
        for reference in self.references:
            digest.update(reference.channel.name.encode())
            digest.update(reference.vectors.tobytes())
            digest.update(reference.starts.tobytes())
        return f"sha256:{digest.hexdigest()}"

    def describe(self) -> dict[str, Any]:
        """What a record says of the guard, as JSON types.

        Thresholds are rounded to two digits: they are distances of single control images. The
        record is for the site; a package needs no more than the counts.
        """
        return {
            "kind": "rejection",
            "voids": VOIDS,
            "note": NOTE,
            "alpha": self.alpha,
            "train_images": self.train_images,
            "train_patients": len(self.references[0].starts),
            "expected_rejections": round(self.expected, 4),
            "channels": [
                {
                    "name": reference.channel.name,
                    **{
                        statistic: {
                            "threshold": round(threshold.value, 2),
                            "rank": threshold.rank,
                            "controls": threshold.controls,
                            "duplicates": threshold.duplicates,
                        }
                        for statistic, threshold in zip(("distance", "ratio"), pair, strict=True)
                    },
                }
                for reference, pair in zip(self.references, self.thresholds, strict=True)
            ],
        }

    @property
    def expected(self) -> float:
        """Share of images like control images that is rejected at most.

        The sum over all thresholds. It exceeds ``alpha`` where there are too few control images.
        """
        return min(1.0, sum(threshold.expected for pair in self.thresholds for threshold in pair))


def _rank(controls: int, alpha: float) -> int:
    # The epsilon: 0.01 * 100 is less than 1 in floating point.
    return max(1, int(alpha * (controls + 1) + 1e-9))


def _thresholds(reference: Reference, control: Images, alpha: float) -> tuple[Threshold, Threshold]:
    found = reference.nearness(control)
    return Threshold.of(found.distance, alpha), Threshold.of(found.ratio, alpha)


def _array_problems(name: str, images: Images) -> list[str]:
    if images.dtype != np.uint8 or images.ndim != 3:
        return [f"{name}: expected uint8 images (n, H, W), got {images.dtype} {images.shape}"]
    if len(images) == 0:
        return [f"{name}: there are no images"]
    if min(images.shape[1:]) < _SMALLEST:
        return [f"{name}: images must be at least {_SMALLEST} pixels a side"]
    return []
