"""What an audit may ask of the model itself: near-duplicates as controls, losses as an attack.

Nothing here is needed to audit images. With the model at hand, its own near-duplicates of train
images are planted among the controls; and where the model is to be released too, its losses show
what somebody could learn who holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from bussynth.auditing.comparison import Comparison
from bussynth.auditing.sources import CohortImages, RoleImages
from bussynth.errors import DataError
from bussynth.progress import SILENT, Progress

if TYPE_CHECKING:
    from bussynth.generator.generator import Generator

__all__ = ["CheckedModel", "ModelAccess", "check_model", "open_model"]

_SIGMAS: Final = (0.1, 0.3, 1.0)
"""Where membership shows: below, every model is nearly exact; above, it knows the mean alone."""

_DRAWS: Final = 4
_BLOCK: Final = 256


@dataclass(frozen=True, kw_only=True)
class CheckedModel:
    """A model that fits the images, before its weights are read.

    Attributes:
        path: Its folder.
        digest: ``"sha256:…"`` of all that decides its images.
        notes: What is taken on trust, one line each.
        base: Of an adapter: its base, if that is not a built-in one.
    """

    path: Path
    digest: str
    notes: tuple[str, ...]
    base: Path | str | None = None


def check_model(path: Path, comparison: Comparison, base: Path | str | None = None) -> CheckedModel:
    """Check that a model belongs to the images; reads its record only.

    Args:
        path: Folder of a model or an adapter.
        comparison: The images.
        base: Of an adapter: its base, if that is not a built-in one.

    Raises:
        DataError: There is no model, it made other images, or learned from another cohort.
        IntegrityError: The training is unfinished, or the record was changed.
    """
    from bussynth.generator.storage import read_record

    record = read_record(path)
    digest = str(record["digest"])
    problems, notes = [], []
    made, learned = comparison.synthetic, comparison.train
    named = made.cohort.provenance.get("generator") if isinstance(made, CohortImages) else None
    if named is None:
        notes.append("That the given model made the synthetic images is taken on trust.")
    elif named != digest:
        problems.append("the synthetic cohort names another model as its generator")
    if not isinstance(learned, CohortImages):
        notes.append("That the given model learned from the train images is taken on trust.")
    elif record["training"].get("cohort", {}).get("digest") != learned.cohort.digest:
        problems.append("it was trained on another cohort, or before this one was split anew")
    size = tuple(record["architecture"].get("image_size", ()))
    if size != comparison.size:
        problems.append("its images have another size")
    if problems:
        raise DataError(
            f"The model in {path} does not belong to these images; give the one that generated "
            "them, or leave --model out.",
            problems,
        )
    return CheckedModel(path=path, digest=digest, notes=tuple(notes), base=base)


def open_model(
    model: CheckedModel,
    comparison: Comparison,
    pixels: Mapping[str, npt.NDArray[np.uint8]],
    *,
    seed: int,
    device: str = "auto",
) -> ModelAccess:
    """Load a checked model.

    Args:
        model: See :func:`check_model`.
        comparison: The images.
        pixels: Decoded, uint8 (n, H, W), by role.
        seed: Of the audit.
        device: Device of torch.

    Raises:
        DataError: The model was replaced since it was checked.
        IntegrityError: A file of the model was changed.
    """
    from bussynth.generator.generator import Generator

    generator = Generator.load(model.path, device, model.base)
    if generator.digest != model.digest:
        raise DataError(f"The model in {model.path} was replaced while the audit was reading it.")
    sources: tuple[RoleImages, RoleImages] = (comparison.train, comparison.control)
    return ModelAccess(
        generator=generator,
        images=(pixels["train"], pixels["control"]),
        conditions=tuple(_conditions(source, generator.vocabulary) for source in sources),
        seed=seed,
    )


def _conditions(
    source: RoleImages, vocabulary: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Any], ...]:
    """Give each image the conditions that the model can be told; the others stay unsaid."""
    rows: list[dict[str, Any]] = [{} for _ in range(len(source))]
    for column, labels in source.attributes().items():
        words = set(vocabulary.get(column, ()))
        for row, label in zip(rows, labels, strict=True):
            if label in words:
                row[column] = label
    boxes = source.boxes()
    if boxes is not None:
        for row, box in zip(rows, boxes, strict=True):
            if np.isfinite(box).all() and row.get("pathology") != "normal":
                row["lesion_box"] = tuple(map(float, box))
    return tuple(rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelAccess:
    """A model together with the real images, as two functions for an audit.

    Attributes:
        generator: The model.
        images: Train and control images, uint8 (n, H, W) each.
        conditions: Of each image, train and control.
        seed: Of the audit.
    """

    generator: Generator
    images: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] = field(repr=False)
    conditions: tuple[tuple[dict[str, Any], ...], ...] = field(repr=False)
    seed: int

    def renoise(
        self, rows: npt.NDArray[np.int64], strength: float, seed: int
    ) -> npt.NDArray[np.uint8]:
        """Make near-duplicates of train images with the model.

        Args:
            rows: int64 (n,), positions among the train images.
            strength: In (0, 1], see :func:`bussynth.generator.renoise.renoise`.
            seed: Decides the noise together with the row, so that parts of ``rows`` can be asked
                for one by one.

        Returns:
            uint8 (n, H, W).
        """
        from bussynth.generator.seeds import derive_seed

        chosen = [int(row) for row in rows]
        return self.generator.renoise(
            self.images[0][chosen],
            [self.conditions[0][row] for row in chosen],
            strength,
            [derive_seed("renoise", seed, row) for row in chosen],
        )

    def losses(self, progress: Progress = SILENT) -> dict[str, npt.NDArray[np.float64]]:
        """Compute what a holder of the model can: how well it denoises each real image.

        Args:
            progress: Where to report.

        Returns:
            By kind and level of noise, float64 (n_train + n_control,), train first; the smaller,
            the better the model knows the image. Random noise and the model's own (proximal), at
            three levels each.
        """
        from bussynth.generator.seeds import derive_seed

        total = sum(map(len, self.images))
        kinds = ("random noise", "proximal noise")
        found = {f"{kind} {sigma:g}": np.empty(total) for kind in kinds for sigma in _SIGMAS}
        row = 0
        with progress.task("Attacking the model", total=total) as task:
            for images, conditions in zip(self.images, self.conditions, strict=True):
                for start in range(0, len(images), _BLOCK):
                    part, told = images[start : start + _BLOCK], conditions[start : start + _BLOCK]
                    rows = range(row, row + len(part))
                    seeds = [derive_seed("membership", self.seed, number) for number in rows]
                    random = self.generator.losses(part, told, _SIGMAS, seeds, _DRAWS)
                    proximal = self.generator.proximal_losses(part, told, _SIGMAS)
                    for kind, values in zip(kinds, (random, proximal), strict=True):
                        for j, sigma in enumerate(_SIGMAS):
                            found[f"{kind} {sigma:g}"][row : row + len(part)] = values[:, j]
                    row += len(part)
                    task.advance(len(part))
        return found
