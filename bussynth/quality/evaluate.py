"""The verb: check, read, judge, measure fidelity, write.

Every figure rests on a look at held-out real patients. Under a ``formal-dp`` claim that look is
not accounted for, so an evaluation may not accompany a package; its folder stays at the site
unless the claim is ``empirically-audited``. It holds summary figures only: no value of a patient
and none of a single image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bussynth import __version__, atomic
from bussynth.auditing.places import refuse_overlap
from bussynth.cohort.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import UsageError
from bussynth.progress import SILENT, Progress
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.fidelity import Yardstick
from bussynth.quality.inputs import Inputs, open_inputs
from bussynth.quality.material import Material
from bussynth.quality.obedience import Judge, Obedience
from bussynth.quality.text import STAYS, to_markdown, to_text

if TYPE_CHECKING:
    from audits.fidelity.measure import SpaceFidelity

__all__ = ["MARKERS", "SCHEMA", "STAYS", "Evaluation", "check_evaluate", "evaluate"]

SCHEMA: Final = "bussynth-evaluation/1"
MARKERS: Final = ("evaluation.json",)
"""What tells an evaluation from other folders: --force replaces nothing else."""

_LIBRARIES: Final = ("numpy", "torch")
_MAX_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        inputs: Digests, kinds and counts of the cohorts.
        config: The configuration.
        obedience: Whether the images show what was requested.
        fidelity: One entry a feature space; empty if it was not measured.
        notes: What a reader should know, one line each.
    """

    inputs: Mapping[str, Any]
    config: EvaluateConfig
    obedience: Obedience
    fidelity: tuple[SpaceFidelity, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``evaluation.json``."""
        return {
            "schema": SCHEMA,
            "stays": STAYS,
            "inputs": dict(self.inputs),
            "config": self.config.to_dict(),
            "obedience": self.obedience.to_dict(),
            "fidelity": [space.to_dict() for space in self.fidelity],
            "notes": list(self.notes),
            "versions": {
                "bussynth": __version__,
                **{name: metadata.version(name) for name in _LIBRARIES},
            },
        }

    def to_text(self) -> str:
        """Return the figures as a table for a terminal."""
        return to_text(self.to_dict())

    def save(self, out: Path | str, *, force: bool = False) -> None:
        """Write evaluation.json and evaluation.md; the folder appears whole or not at all.

        Args:
            out: The folder to make.
            force: Replace an earlier evaluation there.

        Raises:
            UsageError: The place is taken.
            DataError: The file system refused.
        """
        _check_place(Path(out), force=force)
        content = self.to_dict()
        with atomic.new_directory(out, force=force, markers=MARKERS) as staging:
            atomic.write_json(staging / MARKERS[0], content)
            atomic.write_text(staging / "evaluation.md", to_markdown(content))


def evaluate(
    synthetic: Cohort | Path | str,
    real: Cohort | Path | str,
    out: Path | str | None = None,
    *,
    config: EvaluateConfig | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> Evaluation:
    """Measure whether synthetic images obey their conditions and look like real ones.

    Networks learn from the train patients of the real cohort; test patients give the level to
    reach. Control patients are not looked at: they belong to the audit.

    The figures rest on a look at held-out real patients: see the module.

    Args:
        synthetic: The synthetic cohort, or its path.
        real: A real or phantom cohort that was split by patient, or its path.
        out: Folder for evaluation.json and evaluation.md, or None to write nothing.
        config: What to measure.
        options: How to run; never changes a number.
        progress: Where to report.
        force: Replace an earlier evaluation in ``out``.

    Returns:
        The evaluation.

    Raises:
        UsageError: A setting is wrong, or ``out`` is taken or overlaps with a cohort.
        DataError: The cohorts cannot be compared, or hold too little.
        IntegrityError: A cohort is damaged.
    """
    config, options = config or EvaluateConfig(), options or RunOptions()
    inputs = _checked(synthetic, real, out, config, force=force)
    train = Material.from_cohort(inputs.real.select("train"), progress=progress)
    test = Material.from_cohort(inputs.real.select("test"), progress=progress)
    made = Material.from_cohort(inputs.synthetic, progress=progress)
    judge = Judge.fit_material(
        train,
        test,
        vocabulary=inputs.real.vocabulary,
        columns=inputs.columns,
        config=config,
        workers=options.workers,
        progress=progress,
    )
    obedience = judge.measure(made, progress=progress)
    reasons = {**inputs.reasons, **obedience.reasons}
    evaluation = Evaluation(
        inputs=inputs.to_dict(),
        config=config,
        obedience=replace(obedience, reasons=dict(sorted(reasons.items()))),
        fidelity=_fidelity(train, test, made, config, progress) if config.fidelity else (),
        notes=inputs.notes,
    )
    if out is not None:
        evaluation.save(out, force=force)
    return evaluation


def check_evaluate(
    synthetic: Cohort | Path | str,
    real: Cohort | Path | str,
    out: Path | str | None = None,
    *,
    config: EvaluateConfig | None = None,
    force: bool = False,
) -> list[str]:
    """Make every check of :func:`evaluate` that needs no decoding.

    Returns:
        What will be measured, what not and why, and what else a user should know.

    Raises:
        UsageError: As :func:`evaluate`.
        DataError: As :func:`evaluate`.
    """
    inputs = _checked(synthetic, real, out, config or EvaluateConfig(), force=force)
    tasks, counts = inputs.tasks, inputs.counts
    asked = [task.column for task in tasks.columns]
    asked += ["lesion box"] if tasks.boxes else []
    asked += ["normal"] if tasks.normals else []
    return [
        ", ".join(
            f"{count['images']} {name} images"
            + (f" of {count['patients']} patients" if "patients" in count else "")
            for name, count in counts.items()
        ),
        f"to be measured: {', '.join(asked) or 'fidelity alone'}",
        *(
            f"{name}: not measurable, {reason}"
            for name, reason in {**inputs.reasons, **tasks.reasons}.items()
        ),
        *inputs.notes,
    ]


def _checked(
    synthetic: Cohort | Path | str,
    real: Cohort | Path | str,
    out: Path | str | None,
    config: EvaluateConfig,
    *,
    force: bool,
) -> Inputs:
    if out is not None:
        _check_place(Path(out), force=force)
        places = {"synthetic": synthetic, "real": real}
        refuse_overlap(
            out,
            {
                name: given.path if isinstance(given, Cohort) else Path(given)
                for name, given in places.items()
            },
        )
    return open_inputs(synthetic, real, config)


def _check_place(out: Path, *, force: bool) -> None:
    """Refuse a place that holds something else than an earlier evaluation."""
    atomic.check_output(out, force=force, markers=MARKERS)
    file = out / MARKERS[0]
    if not file.is_file():
        return
    try:
        small = file.stat().st_size <= _MAX_BYTES
        content = json.loads(file.read_text(encoding="utf-8")) if small else None
    except (OSError, ValueError, RecursionError):
        content = None
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, str) or not schema.startswith("bussynth-evaluation/"):
        raise UsageError(
            f"{out} holds a {MARKERS[0]} that no evaluation of bussynth wrote, so it is not "
            "replaced; choose another name."
        )


def _fidelity(
    train: Material, test: Material, made: Material, config: EvaluateConfig, progress: Progress
) -> tuple[SpaceFidelity, ...]:
    threads = _cores()
    yardstick = Yardstick.fit(
        train,
        test,
        seed=config.seed,
        steps=config.fidelity_steps,
        threads=threads,
        progress=progress,
    )
    return yardstick.measure(
        made, seed=config.seed, resamples=config.resamples, threads=threads, progress=progress
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
