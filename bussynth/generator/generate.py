"""From a model folder to a synthetic cohort, in pieces that survive a kill.

The work is cut into chunks that are pure functions of (model, sampler, request, first row).
Finished chunks wait in a hidden folder beside the output, named after these; the same command
finds them there and goes on. Conditions, noise and pixels of image i depend on the seed and on i
alone, so chunks, batches and workers change nothing but the speed.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import shutil
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from bussynth import atomic
from bussynth.cohort import Cohort, Row
from bussynth.config import RunOptions
from bussynth.errors import BussynthError, IntegrityError, UsageError
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.config import GenerateConfig
from bussynth.generator.distributed import World
from bussynth.generator.generator import Generator, Sampler
from bussynth.generator.sampler import SAMPLER
from bussynth.generator.seeds import derive_seed
from bussynth.progress import SILENT, Progress

if TYPE_CHECKING:
    from bussynth.generator.protection import Protection

__all__ = ["check_generate", "generate_cohort", "request_conditions"]

_DAMAGED = "{} is damaged; delete it and run the same command again."
# What numpy raises at files that were cut off, overwritten or hold something else.
_UNREADABLE = (
    OSError,
    AttributeError,
    EOFError,
    KeyError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class _Source:
    """Where a worker finds the model, and which one it must be once that is known."""

    model: str
    base: str | None
    device: str
    digest: str | None = None

    def load(self) -> Generator:
        model = Generator.load(self.model, self.device, self.base)
        if self.digest not in (None, model.digest):
            raise IntegrityError(
                f"{self.model} was replaced while images were drawn from it. No cohort was "
                "written; run the same command again to draw from the new model."
            )
        return model


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


@dataclass(frozen=True)
class _Chunk:
    """What a chunk holds: images ``(kept, H, W)``, their rows, and how many were drawn."""

    images: npt.NDArray[np.uint8]
    rows: list[int]
    drawn: int


def request_conditions(model: Sampler, config: GenerateConfig, row: int) -> dict[str, Any]:
    """Conditions asked for in image ``row``: the fixed ones, the others drawn from the prior."""
    rng = np.random.default_rng(derive_seed("conditions", config.seed, row))
    conditions = model.prior.draw(rng, config.conditions)
    if conditions["lesion_box"] is not None:
        conditions["lesion_box"] = tuple(round(float(v), 2) for v in conditions["lesion_box"])
    return conditions


def check_generate(
    model: Sampler,
    out: Path | str,
    config: GenerateConfig,
    *,
    real: Cohort | None = None,
    options: RunOptions | None = None,
    force: bool = False,
) -> None:
    """Check a request without generating anything.

    Args:
        model: The generator.
        out: Cohort folder to make.
        config: What to generate.
        real: For a guard: the cohort the model was trained on.
        options: Workers.
        force: Replace an earlier output of bussynth.

    Raises:
        UsageError: A condition the model does not know, ``out`` is taken, or a guard cannot be
            used like this.
        DataError: The cohort of a guard is not the model's, or has nobody to guard.
    """
    encoder = ConditionEncoder(model.vocabulary, model.image_size)
    problems = [text.removeprefix("row 0: ") for text in encoder.problems([config.conditions])]
    if problems:
        raise UsageError("The model cannot be asked for these conditions.", problems)
    Cohort.check_place(out, "synthetic", force=force)
    _check_guard(model, real, config, options or RunOptions())


def _check_guard(
    model: Sampler, real: Cohort | None, config: GenerateConfig, options: RunOptions
) -> None:
    if config.guard == "none":
        if real is not None:
            raise UsageError(
                "The real cohort is only read by a guard, and none is asked for: add a guard "
                "(--guard rejection, cpsample or both) or leave the cohort out (--real)."
            )
        return
    problems = []
    if real is None:
        problems.append("name the cohort the model was trained on (--real)")
    if not isinstance(model, Generator):
        problems.append("only generators of bussynth can be guarded")
    if options.workers > 1:
        problems.append("guards work in one process; leave workers at 1")
    if problems or real is None or not isinstance(model, Generator):
        raise UsageError(f"guard={config.guard!r} cannot be used like this.", problems)
    from bussynth.generator.protection import check_protection

    check_protection(model, real, config)


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
        UsageError: See :func:`check_generate`.
        DataError: See :func:`check_generate`.
        IntegrityError: The model folder is unfinished, damaged or was replaced meanwhile, or a
            piece of an earlier run is damaged.
    """
    config, options, out = config or GenerateConfig(), options or RunOptions(), Path(out)
    world = World.current()
    source = _Source(str(model), None if base is None else str(base), options.device)
    named = isinstance(model, (str, Path))
    sampler: Sampler = source.load() if isinstance(model, (str, Path)) else model
    if options.workers > 1 and not named:
        raise UsageError("Several workers need the path of a model folder, not a loaded model.")
    check_generate(sampler, out, config, real=real, options=options, force=force)
    protection = _protection(sampler, real, config, base)
    if protection is not None and isinstance(sampler, Generator):
        sampler = protection.steered(sampler)
    source = replace(source, digest=sampler.digest)
    decides = [sampler.digest] if protection is None else [sampler.digest, protection.digest]
    request = _Request(config, _staging(out, decides, config), options.batch_size, protection)
    request.folder.mkdir(parents=True, exist_ok=True)
    chunks = range(-(-config.n // config.chunk_size))
    missing = _missing(request, chunks, world)
    own = missing[world.rank :: world.size]
    done = config.n - sum(len(request.rows(i)) for i in missing)
    total = done + sum(len(request.rows(i)) for i in own)
    with progress.task("Generating", total=total, done=done) as task:
        for index in _completed(sampler, source if named else None, request, own, options):
            task.advance(len(request.rows(index)))
    world.wait()
    if not world.first:
        world.wait()
        return Cohort.open(out)
    guard = {}
    if protection is not None:
        guard["guard"] = _guarded(sampler, request, protection, chunks)
    cohort = Cohort.create(
        out,
        _rows(sampler, request, chunks),
        kind="synthetic",
        image_size=sampler.image_size,
        vocabulary=sampler.vocabulary,
        provenance={
            "generator": sampler.digest,
            "sampler": SAMPLER,
            "request": _science(config),
            # Lets an audit notice that it compares with the patients of another cohort.
            "trained_on": getattr(sampler, "trained_on", None),
            **guard,
            **_claim(sampler, config),
        },
        force=force,
    )
    for leftover in request.folder.parent.glob(f".{out.name}.generating-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    world.wait()
    return cohort


def _protection(
    sampler: Sampler, real: Cohort | None, config: GenerateConfig, base: Path | str | None
) -> Protection | None:
    """The guards of a request that :func:`check_generate` let through."""
    if config.guard == "none" or real is None or not isinstance(sampler, Generator):
        return None
    from bussynth.generator.protection import Protection

    return Protection.fit(sampler, real, config, base=base)


def _claim(sampler: Sampler, config: GenerateConfig) -> dict[str, Any]:
    """The claim of a private model, which its images share; a guard looks at patients."""
    privacy = sampler.training.get("privacy") if isinstance(sampler, Generator) else None
    return {} if privacy is None or config.guard != "none" else {"privacy": dict(privacy)}


def _guarded(
    sampler: Sampler, request: _Request, protection: Protection, chunks: range
) -> dict[str, Any]:
    """Totals over all chunks."""
    kept = drawn = 0
    for index in chunks:
        chunk = _read_chunk(sampler, request, index)
        kept, drawn = kept + len(chunk.rows), drawn + chunk.drawn
    return protection.record(request.config, request.config.n, drawn, kept)


def _staging(out: Path, decides: Sequence[str], config: GenerateConfig) -> Path:
    content = [SAMPLER, *decides, config.to_dict()]
    key = hashlib.sha256(atomic.canonical_json(content).encode()).hexdigest()
    # Not ".NAME.partial-": those are swept when another run of the same output succeeds.
    return out.absolute().parent / f".{out.name}.generating-{key[:16]}"


def _missing(request: _Request, chunks: range, world: World) -> list[int]:
    """Chunks that an earlier run did not leave, the same list in every process.

    The first process decides, before any of them writes: what each saw for itself would depend on
    how far the others are.
    """
    missing = [i for i in chunks if not request.chunk_path(i).exists()]
    if world.size == 1:
        return missing
    shared = [(request.folder.name, missing)]
    dist.broadcast_object_list(shared, src=0)
    name, missing = shared[0]
    if name != request.folder.name:
        raise IntegrityError(
            "The processes of this run hold different models, guards or requests; give all of "
            "them the same files and arguments, and the same number of threads."
        )
    return missing


def _science(config: GenerateConfig) -> dict[str, Any]:
    """The request without what changes no image."""
    left_out = {"chunk_size"}
    if config.guard == "none":
        left_out |= {"guard"}
    if config.guard not in ("rejection", "both"):
        left_out |= {"guard_alpha", "guard_attempts"}
    if config.guard not in ("cpsample", "both"):
        left_out |= {"guard_steps"}
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
    with ProcessPoolExecutor(workers, context, initializer=_end_with_parent) as pool:
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


def _end_with_parent() -> None:
    """End this worker process when the process that started it is no more.

    A parent that is killed cannot tell its workers, and they hold both ends of the queue they
    wait at: they would keep their memory for good. Chunks are written whole or not at all, so a
    worker may end at any moment.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


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


def _read_chunk(sampler: Sampler, request: _Request, index: int) -> _Chunk:
    """Read a chunk back, and nothing that this request cannot have written.

    Raises:
        IntegrityError: The file is damaged.
    """
    path, asked = request.chunk_path(index), request.rows(index)
    try:
        # numpy leaves a file open that it opened and could not read.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as chunk:
            images = chunk["images"]
            rows = chunk["rows"].astype(np.int64, casting="safe").tolist()
            drawn = int(chunk["drawn"])
        sound = (
            images.shape == (len(rows), *sampler.image_size)
            and images.dtype == np.uint8
            and len(set(rows)) == len(rows)
            and set(rows) <= set(asked)
            and (request.protection is not None or len(rows) == len(asked) == drawn)
            and drawn >= len(asked)
        )
    except _UNREADABLE as error:
        raise IntegrityError(_DAMAGED.format(path)) from error
    if not sound:
        raise IntegrityError(_DAMAGED.format(path))
    return _Chunk(images, rows, drawn)


def _rows(sampler: Sampler, request: _Request, chunks: Iterable[int]) -> Iterator[Row]:
    """Rows of the cohort, read back chunk by chunk."""
    for index in chunks:
        chunk = _read_chunk(sampler, request, index)
        for row, image in zip(chunk.rows, chunk.images, strict=True):
            conditions = request_conditions(sampler, request.config, row)
            box = conditions.pop("lesion_box")
            yield Row.from_arrays(
                id=f"synthetic-{row:08d}", image=image, conditions=conditions, lesion_box=box
            )
