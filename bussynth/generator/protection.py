"""Protected sampling of a generator: the guards of ``privacy`` on the cohort it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from bussynth.cohort import Cohort
from bussynth.errors import DataError, UsageError
from bussynth.generator.config import GenerateConfig
from bussynth.generator.dataset import training_view
from bussynth.generator.generator import Generator
from bussynth.generator.lineage import trace
from bussynth.generator.seeds import derive_seed
from privacy.guard.claim import NOTE, VOIDS
from privacy.guard.errors import GuardInputError

if TYPE_CHECKING:
    from privacy.guard.cpsample import CPSampleGuard
    from privacy.guard.redraw import Redrawn
    from privacy.guard.rejection import RejectionGuard

__all__ = ["Protection", "check_protection", "guard_notes"]

_Images = npt.NDArray[np.uint8]
# Of images like control images, the share that rejection may cost at most: beyond it, what comes
# through says more about the guard than about the model.
_MOST_REJECTED: Final = 0.5


def check_protection(generator: Generator, real: Cohort, config: GenerateConfig) -> None:
    """Check what the guards of a configuration need, without comparing or fitting anything.

    Args:
        generator: The model to protect against.
        real: The cohort it was trained on, with control patients for rejection.
        config: ``guard`` and its settings.

    Raises:
        DataError: The cohort is not the generator's, or has no patients.
        UsageError: There are too few control images.
    """
    # Before the digests: the cohort of a generator trained on synthetic images matches.
    if real.kind == "synthetic" or _kind(generator) == "synthetic":
        raise DataError(
            "The generator or the cohort to guard it with comes from synthetic images, which have "
            "no patients to tell apart, so nothing can be guarded. Guard the generation of those "
            "synthetic images instead, with the cohort of patients behind them."
        )
    if real.digest != generator.trained_on:
        raise DataError(
            f"{real.path} is not the cohort this model was trained on, or was split anew "
            "since; a guard needs that one."
        )
    training_view(real)
    if config.guard in ("rejection", "both"):
        from privacy.guard.rejection import expected_share

        controls = len(real.select("control"))
        share = expected_share(controls, config.guard_alpha, real.image_size)
        _enough(controls, share)


def guard_notes(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What somebody who asked for a guard must read, from the record of the guard."""
    notes = [str(record["note"])]
    share, alpha = record.get("expected_rejections"), record.get("alpha")
    # The share is rounded to four digits.
    if share is not None and alpha is not None and share > alpha + 5e-5:
        notes.append(
            f"There are too few control images for a share of {alpha:g}: rejection costs up to "
            f"{share:.1%} of the images that are like control images. More control patients lower "
            "that; nothing else does."
        )
    cpsample = record.get("cpsample")
    if cpsample is not None:
        seen = ", ".join(f"{part:.0%} at {level}" for level, part in cpsample["recognised"].items())
        notes.append(
            "cpsample acts where its classifier recognises a training image under noise; of the "
            f"training images that is, by noise level: {seen}."
        )
    if record["not_guarded"]:
        names = ", ".join(_name(base) for base in record["not_guarded"])
        notes.append(
            f"The model started from {names}. The guard knows the model's own training cohort "
            "only: whoever is in the images that a base learned from is not guarded."
        )
    return tuple(notes)


@dataclass(frozen=True, kw_only=True)
class Protection:
    """Guards of one generation.

    They hold what they saw of training images and live as long as the process.

    Attributes:
        rejection: Rejects finished images, or None.
        cpsample: Steers the sampler, or None.
        attempts: Draws of a row at most.
        not_guarded: Bases behind the model whose training images the guards have not seen.
    """

    rejection: RejectionGuard | None
    cpsample: CPSampleGuard | None
    attempts: int
    not_guarded: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def fit(
        cls,
        generator: Generator,
        real: Cohort,
        config: GenerateConfig,
        *,
        base: Path | str | None = None,
    ) -> Protection | None:
        """Fit the guards that a configuration asks for, or give None.

        Args:
            generator: The model to protect against.
            real: The cohort it was trained on, with control patients.
            config: ``guard``, its settings and the seed.
            base: Of an adapter: its base, if that is not a built-in one.

        Raises:
            DataError: See :func:`check_protection`.
            UsageError: The guards cannot be fitted to the cohort.
        """
        if config.guard == "none":
            return None
        check_protection(generator, real, config)
        train = training_view(real)
        images, patients = _images(train), train.table(["patient"]).column("patient").to_pylist()
        try:
            return cls(
                rejection=_rejection(images, patients, real, config),
                cpsample=_cpsample(generator, images, patients, config),
                attempts=config.guard_attempts,
                not_guarded=_not_guarded(generator, base),
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
        """What the synthetic cohort's provenance says: settings and totals, no thresholds.

        Settings of a guard that was not used are left out.
        """
        record: dict[str, Any] = {
            "kind": config.guard,
            "asked": asked,
            "drawn": drawn,
            "rejected": drawn - kept,
            "left_out": asked - kept,
            "not_guarded": [dict(base) for base in self.not_guarded],
            "voids": VOIDS,
            "note": NOTE,
        }
        if self.rejection is not None:
            record["alpha"] = config.guard_alpha
            record["attempts"] = self.attempts
            record["expected_rejections"] = self.rejection.describe()["expected_rejections"]
        if self.cpsample is not None:
            said = {"kind", "voids", "note"}
            described = self.cpsample.describe().items()
            record["cpsample"] = {key: value for key, value in described if key not in said}
        return record


def _kind(generator: Generator) -> str | None:
    kind = generator.training["cohort"].get("kind")
    return None if kind is None else str(kind)


def _name(base: Mapping[str, Any]) -> str:
    named = base["name"] or f"a base (digest {str(base['digest'])[:19]}…)"
    kind = base["kind"] or "unknown"
    known = "" if base["base_known"] else ", itself started from what is not known here"
    return f"{named} (trained on a cohort of kind {kind}{known})"


def _not_guarded(generator: Generator, base: Path | str | None) -> tuple[dict[str, Any], ...]:
    """Bases that may have learned from patients: all but phantoms, as far as can be followed."""
    lineage = trace(generator.training, None if base is None else str(base))
    found = []
    for i, ancestor in enumerate(lineage.ancestors, start=1):
        known = lineage.complete or i < len(lineage.ancestors)
        if ancestor.kind != "phantom" or not known:
            found.append(
                {
                    "digest": ancestor.digest,
                    "name": ancestor.name,
                    "kind": ancestor.kind,
                    "base_known": known,
                }
            )
    return tuple(found)


def _enough(controls: int, share: float) -> None:
    if share > _MOST_REJECTED:
        raise UsageError(
            f"{controls} control images are too few for rejection: it would cost up to {share:.0%} "
            "of the images that are like control images. Split the cohort with a larger share of "
            "control patients and train again, or use --guard cpsample."
        )


def _images(view: Cohort) -> _Images:
    return view.images() if len(view) else np.empty((0, *view.image_size), np.uint8)


def _rejection(
    images: _Images, patients: list[str], real: Cohort, config: GenerateConfig
) -> RejectionGuard | None:
    if config.guard not in ("rejection", "both"):
        return None
    from privacy.guard.rejection import RejectionGuard

    control = _images(real.select("control"))
    guard = RejectionGuard.fit(images, control, patients=patients, alpha=config.guard_alpha)
    # Again: control images that look like copies were left out.
    _enough(len(control), guard.expected)
    return guard


def _cpsample(
    generator: Generator, images: _Images, patients: list[str], config: GenerateConfig
) -> CPSampleGuard | None:
    if config.guard not in ("cpsample", "both"):
        return None
    from privacy.guard.cpsample import CPSampleGuard, derived_steps

    # The generator learns from mirrored images too.
    both = np.concatenate([images, images[:, :, ::-1]])
    latents = torch.cat(
        [generator.encode(part) for part in np.array_split(both, -(-len(both) // 256))]
    )
    try:
        return CPSampleGuard.fit(
            latents,
            [*patients, *patients],
            steps=config.guard_steps or derived_steps(len(latents)),
            seed=derive_seed("guard", config.seed) % 2**31,
        )
    except GuardInputError as error:
        problems = [*error.problems, "guard_steps (--guard-steps) sets the steps"]
        raise UsageError(error.message, problems) from error
