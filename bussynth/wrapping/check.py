"""The light half of a wrap: everything that can be decided without drawing or decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import UsageError
from bussynth.ingest.notes import Note
from bussynth.progress import SILENT, Progress
from bussynth.wrapping.conditions import cohort_vocabulary, condition_problems, declared
from bussynth.wrapping.config import DEFAULT_N, WrapConfig
from bussynth.wrapping.diffusers_folder import PipelinePlan, check_pipeline
from bussynth.wrapping.images import ImagesPlan, check_images
from bussynth.wrapping.sampler import SamplerPlan, check_sampler
from bussynth.wrapping.source import Source, recognise

__all__ = ["Material", "WrapPlan", "check_wrap"]

Material: TypeAlias = ImagesPlan | PipelinePlan | SamplerPlan

_ON_TRUST: Final = Note(
    "synthetic-on-trust",
    "that these images come from a generator, and not from patients, is taken on your word; an "
    "audit looks for copies",
)
_UNLABELLED: Final = Note("unlabelled", "no labels were given, so every condition is unknown")
_NO_TRAINING: Final = Note(
    "no-training-cohort",
    "without --trained-on, an audit cannot tell whether it compares with the cohort that the "
    "generator learned from",
)
_TRAINING: Final = Note(
    "training-on-trust",
    "that the generator learned from the train patients of that cohort, and from no control "
    "patient, is taken on your word",
)
_UNSPLIT: Final = Note(
    "training-cohort-not-split",
    "the cohort of --trained-on is not split; a split gives it another digest, and an audit then "
    "takes it for another cohort",
)


@dataclass(frozen=True, kw_only=True)
class WrapPlan:
    """A checked wrap, ready to run.

    Attributes:
        source: What the path holds.
        config: Options.
        material: The source, looked at.
        n: Number of images.
        vocabulary: Values of each condition column of the cohort.
        asked: Conditions that a sampler is asked for.
        declared: Conditions of all images, taken on the user's word.
        trained_on: Digest of the cohort that the generator learned from, or None.
        notes: What the user should know.
    """

    source: Source
    config: WrapConfig
    material: Material
    n: int
    vocabulary: Mapping[str, Sequence[str]]
    asked: Mapping[str, str | None]
    declared: Mapping[str, str]
    trained_on: str | None
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``--dry-run --json``."""
        return {
            "kind": self.source.kind,
            "images": self.n,
            "image_size": self.config.image_size,
            "vocabulary": {name: list(words) for name, words in self.vocabulary.items()},
            "trained_on": self.trained_on,
            "notes": [note.to_dict() for note in self.notes],
        }


def check_wrap(
    path: Path | str,
    out: Path | str,
    config: WrapConfig | None = None,
    *,
    labels: Path | str | None = None,
    trained_on: Path | str | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> WrapPlan:
    """Check source, labels, options and output place without writing anything.

    Args:
        path: A folder of images, a pipeline folder, or a sampler.
        out: Cohort folder to make.
        config: Options.
        labels: Table of labels, for a folder of images.
        trained_on: The cohort that the generator learned from.
        options: How to run.
        progress: Where to report.
        force: Replace an earlier synthetic cohort in ``out``.

    Returns:
        The plan.

    Raises:
        UsageError: Options do not fit the source, or a place is wrong.
        DataError: The source cannot be used; all problems are listed.
    """
    path, out = Path(path), Path(out)
    config, options = config or WrapConfig(), options or RunOptions()
    table = None if labels is None else Path(labels)
    Cohort.check_place(out, "synthetic", force=force)
    source = recognise(path, config.kind)
    _check_options(source, out, config, options, table, trained_on)
    known, training_notes = _training(trained_on)
    notes: tuple[Note, ...] = ()
    taken: Mapping[str, Sequence[str]] = {}
    material: Material
    if source.kind == "images":
        material = check_images(source.path, table, config.columns, progress=progress)
        taken, n = material.columns, len(material.images)
        notes = (_ON_TRUST, *((_UNLABELLED,) if material.table is None else ()))
    else:
        n = config.n or DEFAULT_N
        if source.kind == "diffusers":
            material = check_pipeline(source.path, config.steps)
        else:
            material = check_sampler(source)
    asking = material.spec.vocabulary if isinstance(material, SamplerPlan) else {}
    vocabulary: dict[str, Sequence[str]]
    words: dict[str, list[str]] = {}
    if asking:
        problems = condition_problems(config.conditions, asking)
        vocabulary = dict(asking)
    else:
        words, problems = declared(config.conditions, tuple(taken))
        vocabulary = {**taken, **words}
    if problems:
        raise UsageError("--condition cannot be used.", problems)
    if words:
        text = f"{', '.join(words)} of all images is taken on your word"
        notes = (*notes, Note("declared-conditions", text))
    return WrapPlan(
        source=source,
        config=config,
        material=material,
        n=n,
        vocabulary=cohort_vocabulary(vocabulary),
        asked=dict(config.conditions) if asking else {},
        declared={} if asking else dict(config.conditions),
        trained_on=known,
        notes=(*notes, *training_notes),
    )


def _check_options(
    source: Source,
    out: Path,
    config: WrapConfig,
    options: RunOptions,
    labels: Path | None,
    trained_on: Path | str | None,
) -> None:
    problems = []
    if source.kind == "images":
        if config.n is not None:
            problems.append("-n: a folder of images is taken whole")
    else:
        if labels is not None:
            problems.append("--labels: only finished images have labels")
        if config.columns:
            problems.append("--column: only finished images have labels")
        if options.workers > 1:
            problems.append("--workers: only the images of a folder are read by several workers")
    if config.steps is not None and source.kind != "diffusers":
        problems.append("--steps: only a pipeline of diffusers takes steps")
    inputs = {"source": source.path, "table of labels": labels, "training cohort": trained_on}
    problems += [
        f"the {name} lies inside the output folder {out}"
        for name, place in inputs.items()
        if place is not None and Path(place).resolve().is_relative_to(out.resolve())
    ]
    if problems:
        raise UsageError(f"The {source.kind} source cannot be wrapped like this.", problems)


def _training(trained_on: Path | str | None) -> tuple[str | None, tuple[Note, ...]]:
    if trained_on is None:
        return None, (_NO_TRAINING,)
    cohort = Cohort.open(trained_on)
    if cohort.kind == "synthetic":
        raise UsageError(
            f"--trained-on: {trained_on} is a synthetic cohort; name the real cohort (or that of "
            "phantoms) that the generator learned from, or leave it out."
        )
    if cohort.split_record is None:
        return cohort.digest, (_TRAINING, _UNSPLIT)
    return cohort.digest, (_TRAINING,)
