"""Sets of images in their role: synthetic, train (members) and control (non-members)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError

__all__ = ["ImageSet", "Patients", "check_roles", "number_patients"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Grey images of one role with the patient and the stratum of each.

    Attributes:
        images: uint8 array (n, H, W); n may be 0.
        patients: One key an image, or None when unknown (or synthetic). Keys are compared with
            each other and never shown.
        strata: One label an image: the cell within which the split was randomised, or None.
        attributes: What an attacker may want to infer, by name: one label an image, empty where
            unknown. For example pathology and device.
        boxes: float (n, 4), lesion boxes x0, y0, x1, y1 in pixels, NaN where there is none.
    """

    images: npt.NDArray[np.uint8]
    patients: Sequence[str] | None = None
    strata: Sequence[str] | None = None
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    boxes: npt.NDArray[np.floating] | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __repr__(self) -> str:
        """Counts only: a patient key must not reach a log."""
        known = "known" if self.patients is not None else "unknown"
        return f"ImageSet(images={self.images.shape}, patients={known})"


@dataclass(frozen=True, eq=False)
class Patients:
    """Train and control patients under one numbering.

    Attributes:
        of_image: int64 (n_train + n_control,), the patient number of each image, train first.
        member: bool (patients,), True for a train patient.
        stratum: int64 (patients,), the stratum number of each patient.
        known: False when keys were missing and every image stands for a patient of its own.
    """

    of_image: npt.NDArray[np.int64]
    member: npt.NDArray[np.bool_]
    stratum: npt.NDArray[np.int64]
    known: bool

    @property
    def n_members(self) -> int:
        """Number of train patients."""
        return int(self.member.sum())

    @property
    def n_controls(self) -> int:
        """Number of control patients."""
        return int((~self.member).sum())


def _problems_of(name: str, images: ImageSet) -> list[str]:
    problems = []
    pixels = images.images
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 3:
        return [f"{name}: expected a uint8 array (n, H, W)."]
    if pixels.dtype != np.uint8:
        problems.append(f"{name}: expected uint8 pixels. Got {pixels.dtype}.")
    if len(pixels) and min(pixels.shape[1:]) < 8:
        problems.append(
            f"{name}: images of {pixels.shape[1]}x{pixels.shape[2]} are smaller than 8x8."
        )
    for column, values in (("patients", images.patients), ("strata", images.strata)):
        if values is None:
            continue
        if len(values) != len(pixels):
            problems.append(f"{name}: {len(values)} {column} for {len(pixels)} images.")
        wrong = [i for i, v in enumerate(values) if not isinstance(v, str) or not v]
        problems += [
            f"{name}: row {i} of {column} is empty or not a string. Pass None for the whole "
            "column when it is unknown."
            for i in wrong
        ]
    for column, values in images.attributes.items():
        if len(values) != len(pixels):
            problems.append(f"{name}: {len(values)} values of {column} for {len(pixels)} images.")
    if images.boxes is not None and np.shape(images.boxes) != (len(pixels), 4):
        problems.append(f"{name}: expected boxes of shape ({len(pixels)}, 4).")
    return problems


def check_roles(synthetic: ImageSet, train: ImageSet, control: ImageSet) -> None:
    """Refuse sets that cannot be compared, naming every problem at once.

    Args:
        synthetic: The images to be released; they have no patients.
        train: Images the generator was trained on.
        control: Images of other patients, held out by the same coin-flip.

    Raises:
        AuditInputError: Wrong type or shape, sizes that differ between sets, a patient in both
            train and control, or patients on the synthetic set (roles swapped).
    """
    named = {"synthetic": synthetic, "train": train, "control": control}
    problems = [line for name, images in named.items() for line in _problems_of(name, images)]
    if not problems:
        sizes = {name: s.images.shape[1:] for name, s in named.items() if len(s)}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {h}x{w}" for name, (h, w) in sizes.items())
            problems.append(f"image sizes differ: {listed}. Resize all sets to one size.")
        if synthetic.patients is not None:
            problems.append(
                "synthetic: patients given, but synthetic images have none. Are roles swapped?"
            )
        if (train.patients is None) != (control.patients is None):
            problems.append("patients are given for only one of train and control.")
        if (train.strata is None) != (control.strata is None):
            problems.append("strata are given for only one of train and control.")
        shared = set(train.patients or ()) & set(control.patients or ())
        if shared:
            rows = [i for i, key in enumerate(control.patients or ()) if key in shared]
            problems.append(
                f"{len(shared)} patients are in both train and control (control rows "
                f"{', '.join(map(str, rows[:10]))}{', …' if len(rows) > 10 else ''}). "
                "Split by patient."
            )
    if problems:
        raise AuditInputError("These sets cannot be audited.", problems)


def number_patients(train: ImageSet, control: ImageSet) -> Patients:
    """Number the patients of train, then of control, in order of first appearance.

    A patient whose images carry several strata gets the combination as a stratum of its own, so
    that permuting within strata keeps the patient whole.

    Args:
        train: Member images.
        control: Control images; no patient shared with ``train``.

    Returns:
        The numbering; with unknown patients every image counts as one.
    """
    n = len(train) + len(control)
    known = train.patients is not None and control.patients is not None
    keys = [*(train.patients or ()), *(control.patients or ())] if known else None
    numbers: dict[str, int] = {}
    if keys is None:
        of_image = np.arange(n, dtype=np.int64)
    else:
        of_image = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    count = int(of_image.max()) + 1 if n else 0
    member = np.zeros(count, np.bool_)
    member[of_image[: len(train)]] = True
    labels: list[set[str]] = [set() for _ in range(count)]
    if train.strata is not None and control.strata is not None:
        for patient, label in zip(of_image, [*train.strata, *control.strata], strict=True):
            labels[patient].add(label)
    cells: dict[tuple[str, ...], int] = {}
    stratum = np.array([cells.setdefault(tuple(sorted(x)), len(cells)) for x in labels], np.int64)
    return Patients(of_image, member, stratum, known)
