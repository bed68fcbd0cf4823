"""Whether images show what was requested, judged by networks trained on real patients.

A judge is trained once on the training patients of a real cohort and measured once on its test
patients; it can then measure any number of synthetic sets::

    judge = Judge.fit(Cohort.open("cohort"))
    for path in paths:
        print(judge.measure(Cohort.open(path)).to_dict())

Control patients are never looked at: they belong to the audit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bussynth.cohort.cohort import Cohort
from bussynth.config import suggest
from bussynth.errors import DataError, UsageError
from bussynth.generator.seeds import derive_seed
from bussynth.progress import SILENT, Progress
from bussynth.quality.classifier import Classifier, ClassifierJob
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.detector import Detections, Detector, DetectorJob
from bussynth.quality.fit import Job, default_steps, train_all
from bussynth.quality.letterbox import letterbox, to_square
from bussynth.quality.localisation import Finds, Localisation, localise
from bussynth.quality.material import Facts, Material
from bussynth.quality.presence import CASES, Presence
from bussynth.quality.recognition import Answers, Recognition, recognise
from bussynth.quality.tasks import ColumnTask, Tasks, choose_tasks, too_few_requests

__all__ = ["Judge", "Obedience"]


@dataclass(frozen=True, kw_only=True)
class Obedience:
    """How well synthetic images obey their conditions.

    Attributes:
        recognition: One entry a condition column.
        localisation: Whether lesions lie in their boxes; None if not measurable.
        presence: Whether "normal" shows no lesion; None if not measurable.
        reasons: Why something was not measured, by its name.
    """

    recognition: tuple[Recognition, ...]
    localisation: Localisation | None
    presence: Presence | None
    reasons: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "recognition": [one.to_dict() for one in self.recognition],
            "localisation": None if self.localisation is None else self.localisation.to_dict(),
            "presence": None if self.presence is None else self.presence.to_dict(),
            "not_measured": dict(self.reasons),
        }


class Judge:
    """Networks trained on real training patients, with their answers to real test patients."""

    def __init__(
        self,
        *,
        size: tuple[int, int],
        tasks: Tasks,
        test: Material,
        classifiers: Mapping[str, Classifier],
        detector: Detector | None,
        config: EvaluateConfig,
    ) -> None:
        self._size, self._tasks, self._config = size, tasks, config
        self._classifiers, self._detector = dict(classifiers), detector
        self._test = test.facts
        squares = letterbox(test.images)
        self._probabilities = {
            task.column: self._classifiers[task.column].probabilities(squares)
            for task in tasks.columns
        }
        self._found = None if detector is None else detector.find(squares)

    @classmethod
    def fit(
        cls,
        real: Cohort,
        *,
        columns: Sequence[str] | None = None,
        config: EvaluateConfig | None = None,
        workers: int = 1,
        progress: Progress = SILENT,
    ) -> Judge:
        """Train on the train patients of a cohort and look at its test patients.

        Args:
            real: A cohort that was split by patient.
            columns: Columns to recognise; those of the configuration, else all, by default.
            config: What to learn, and how long.
            workers: Worker processes; never changes a number.
            progress: Where to report.

        Raises:
            UsageError: The cohort was not split, or a column does not exist.
            DataError: It has no train or no test images.
        """
        return cls.fit_material(
            Material.from_cohort(real.select("train"), progress=progress),
            Material.from_cohort(real.select("test"), progress=progress),
            vocabulary=real.vocabulary,
            columns=columns,
            config=config,
            workers=workers,
            progress=progress,
        )

    @classmethod
    def fit_material(
        cls,
        train: Material,
        test: Material,
        *,
        vocabulary: Mapping[str, Sequence[str]],
        columns: Sequence[str] | None = None,
        config: EvaluateConfig | None = None,
        workers: int = 1,
        progress: Progress = SILENT,
    ) -> Judge:
        """Train on one set of patients and look at another; see :meth:`fit`."""
        config = config or EvaluateConfig()
        if train.size != test.size:
            raise DataError("Training and test images differ in size.")
        if columns is None:
            columns = config.columns or tuple(vocabulary)
        unknown = [
            f"no condition {column!r}{suggest(column, vocabulary)}"
            for column in columns
            if column not in vocabulary
        ]
        if unknown:
            raise UsageError("Columns cannot be recognised.", unknown)
        tasks = choose_tasks(train.facts, test.facts, columns, vocabulary, config.min_patients)
        squares = letterbox(train.images)
        steps = config.steps or default_steps(len(train))
        jobs: list[Job] = [
            _classifier_job(task, train.facts, squares, steps, config.seed, member)
            for task in tasks.columns
            for member in range(config.members)
        ]
        if tasks.boxes:
            jobs += [
                _detector_job(tasks, train, squares, steps, config.seed, member)
                for member in range(config.members)
            ]
        trained = iter(train_all(jobs, workers=workers, progress=progress))

        def members() -> list[Any]:
            return [next(trained) for _ in range(config.members)]

        return cls(
            size=train.size,
            tasks=tasks,
            test=test,
            classifiers={
                task.column: Classifier(members(), len(task.values)) for task in tasks.columns
            },
            detector=Detector(members(), tasks.normals) if tasks.boxes else None,
            config=config,
        )

    def measure(self, synthetic: Cohort | Material, *, progress: Progress = SILENT) -> Obedience:
        """Measure one synthetic set.

        Args:
            synthetic: The images with what was requested of them.
            progress: Where to report.

        Raises:
            DataError: The images are of another size than those the judge learned from.
        """
        if isinstance(synthetic, Cohort):
            synthetic = Material.from_cohort(synthetic, progress=progress)
        if synthetic.size != self._size:
            raise DataError(
                f"The images are of {_text(synthetic.size)} pixels; the judge learned from "
                f"{_text(self._size)}."
            )
        squares = letterbox(synthetic.images)
        reasons = dict(self._tasks.reasons)
        with progress.task("Judging", total=len(self._tasks.columns) + 1, unit="questions") as task:
            recognised = []
            for column in self._tasks.columns:
                found = self._recognise(column, synthetic.facts, squares)
                if isinstance(found, str):
                    reasons[column.column] = found
                else:
                    recognised.append(found)
                task.advance()
            located, present = None, None
            if self._detector is not None and self._found is not None:
                finds = self._detector.find(squares)
                located = self._localise(synthetic.facts, self._found, finds)
                present = self._present(synthetic.facts, self._found, finds)
            task.advance()
        if located is None and self._tasks.boxes:
            reasons["lesion box"] = "no image was requested with a lesion box"
        if present is None and self._tasks.normals:
            reasons["normal"] = (
                f"fewer than {self._config.min_patients} images were requested with, or without, "
                "a lesion"
            )
        return Obedience(
            recognition=tuple(recognised),
            localisation=located,
            presence=present,
            reasons=dict(sorted(reasons.items())),
        )

    def _recognise(
        self, task: ColumnTask, facts: Facts, squares: npt.NDArray[np.uint8]
    ) -> Recognition | str:
        if task.column not in facts.conditions:
            return "the synthetic images were not requested with it"
        asked = facts.labels(task.column, task.values)
        answers = _answers(
            self._classifiers[task.column].probabilities(squares), asked, facts.patients
        )
        truth = self._test.labels(task.column, task.values)
        found = recognise(
            task.column,
            task.values,
            _answers(self._probabilities[task.column], truth, self._test.patients),
            answers,
            left_out=task.left_out,
            min_images=self._config.min_patients,
            resamples=self._config.resamples,
            rng=self._rng(task.column),
        )
        if found is None:
            return too_few_requests(self._config.min_patients)
        return found

    def _localise(self, facts: Facts, real: Detections, made: Detections) -> Localisation | None:
        if not facts.has_box.any():
            return None

        def finds(of: Facts, found: Detections) -> Finds:
            rows = of.has_box
            return Finds(
                found=found.boxes[rows],
                asked=to_square(of.boxes[rows], self._size),
                patients=of.patients[rows],
            )

        return localise(
            finds(self._test, real),
            finds(facts, made),
            resamples=self._config.resamples,
            rng=self._rng("lesion box"),
        )

    def _present(self, facts: Facts, real: Detections, made: Detections) -> Presence | None:
        if real.presence is None or made.presence is None:
            return None
        found = recognise(
            "lesion",
            CASES,
            _answers(_cases(real.presence), _case_labels(self._test), self._test.patients),
            _answers(_cases(made.presence), _case_labels(facts), facts.patients),
            min_images=self._config.min_patients,
            resamples=self._config.resamples,
            rng=self._rng("normal"),
        )
        return None if found is None else Presence.of(found)

    def _rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(f"quality figures {purpose}", self._config.seed))


def _text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _classifier_job(
    task: ColumnTask,
    facts: Facts,
    squares: npt.NDArray[np.uint8],
    steps: int,
    seed: int,
    member: int,
) -> ClassifierJob:
    return ClassifierJob(
        images=squares,
        labels=facts.labels(task.column, task.values),
        patients=facts.patients,
        classes=len(task.values),
        steps=steps,
        seed=derive_seed(f"quality column {task.column}", seed, member),
    )


def _detector_job(
    tasks: Tasks,
    train: Material,
    squares: npt.NDArray[np.uint8],
    steps: int,
    seed: int,
    member: int,
) -> DetectorJob:
    facts = train.facts
    return DetectorJob(
        images=squares,
        boxes=to_square(facts.boxes, train.size),
        normal=facts.is_normal & tasks.normals,
        patients=facts.patients,
        steps=steps,
        seed=derive_seed("quality detector", seed, member),
    )


def _answers(
    probabilities: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    patients: npt.NDArray[np.int64],
) -> Answers:
    """Keep the images whose value is one of the classes."""
    rows = labels >= 0
    return Answers(probabilities=probabilities[rows], labels=labels[rows], patients=patients[rows])


def _cases(presence: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack([1.0 - presence, presence], axis=1)


def _case_labels(facts: Facts) -> npt.NDArray[np.int64]:
    """0 for normal, 1 for a lesion, -1 where it is not known."""
    return np.where(facts.is_normal, 0, np.where(facts.has_box, 1, -1)).astype(np.int64)
