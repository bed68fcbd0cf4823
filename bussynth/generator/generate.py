"""From a model folder to a synthetic cohort, in pieces that survive a kill.

The work is cut into chunks that are pure functions of (model, request, first row). Finished chunks
wait in a hidden folder beside the output, named after the request; the same command finds them
there and goes on. Conditions, noise and pixels of image i depend on the seed and on i alone, so
chunks, batches and workers change nothing but the speed.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from bussynth import atomic
from bussynth.cohort import Cohort, Row
from bussynth.config import RunOptions
from bussynth.errors import BussynthError, IntegrityError, UsageError
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.config import GenerateConfig
from bussynth.generator.distributed import World
from bussynth.generator.generator import Generator, Sampler
from bussynth.generator.seeds import derive_seed
from bussynth.progress import SILENT, Progress

if TYPE_CHECKING:
    from bussynth.generator.protection import Protection

__all__ = ["check_generate", "generate_cohort", "request_conditions"]

_DAMAGED = "{} is damaged; delete it and run the same command again."


@dataclass(frozen=True)
class _Source:
    """Where a worker finds the model."""

    model: str
    base: str | None
    device: str

    def load(self) -> Generator:
        return Generator.load(self.model, self.device, self.base)


@dataclass(frozen=True)
class _Request:
    """What a chunk needs besides the model."""

    config: GenerateConfig
    folder: Path
    batch_size: int | None
    protection: Protection | None = None

    def chunk_path(self, index: int) -> Path:
        return self.folder / f"chunk-{index:06d}.npz"

    def rows(self, index: int) -> range:
        size = self.config.chunk_size
        return range(index * size, min((index + 1) * size, self.config.n))


def request_conditions(model: Sampler, config: GenerateConfig, row: int) -> dict[str, Any]:
    """Conditions asked for in image ``row``: the fixed ones, the others drawn from the prior."""
    rng = np.random.default_rng(derive_seed("conditions", config.seed, row))
    conditions = model.prior.draw(rng, config.conditions)
    if conditions["lesion_box"] is not None:
        conditions["lesion_box"] = tuple(round(float(v), 2) for v in conditions["lesion_box"])
    return conditions


def check_generate(
    model: Sampler, out: Path | str, config: GenerateConfig, *, force: bool = False
) -> None:
    """Check a request without generating anything.

    Args:
        model: The generator.
        out: Cohort folder to make.
        config: What to generate.
        force: Replace an earlier output of bussynth.

    Raises:
        UsageError: A condition the model does not know, or ``out`` is taken.
    """
    encoder = ConditionEncoder(model.vocabulary, model.image_size)
    problems = [text.removeprefix("row 0: ") for text in encoder.problems([config.conditions])]
    if problems:
        raise UsageError("The model cannot be asked for these conditions.", problems)
    Cohort.check_place(out, "synthetic", force=force)


def generate_cohort(
    model: Generator | Path | str | Sampler,
    out: Path | str,
    config: GenerateConfig | None = None,
    *,
    base: Path | str | None = None,
    real: Cohort | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> Cohort:
    """Generate a synthetic cohort.

    A run that was killed goes on when it is started again with the same arguments. Under
    ``torchrun`` each process makes its share of the pieces and the first one puts them together.

    Args:
        model: Folder of a model or an adapter, ``builtin:NAME``, or a generator. Several workers
            need a folder or a name, which each of them loads for itself.
        out: Cohort folder to make.
        config: What to generate.
        base: Of an adapter: its base, if that is not a built-in one.
        real: For a guard: the cohort the model was trained on. Images that a guard leaves out
            are missing from the cohort; its provenance counts them.
        options: Workers (each with one thread), device and batch size.
        progress: Where to report.
        force: Replace an earlier output of bussynth in ``out``.

    Returns:
        The cohort, of kind ``"synthetic"``, without patients and splits.

    Raises:
        UsageError: See :func:`check_generate`, or a guard lacks its cohort.
        DataError: The cohort of a guard is not the model's.
        IntegrityError: The model folder is unfinished or damaged.
    """
    config, options, out = config or GenerateConfig(), options or RunOptions(), Path(out)
    world = World.current()
    source = _Source(str(model), None if base is None else str(base), options.device)
    named = isinstance(model, (str, Path))
    sampler: Sampler = source.load() if isinstance(model, (str, Path)) else model
    if options.workers > 1 and not named:
        raise UsageError("Several workers need the path of a model folder, not a loaded model.")
    check_generate(sampler, out, config, force=force)
    protection = _protection(sampler, real, config, options)
    if protection is not None and isinstance(sampler, Generator):
        sampler = protection.steered(sampler)
    world.wait()
    decides = [sampler.digest] if protection is None else [sampler.digest, protection.digest]
    request = _Request(config, _staging(out, decides, config), options.batch_size, protection)
    request.folder.mkdir(parents=True, exist_ok=True)
    chunks = range(-(-config.n // config.chunk_size))
    own = chunks[world.rank :: world.size]
    missing = [i for i in own if not request.chunk_path(i).exists()]
    total = sum(len(request.rows(i)) for i in own)
    done = total - sum(len(request.rows(i)) for i in missing)
    with progress.task("Generating", total=total, done=done) as task:
        for index in _completed(sampler, source if named else None, request, missing, options):
            task.advance(len(request.rows(index)))
    world.wait()
    if not world.first:
        world.wait()
        return Cohort.open(out)
    cohort = Cohort.create(
        out,
        _rows(sampler, request, chunks),
        kind="synthetic",
        image_size=sampler.image_size,
        vocabulary=sampler.vocabulary,
        provenance={
            "generator": sampler.digest,
            "request": _science(config),
            # Lets an audit notice that it compares with the patients of another cohort.
            "trained_on": getattr(sampler, "trained_on", None),
            **({} if protection is None else {"guard": _guarded(request, protection, chunks)}),
        },
        force=force,
    )
    for leftover in request.folder.parent.glob(f".{out.name}.generating-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    world.wait()
    return cohort


def _protection(
    sampler: Sampler, real: Cohort | None, config: GenerateConfig, options: RunOptions
) -> Protection | None:
    if config.guard == "none":
        return None
    problems = []
    if real is None:
        problems.append("name the cohort the model was trained on")
    if not isinstance(sampler, Generator):
        problems.append("only generators of bussynth can be guarded")
    if options.workers > 1:
        problems.append("guards work in one process; leave workers at 1")
    if problems or real is None or not isinstance(sampler, Generator):
        raise UsageError(f"guard={config.guard!r} cannot be used like this.", problems)
    from bussynth.generator.protection import Protection

    return Protection.fit(sampler, real, config)


def _guarded(request: _Request, protection: Protection, chunks: range) -> dict[str, Any]:
    """Totals over all chunks."""
    kept = drawn = 0
    for index in chunks:
        with np.load(request.chunk_path(index), allow_pickle=False) as chunk:
            kept, drawn = kept + len(chunk["rows"]), drawn + int(chunk["drawn"])
    return protection.record(request.config, request.config.n, drawn, kept)


def _staging(out: Path, decides: Sequence[str], config: GenerateConfig) -> Path:
    content = [*decides, config.to_dict()]
    key = hashlib.sha256(atomic.canonical_json(content).encode()).hexdigest()
    # Not ".NAME.partial-": those are swept when another run of the same output succeeds.
    return out.absolute().parent / f".{out.name}.generating-{key[:16]}"


def _science(config: GenerateConfig) -> dict[str, Any]:
    """The request without what changes no image."""
    guard = {"guard", "guard_alpha", "guard_attempts"} if config.guard == "none" else set()
    left_out = guard | {"chunk_size"}
    return {key: value for key, value in config.to_dict().items() if key not in left_out}


def _completed(
    sampler: Sampler,
    source: _Source | None,
    request: _Request,
    missing: Sequence[int],
    options: RunOptions,
) -> Iterator[int]:
    """Make the missing chunks, here or in worker processes; yields their numbers as they end."""
    workers = min(options.workers, len(missing))
    if workers <= 1 or source is None:
        for index in missing:
            _write_chunk(sampler, request, index)
            yield index
        return
    # Forking a process in which torch runs threads may hang, hence "spawn".
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(_work, source, request, i): i for i in missing}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenProcessPool as error:
            raise BussynthError(
                "A worker process died, perhaps for want of memory. Finished pieces are kept: "
                "run the same command again, with fewer workers."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@lru_cache(maxsize=1)
def _worker_model(source: _Source) -> Generator:
    torch.set_num_threads(1)
    return source.load()


def _work(source: _Source, request: _Request, index: int) -> None:
    """Make a chunk in a worker process."""
    _write_chunk(_worker_model(source), request, index)


def _write_chunk(sampler: Sampler, request: _Request, index: int) -> None:
    config, rows = request.config, request.rows(index)

    def draw(chosen: Sequence[int], attempt: int) -> npt.NDArray[np.uint8]:
        # The first attempt is the image that an unguarded request gives.
        again = (attempt,) if attempt else ()
        return sampler.sample(
            [request_conditions(sampler, config, int(row)) for row in chosen],
            [derive_seed("noise", config.seed, int(row), *again) for row in chosen],
            steps=config.steps,
            guidance=config.guidance,
            batch_size=request.batch_size,
        )

    stream = io.BytesIO()
    if request.protection is None:
        np.savez(stream, images=draw(rows, 0), rows=np.asarray(rows), drawn=len(rows))
    else:
        made = request.protection.draw(lambda chosen, k: draw(chosen.tolist(), k), rows)
        images = made.images.reshape(-1, *sampler.image_size)
        np.savez(stream, images=images, rows=made.rows, drawn=made.drawn)
    atomic.write_bytes(request.chunk_path(index), stream.getvalue())


def _rows(sampler: Sampler, request: _Request, chunks: Iterable[int]) -> Iterator[Row]:
    """Rows of the cohort, read back chunk by chunk."""
    for index in chunks:
        path, asked = request.chunk_path(index), request.rows(index)
        try:
            with np.load(path, allow_pickle=False) as chunk:
                images, rows = chunk["images"], chunk["rows"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise IntegrityError(_DAMAGED.format(path)) from error
        complete = request.protection is not None or len(rows) == len(asked)
        if (
            images.shape != (len(rows), *sampler.image_size)
            or images.dtype != np.uint8
            or not complete
            or not set(rows.tolist()) <= set(asked)
        ):
            raise IntegrityError(_DAMAGED.format(path))
        for row, image in zip(rows.tolist(), images, strict=True):
            conditions = request_conditions(sampler, request.config, row)
            box = conditions.pop("lesion_box")
            yield Row.from_arrays(
                id=f"synthetic-{row:08d}", image=image, conditions=conditions, lesion_box=box
            )
