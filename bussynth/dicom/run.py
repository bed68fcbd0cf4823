"""A run over many files: workers that may be killed, a journal, and going on after a crash."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from bussynth import __version__, atomic
from bussynth.cleaning.engine import resolve_engine
from bussynth.config import RunOptions
from bussynth.dicom.config import DicomOptions
from bussynth.dicom.journal import Journal
from bussynth.dicom.process import Job, OutputError, prepare, process
from bussynth.dicom.record import QUARANTINED, FileRecord
from bussynth.dicom.sources import Source
from bussynth.errors import BussynthError, DataError, UsageError
from bussynth.progress import Progress
from privacy.deidentify import text
from privacy.deidentify.bounded import Bounds, Failed, WorkerError, bounded_results
from privacy.deidentify.bounds import Failure
from privacy.deidentify.errors import ProfileError
from privacy.deidentify.policy import Policy
from privacy.deidentify.profile import load_profile
from privacy.deidentify.regions import SiteRule
from privacy.deidentify.settings import FrameChoice, OnColour, OnText, Settings
from privacy.pseudonym import SiteKey

__all__ = ["decisive", "make_settings", "run_files", "work_folder"]

_FAILED = {
    Failure.TIMED_OUT: ("timed-out", "it took longer than the time limit."),
    Failure.CRASHED: ("crashed", "a library crashed on it."),
    Failure.OUT_OF_MEMORY: ("out-of-memory", "it needed more memory than the limit."),
}


def make_settings(
    config: DicomOptions, rules: Sequence[SiteRule], policy: Policy | None = None
) -> Settings:
    """Turn options into the settings of the engine.

    Raises:
        UsageError: If no text engine is installed and none was named, the named one is missing, or
            the table of PS3.15 is.
    """
    try:
        load_profile()
    except ProfileError as error:
        raise UsageError(str(error)) from None
    engine = resolve_engine(config.text_engine)
    missing = sorted(set(engine.split("+")) - set(text.available()))
    if missing:
        raise UsageError(
            f"The text engine {' and '.join(missing)} is not installed: pip install "
            "'bussynth[ocr]' brings rapidocr; tesseract is a package of the system."
        )
    if config.frames == "key" and config.most_frames is None:
        raise UsageError("Key frames are chosen up to a number: give --most-frames.")
    return Settings(
        policy=policy or Policy(),
        rules=tuple(rules),
        frames=FrameChoice(config.frames),
        step=config.frame_step,
        most_frames=config.most_frames,
        text_engine=engine,
        on_text=OnText(config.on_text),
        on_colour=OnColour(config.on_colour),
    )


@contextmanager
def work_folder(out: Path, kind: str, content: dict[str, Any]) -> Iterator[Path]:
    """Yield the folder beside the output that an unfinished run of the same command left.

    It is named after all that decides the result, so a run with other settings starts anew. It is
    removed when the block succeeds and stays when it is interrupted.

    Args:
        out: The output.
        kind: A word for the name.
        content: What decides the result.

    Raises:
        DataError: If it cannot be made.
        UsageError: If another run works in it.
    """
    key = hashlib.sha256(atomic.canonical_json([__version__, content]).encode()).hexdigest()
    folder = out.absolute().parent / f".{out.name}.{kind}-{key[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DataError(f"Nothing can be written beside the output: {error.strerror}.") from None
    with _locked(folder):
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    for leftover in folder.parent.glob(f".{glob.escape(out.name)}.{kind}-*"):
        # Another run with other settings may be at work in it.
        with suppress(UsageError, OSError), _locked(leftover):
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second run of the same command out, where the system has such locks.

    The lock ends with the process, however that ends.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError("The same command is running already.") from None
    except OSError:
        pass  # some network file systems have no locks
    try:
        yield
    finally:
        os.close(descriptor)


def decisive(settings: Settings, key: SiteKey, engine: str, source: Path) -> dict[str, Any]:
    """Return what decides the result of a run, as plain values."""
    return {
        "settings": asdict(settings),
        "key": key.fingerprint,
        "engine": engine,
        "source": key.digest("source-folder", str(source.resolve())).hex(),
    }


def run_files(
    sources: Sequence[Source],
    job: Job,
    config: DicomOptions,
    *,
    options: RunOptions,
    progress: Progress,
) -> list[FileRecord]:
    """De-identify files, as far as an earlier run has not.

    Args:
        sources: The files.
        job: What they share; its work folder takes outputs and journal.
        config: Limits of time and memory.
        options: Only ``workers`` is used.
        progress: Where to report.

    Returns:
        A record for every file, in their order.

    Raises:
        BussynthError: If workers do not start.
        DataError: If the work folder cannot be written.
    """
    journal = Journal(job.work)
    wanted = {(one.name, one.size, one.changed): one for one in sources}
    done: dict[int, FileRecord] = {}
    for record in journal.read():
        source = wanted.get((record.name, record.size, record.changed))
        # That a file cannot be read may have been remedied without a trace in it.
        if source is not None and record.reason != "cannot-be-read":
            # A file that was added or removed moves the numbers of others.
            done[source.number] = replace(record, number=source.number)
    journal.start(done[number] for number in sorted(done))
    left = [one for one in sources if one.number not in done]
    bounds = Bounds(seconds=config.time_limit, memory_bytes=config.memory_limit << 20)
    work = partial(process, job=job)
    task = progress.task("De-identifying", total=len(sources), unit="files", done=len(done))
    with journal, task as bar:
        results = bounded_results(
            work, left, workers=options.workers, bounds=bounds, prepare=partial(prepare, job)
        )
        try:
            for position, result in results:
                source = left[position]
                if isinstance(result, Failed) and result.error == OutputError.__name__:
                    raise DataError(
                        "What is kept cannot be written beside the output; see to free space and "
                        "permissions, then run the same command again."
                    )
                record = result if isinstance(result, FileRecord) else _failed(source, result)
                journal.add(record)
                done[source.number] = record
                bar.advance()
        except WorkerError as error:
            raise BussynthError(f"The workers do not start: {error}") from None
        finally:
            results.close()
    return [done[one.number] for one in sources]


def _failed(source: Source, failed: Failed) -> FileRecord:
    bug = f"an unexpected error ({failed.error}); please report it."
    reason, why = _FAILED.get(failed.failure, ("error", bug))
    return FileRecord(
        number=source.number,
        name=source.name,
        size=source.size,
        changed=source.changed,
        decision=QUARANTINED,
        reason=reason,
        why=why,
    )
