"""Protected sampling of a generator: the guards of ``privacy`` on the cohort it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from bussynth.cohort import Cohort
from bussynth.errors import DataError, UsageError
from bussynth.generator.config import GenerateConfig
from bussynth.generator.dataset import training_view
from bussynth.generator.generator import Generator
from bussynth.generator.seeds import derive_seed
from privacy.guard.claim import NOTE, VOIDS
from privacy.guard.errors import GuardInputError

if TYPE_CHECKING:
    from privacy.guard.cpsample import CPSampleGuard
    from privacy.guard.redraw import Redrawn
    from privacy.guard.rejection import RejectionGuard

__all__ = ["Protection"]

_Images = npt.NDArray[np.uint8]
# Training steps of the classifier behind cpsample.
_STEPS = 3000


@dataclass(frozen=True, kw_only=True)
class Protection:
    """Guards of one generation.

    They hold what they saw of training images and live as long as the process.

    Attributes:
        rejection: Rejects finished images, or None.
        cpsample: Steers the sampler, or None.
        attempts: Draws of a row at most.
    """

    rejection: RejectionGuard | None
    cpsample: CPSampleGuard | None
    attempts: int

    @classmethod
    def fit(cls, generator: Generator, real: Cohort, config: GenerateConfig) -> Protection | None:
        """Fit the guards that a configuration asks for, or give None.

        Args:
            generator: The model to protect against.
            real: The cohort it was trained on, with control patients.
            config: ``guard``, ``guard_alpha``, ``guard_attempts`` and the seed.

        Raises:
            DataError: The cohort is not the generator's, or has no control images.
            UsageError: The guards cannot be fitted to it.
        """
        if config.guard == "none":
            return None
        if real.digest != generator.trained_on:
            raise DataError(
                f"{real.path} is not the cohort this model was trained on, or was split anew "
                "since; a guard needs that one."
            )
        train = training_view(real)
        images, patients = _images(train), train.table(["patient"]).column("patient").to_pylist()
        try:
            return cls(
                rejection=_rejection(images, patients, real, config),
                cpsample=_cpsample(generator, images, patients, config),
                attempts=config.guard_attempts,
            )
        except GuardInputError as error:
            raise UsageError(error.message, error.problems) from error

    @property
    def digest(self) -> str:
        """Of all that decides which images come out."""
        guards = [g.digest for g in (self.rejection, self.cpsample) if g is not None]
        return "/".join([*guards, str(self.attempts)])

    def steered(self, generator: Generator) -> Generator:
        """The generator, with its sampler kept away from training images if asked for."""
        return generator if self.cpsample is None else generator.wrapped(self.cpsample.protected)

    def draw(self, draw: Callable[[npt.NDArray[np.int64], int], _Images], rows: range) -> Redrawn:
        """Draw rows until they are accepted; see :func:`privacy.guard.redraw.redraw`."""
        from privacy.guard.redraw import redraw

        def all_of(images: _Images) -> npt.NDArray[np.bool_]:
            return np.ones(len(images), dtype=np.bool_)

        accept = all_of if self.rejection is None else self.rejection.accept
        return redraw(draw, accept, rows, attempts=self.attempts)

    def record(self, config: GenerateConfig, asked: int, drawn: int, kept: int) -> dict[str, Any]:
        """What the synthetic cohort's provenance says: settings and totals, no thresholds."""
        expected: Mapping[str, Any] = self.rejection.describe() if self.rejection else {}
        return {
            "kind": config.guard,
            "alpha": config.guard_alpha,
            "attempts": config.guard_attempts,
            "asked": asked,
            "drawn": drawn,
            "rejected": drawn - kept,
            "left_out": asked - kept,
            "expected_rejections": expected.get("expected_rejections"),
            "voids": VOIDS,
            "note": NOTE,
        }


def _images(view: Cohort) -> _Images:
    return view.images() if len(view) else np.empty((0, *view.image_size), np.uint8)


def _rejection(
    images: _Images, patients: list[str], real: Cohort, config: GenerateConfig
) -> RejectionGuard | None:
    if config.guard not in ("rejection", "both"):
        return None
    from privacy.guard.rejection import RejectionGuard

    if real.kind == "synthetic":
        raise DataError(f"{real.path} has no control patients; a guard needs them.")
    control = _images(real.select("control"))
    return RejectionGuard.fit(images, control, patients=patients, alpha=config.guard_alpha)


def _cpsample(
    generator: Generator, images: _Images, patients: list[str], config: GenerateConfig
) -> CPSampleGuard | None:
    if config.guard not in ("cpsample", "both"):
        return None
    from privacy.guard.cpsample import CPSampleGuard

    # The generator learns from mirrored images too.
    both = np.concatenate([images, images[:, :, ::-1]])
    latents = torch.cat(
        [generator.encode(part) for part in np.array_split(both, -(-len(both) // 256))]
    )
    return CPSampleGuard.fit(
        latents,
        [*patients, *patients],
        steps=_STEPS,
        seed=derive_seed("guard", config.seed) % 2**31,
    )
