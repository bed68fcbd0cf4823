"""The encoders an audit trains for itself, each on half of the patients.

An encoder pushes the images it learned from apart. Control images that it learned from would
therefore look less alike than synthetic images do, which it never saw, and a threshold drawn from
them would be too generous. So each encoder learns from half of the patients, train and control
alike, and only control patients of the other half say what chance does in its space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.features.base import FeatureMap
from audits.features.overlay import mask_overlays
from audits.images import ImageSet, number_patients
from audits.settings import AuditSettings
from audits.statistics.permutation import halve
from audits.statistics.streams import generator_for

__all__ = ["Encoder", "train_encoders"]

_FEWEST_IMAGES = 16
"""Images of a half below which no encoder is trained: it would learn them by heart."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A feature map and the real images it learned from.

    Attributes:
        space: The feature map.
        seen: bool (n,), real images, train first, of the patients it learned from.
    """

    space: FeatureMap
    seen: npt.NDArray[np.bool_]


def train_encoders(
    train: ImageSet,
    control: ImageSet,
    settings: AuditSettings,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Encoder, ...]:
    """Train the self-supervised encoders of an audit, blind to who is train and who is control.

    Two encoders share the patients between them; further pairs draw new halves.

    Args:
        train: Member images.
        control: Non-member images.
        settings: The audit's settings: how many encoders, and the seed.
        threads: Threads of the training; never changes a number.
        progress: Called with training steps done and in all, over all encoders.

    Returns:
        The encoders; none where there are too few images to learn from.
    """
    from audits.features.learned.training import train_encoder

    given = [entry.images for entry in (train, control) if len(entry)]
    if not settings.encoders or not given:
        return ()
    images = mask_overlays(np.concatenate(given))
    patients = number_patients(train, control)
    everyone = np.ones(len(patients.member), np.bool_)
    encoders = []
    for number in range(settings.encoders):
        rng = generator_for(settings.seed, f"encoder halves {number // 2}")
        # Within strata, but whatever the label: the lottery of the audit stays fair.
        half = halve(everyone, patients.stratum, rng)
        seen = (half if number % 2 == 0 else ~half)[patients.of_image]
        if seen.sum() < _FEWEST_IMAGES:
            return ()
        space = train_encoder(
            images[seen],
            patients.of_image[seen],
            seed=settings.seed,
            number=number + 1,
            threads=threads,
            progress=_part(progress, number, settings.encoders),
        )
        encoders.append(Encoder(space, seen))
    return tuple(encoders)


def _part(
    progress: Callable[[int, int], None] | None, number: int, encoders: int
) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, encoders * total)
