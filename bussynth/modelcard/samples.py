"""The grid of a card: images of the model, from a cohort of its own or made for the occasion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bussynth.cohort.cohort import Cohort
from bussynth.errors import DataError
from bussynth.generator.config import GenerateConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator
from bussynth.grid import draw_grid, first_rows
from bussynth.modelcard.model import CardModel
from bussynth.progress import Progress
from bussynth.record import field, number, whole

__all__ = ["Samples", "draw_samples", "open_samples"]

_IMAGES: Final = 32
_REQUEST: Final = GenerateConfig(n=_IMAGES, seed=0, steps=12)


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Which images are shown.

    Attributes:
        cohort: Cohort that they are the first images of, or None to generate them.
        images: How many.
        steps: Sampling steps, or None if that is not recorded.
        seed: Seed of the request, or None if that is not recorded.
        guidance: Guidance scale, or None if that is not recorded.
        guarded: Whether a guard kept images away from training images.
    """

    cohort: Cohort | None
    images: int = _IMAGES
    steps: int | None = _REQUEST.steps
    seed: int | None = _REQUEST.seed
    guidance: float | None = _REQUEST.guidance
    guarded: bool = False

    @property
    def digest(self) -> str | None:
        """Digest of the cohort, which names the model as its generator."""
        return None if self.cohort is None else self.cohort.digest


def open_samples(path: Path | None, digest: str) -> Samples:
    """Choose the images of a card.

    Args:
        path: A synthetic cohort of the model, or None to generate images.
        digest: Of the model.

    Raises:
        DataError: The cohort holds other images than this model's.
        IntegrityError: The cohort was changed.
    """
    if path is None:
        return Samples(cohort=None)
    cohort = Cohort.open(path)
    if cohort.kind != "synthetic" or cohort.derived is not None:
        raise DataError(f"{path} does not hold synthetic images; a card shows no others.")
    if cohort.provenance.get("generator") != digest:
        raise DataError(
            f"{path} does not name this model as its generator; give a cohort that "
            "`bussynth generate` made with it, or leave --samples out."
        )
    cohort.verify()
    provenance = cohort.provenance
    return Samples(
        cohort=cohort,
        images=min(_IMAGES, len(cohort)),
        steps=whole(field(provenance, "request", "steps")),
        seed=whole(field(provenance, "request", "seed")),
        guidance=number(field(provenance, "request", "guidance")),
        guarded="guard" in provenance,
    )


def draw_samples(samples: Samples, model: CardModel, progress: Progress) -> bytes:
    """Draw the grid, with requested lesion boxes outlined.

    Generated images are made on the CPU, so that a card does not depend on the machine.

    Returns:
        A PNG.
    """
    if samples.cohort is not None:
        return draw_grid(first_rows(samples.cohort, _IMAGES))
    with TemporaryDirectory(prefix="bussynth-card-") as folder:
        made = generate_cohort(
            Generator(model.stored, "cpu"), Path(folder) / "samples", _REQUEST, progress=progress
        )
        return draw_grid(first_rows(made, _IMAGES))
