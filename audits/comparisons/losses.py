"""Membership scores from the model's own losses: the question when the model itself is released.

Whoever holds the model can ask how well it denoises a real image; it denoises images it was
trained on a little better. The caller computes losses, in the same way for train and control
images: the denoising loss at several noise levels, or the error after proximal initialisation
(PIA, Kong et al., ICLR 2024, arXiv:2305.18355). Here they become patient scores for
:func:`audits.comparisons.membership.membership`.

Images differ in difficulty far more than membership moves their loss. Given a measure of
difficulty, a smooth function of it, fitted to all images without their labels, is subtracted:
everything stays blind to who is in train, and the p-values stay exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.images import Patients

__all__ = ["loss_scores"]

_DEGREE = 3

Floats = npt.NDArray[np.float64]


def _standardised(values: Floats) -> Floats:
    spread = values.std()
    centred: Floats = values - values.mean()
    return (
        centred / spread if spread > 1e-12 * max(1.0, float(np.abs(values).max())) else 0 * values
    )


def _remainder(losses: Floats, difficulty: Mapping[str, Floats]) -> Floats:
    """What a cubic in the ranks of each difficulty leaves of the losses (least squares)."""
    columns = [np.ones(len(losses))]
    for values in difficulty.values():
        ordered = np.sort(values)
        low, high = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
        rank = (low + high) / len(values) - 1.0
        columns += [rank**power for power in range(1, _DEGREE + 1)]
    table = np.stack(columns, axis=1)
    left: Floats = losses - table @ np.linalg.lstsq(table, losses, rcond=None)[0]
    # What is left of a constant is rounding; it must not rank anybody.
    return np.where(np.abs(left) > 1e-9 * np.abs(losses).max(), left, 0.0)


def loss_scores(
    losses: Mapping[str, Floats],
    patients: Patients,
    *,
    difficulty: Mapping[str, Floats] | None = None,
) -> dict[str, Floats]:
    """Turn losses of images into scores of patients, large for small losses.

    Args:
        losses: By name (noise level), float64 (images,), train first, finite.
        patients: The numbering.
        difficulty: By name, float64 (images,), what makes an image hard to denoise, blind to
            labels: for example its local contrast.

    Returns:
        float64 (patients,): "loss NAME", minus the mean loss of the patient's images; "loss
        mean", the mean of the standardised losses, if there are several; and, with a difficulty,
        "calibrated loss NAME" and "calibrated loss mean".

    Raises:
        AuditInputError: A column of another length, or with a value that is not finite.
    """
    of_image = patients.of_image
    problems = [
        f"{kind} {name!r}: expected {len(of_image)} finite values."
        for kind, given in (("losses", losses), ("difficulty", difficulty or {}))
        for name, values in given.items()
        if np.shape(values) != (len(of_image),) or not np.isfinite(values).all()
    ]
    if problems:
        raise AuditInputError("The losses cannot be used.", problems)
    counts = np.maximum(np.bincount(of_image, minlength=len(patients.member)), 1)
    given = {name: np.asarray(values, np.float64) for name, values in losses.items()}
    families = {"": given}
    if difficulty and len(of_image):
        families["calibrated "] = {
            name: _remainder(values, difficulty) for name, values in given.items()
        }
    scores: dict[str, Floats] = {}
    for family, columns in families.items():
        if len(columns) > 1 and len(of_image):
            together = np.mean([_standardised(values) for values in columns.values()], axis=0)
            columns = {**columns, "mean": together}
        for name, values in columns.items():
            sums = np.bincount(of_image, weights=values, minlength=len(counts))
            scores[f"{family}loss {name}"] = -sums / counts
    return scores
