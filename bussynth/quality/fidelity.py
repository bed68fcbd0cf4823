"""Fidelity of synthetic images in feature spaces that were fitted once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audits.errors import AuditInputError
from bussynth.errors import DataError
from bussynth.progress import SILENT, Progress, Task
from bussynth.quality.material import Material

if TYPE_CHECKING:
    from audits.features.base import FeatureMap
    from audits.fidelity.measure import SpaceFidelity

__all__ = ["Yardstick"]


class Yardstick:
    """Feature spaces fitted to real training images, and the real images to compare with."""

    def __init__(self, spaces: Sequence[FeatureMap], train: Material, test: Material) -> None:
        self._spaces, self._train, self._test = tuple(spaces), train, test

    @classmethod
    def fit(
        cls,
        train: Material,
        test: Material,
        *,
        seed: int,
        steps: int | None = None,
        threads: int = 1,
        progress: Progress = SILENT,
    ) -> Yardstick:
        """Train the encoder of the learned space on training patients.

        Args:
            train: Real training images; also the floor of every figure.
            test: Real images of patients whom neither generator nor encoder has seen.
            seed: Of the encoder.
            steps: Training steps of the encoder; as many as it needs by default.
            threads: Threads; never changes a number.
            progress: Where to report.

        Raises:
            DataError: There are too few images or patients.
        """
        from audits.fidelity.spaces import fidelity_spaces

        with progress.task("Encoder", unit="steps") as task:
            try:
                spaces = fidelity_spaces(
                    train.images,
                    train.facts.patients,
                    seed=seed,
                    steps=steps,
                    threads=threads,
                    progress=_Steps(task),
                )
            except AuditInputError as error:
                raise DataError(error.message, error.problems) from error
        return cls(spaces, train, test)

    def measure(
        self,
        synthetic: Material,
        *,
        seed: int,
        resamples: int,
        threads: int = 1,
        progress: Progress = SILENT,
    ) -> tuple[SpaceFidelity, ...]:
        """Compare synthetic with test images; the same for training images is the floor.

        Args:
            synthetic: The synthetic images.
            seed: Of the rows drawn and of the intervals.
            resamples: Bootstrap resamples.
            threads: Threads; never changes a number.
            progress: Where to report.

        Returns:
            One result a space.

        Raises:
            DataError: There are too few images, or they differ in size.
        """
        from audits.fidelity.measure import measure_fidelity

        with progress.task("Fidelity", unit="jobs") as task:
            try:
                found = measure_fidelity(
                    self._spaces,
                    synthetic.images,
                    self._train.images,
                    self._test.images,
                    train_patients=self._train.facts.patients,
                    reference_patients=self._test.facts.patients,
                    seed=seed,
                    resamples=resamples,
                    threads=threads,
                    progress=_Steps(task),
                )
            except AuditInputError as error:
                raise DataError(error.message, error.problems) from error
        return tuple(found)


class _Steps:
    """Turns "done, total" into advances of a task."""

    def __init__(self, task: Task) -> None:
        self._task, self._done = task, 0

    def __call__(self, done: int, total: int) -> None:
        self._task.expect(total)
        self._task.advance(max(0, done - self._done))
        self._done = max(done, self._done)
