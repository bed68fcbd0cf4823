"""Simulating a whole cohort, on one process or several, with the same bytes either way."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from bussynth.cohort import Cohort, Row
from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.phantom.patient import simulate_patient
from bussynth.config import RunOptions
from bussynth.progress import SILENT, Progress

__all__ = ["phantom_rows", "write_phantom_cohort"]

SIMULATOR = "bussynth-phantom/1"
"""Name and version of the simulator; a change of its images is a new version."""

_CHUNK = 16  # patients a task: long against the cost of a task, short against a progress bar


def _name(what: str, seed: int, *numbers: int) -> str:
    """Opaque name: unordered, unique, and the same on every run."""
    text = ":".join([SIMULATOR, what, str(seed), *map(str, numbers)])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def phantom_rows(start: int, stop: int, config: PhantomConfig) -> list[Row]:
    """Simulate the patients ``start`` to ``stop - 1``: a pure function of its arguments.

    Args:
        start: Number of the first patient.
        stop: One more than the number of the last.
        config: The cohort's configuration.

    Returns:
        The rows of these patients, in order, pixels encoded as PNG.
    """
    rows = []
    for index in range(start, stop):
        patient = _name("patient", config.seed, index)
        for number, view in enumerate(simulate_patient(index, config)):
            rows.append(
                Row.from_arrays(
                    id=_name("image", config.seed, index, number),
                    image=view.image,
                    mask=view.mask,
                    patient=patient,
                    conditions={
                        "pathology": view.pathology,
                        "device": view.device,
                        "birads": view.birads,
                    },
                    lesion_box=view.lesion_box,
                )
            )
    return rows


def _chunks(config: PhantomConfig) -> list[tuple[int, int]]:
    return [
        (start, min(start + _CHUNK, config.patients)) for start in range(0, config.patients, _CHUNK)
    ]


def _simulated(config: PhantomConfig, workers: int) -> Iterator[list[Row]]:
    """Rows of each chunk in order; at most a few chunks wait in memory."""
    chunks = _chunks(config)
    workers = min(workers, len(chunks))
    if workers == 1:
        for start, stop in chunks:
            yield phantom_rows(start, stop, config)
        return
    # "spawn" and not "fork": a fork of a process whose libraries run threads may hang. The
    # simulator uses no threaded routine, so every worker keeps to one core.
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        waiting: deque[Future[list[Row]]] = deque()
        for start, stop in chunks:
            waiting.append(executor.submit(phantom_rows, start, stop, config))
            if len(waiting) >= 3 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def write_phantom_cohort(
    out: Path | str,
    config: PhantomConfig,
    *,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> Cohort:
    """Simulate a cohort and write it; the folder appears whole or not at all.

    Args:
        out: The folder to make.
        config: What to simulate.
        options: ``workers`` processes share the work; the bytes written do not depend on it.
        progress: Where to report to, in patients.
        force: Replace an earlier output of bussynth.

    Returns:
        The cohort, of kind ``"phantom"``, with masks.

    Raises:
        UsageError: The folder exists and ``force`` is not given.
    """
    workers = (options or RunOptions()).workers
    # Before the workers start, not after.
    Cohort.check_place(out, "phantom", force=force)
    with progress.task("Simulating", total=config.patients, unit="patients") as task:

        def rows() -> Iterator[Row]:
            for (start, stop), chunk in zip(
                _chunks(config), _simulated(config, workers), strict=True
            ):
                yield from chunk
                task.advance(stop - start)

        return Cohort.create(
            out,
            rows(),
            kind="phantom",
            image_size=config.image_size,
            vocabulary={
                "pathology": ["normal", "benign", "malignant"],
                "device": list(config.devices),
                "birads": ["1", "2", "3", "4", "5"],
            },
            masks=True,
            provenance={"simulator": SIMULATOR, "config": config.to_dict()},
            force=force,
        )
