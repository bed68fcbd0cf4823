"""Private Evolution: a synthetic cohort bred from a public generator by private votes.

Nothing is trained (Lin et al. 2024, arXiv:2305.15560; :mod:`privacy.dp.evolution`). The generator
proposes images of every pathology; each patient votes for those nearest to the own images of the
same pathology, in a space of random filters that nobody trained; what many voted for is kept and
varied by noising part of the way and denoising again. Only noisy votes leave the patients.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from audits.features.random_multiscale import RandomMultiscaleMap
from bussynth import atomic
from bussynth.cohort import Cohort, Row
from bussynth.config import RunOptions
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.generator.base import open_base
from bussynth.generator.dataset import training_view
from bussynth.generator.evolution_config import EvolveConfig
from bussynth.generator.generator import Generator
from bussynth.generator.private_plan import (
    budget_cap,
    budget_ledger,
    check_public_base,
    check_room,
    cohort_commitment,
)
from bussynth.generator.private_record import privacy_record
from bussynth.generator.refusals import refusals
from bussynth.generator.seeds import derive_seed
from bussynth.progress import SILENT, Progress
from privacy.dp.errors import DPInputError
from privacy.dp.evolution import EvolutionPlan, Patient, Round, Selection, evolve, select
from privacy.dp.ledger import Ledger

__all__ = ["check_evolve", "evolve_cohort"]

_COLUMN: Final = "pathology"
_PURPOSE: Final = "votes of an evolution"
_COVERED: Final = ("every image and condition of the synthetic cohort, and its record",)
_STATE_FILE: Final = "evolution.json"
_ROUND_FILE: Final = "round.npz"
_WORK: Final = ".evolving-"

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Candidates:
    """Images that are voted on, with what was asked of the generator."""

    images: Images
    conditions: list[dict[str, Any]]


class _Breeder:
    """The public side of an evolution: proposes, varies and describes images.

    Args:
        generator: The public generator.
        config: What was asked for.
        options: How many images to compute at once.
    """

    def __init__(self, generator: Generator, config: EvolveConfig, options: RunOptions) -> None:
        self._generator, self._config, self._batch = generator, config, options.batch_size
        self._space = RandomMultiscaleMap()
        self.classes = tuple(generator.vocabulary[_COLUMN])

    def propose(self, classes: npt.NDArray[np.int64]) -> _Candidates:
        """First candidates: drawn from the generator and its prior."""
        config, conditions = self._config, []
        for i, kind in enumerate(classes.tolist()):
            rng = np.random.default_rng(derive_seed("evolve-prior", config.seed, i))
            conditions.append(self._generator.prior.draw(rng, {_COLUMN: self.classes[kind]}))
        seeds = [derive_seed("evolve-noise", config.seed, 0, i) for i in range(len(classes))]
        images = self._generator.sample(
            conditions, seeds, steps=config.steps, batch_size=self._batch
        )
        return _Candidates(images, conditions)

    def vary(self, candidates: _Candidates, selection: Selection, number: int) -> _Candidates:
        """The next candidates: kept, or noised part of the way and denoised again."""
        config, last = self._config, max(1, self._config.rounds - 1)
        share = min(1.0, (number - 1) / last)
        strength = config.first_strength + share * (config.last_strength - config.first_strength)
        images = candidates.images[selection.parents]
        conditions = [candidates.conditions[parent] for parent in selection.parents]
        fresh = np.flatnonzero(selection.fresh)
        if len(fresh):
            images[fresh] = self._generator.renoise(
                images[fresh],
                [conditions[i] for i in fresh],
                strength,
                [derive_seed("evolve-noise", config.seed, number, int(i)) for i in fresh],
                steps=config.steps,
                batch_size=self._batch,
            )
        return _Candidates(images, conditions)

    def embed(self, candidates: _Candidates) -> npt.NDArray[np.float32]:
        """Where candidates lie in a space that nobody trained."""
        return self._space.features(candidates.images)

    def patients(self, cohort: Cohort, progress: Progress) -> list[Patient]:
        """Where the images of each patient lie, by pathology; those without a known one are mute.

        An image's features depend on that image alone, whatever others there are.
        """
        found: dict[str, list[list[npt.NDArray[np.float32]]]] = {}
        with progress.task("Describing images", total=len(cohort)) as task:
            for rows in cohort.batches(64):
                features = self._space.features(np.stack([row.image for row in rows]))
                for row, vector in zip(rows, features, strict=True):
                    own = found.setdefault(str(row.patient), [[] for _ in self.classes])
                    kind = row.conditions.get(_COLUMN)
                    if kind in self.classes:
                        own[self.classes.index(kind)].append(vector)
                task.advance(len(rows))
        width = self._space.features(np.zeros((1, *cohort.image_size), np.uint8)).shape[1]
        return [
            [np.array(part, np.float32).reshape(-1, width) for part in own]
            for own in found.values()
        ]


@refusals()
def check_evolve(
    cohort: Cohort, out: Path | str, config: EvolveConfig, *, force: bool = False
) -> EvolutionPlan:
    """Check an evolution without starting it.

    Args:
        cohort: The patients, split.
        out: Folder of the synthetic cohort.
        config: What is asked for.
        force: Replace an earlier synthetic cohort.

    Raises:
        UsageError: Cohort, base, size, budget or place do not do.
        DataError: There are no training images.
    """
    base = open_base(config.base)
    if cohort.kind == "synthetic":
        raise UsageError("A synthetic cohort has no patients to protect or to ask.")
    if not len(training_view(cohort)):
        raise DataError(f"{cohort.path} has no images in its train split.")
    if cohort.image_size != base.model.architecture.image_size:
        raise UsageError("The base makes images of another size than the cohort's.")
    classes = base.model.vocabulary.get(_COLUMN, ())
    if config.candidates < len(classes) or not classes:
        raise UsageError(f"candidates: at least one of each {_COLUMN} of the base is needed.")
    check_public_base(base, cohort, declared=config.dp_public_base)
    Cohort.check_place(out, "synthetic", force=force)
    budget_cap(config)
    each, rest = divmod(config.candidates, len(classes))
    plan = EvolutionPlan.calibrated(
        epsilon=config.dp_epsilon or 0.0,
        delta=config.delta,
        rounds=config.rounds,
        candidates=tuple(each + (i < rest) for i in range(len(classes))),
        threshold=config.threshold,
    )
    if not list(_work_folders(Path(out))):
        check_room(cohort, config, [plan.mechanism])
    return plan


@refusals()
def evolve_cohort(
    cohort: Cohort,
    out: Path | str,
    config: EvolveConfig,
    *,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> Cohort:
    """Breed a synthetic cohort, or go on with an interrupted evolution.

    Args:
        cohort: The patients, split; those of the training split vote.
        out: Folder of the synthetic cohort.
        config: What is asked for.
        options: Device and batch size.
        progress: Where to report.
        force: Replace an earlier synthetic cohort.

    Raises:
        UsageError: See :func:`check_evolve`; or the cohort's ledger forbids it.
        DataError: There are no training images.
    """
    options, out = options or RunOptions(), Path(out)
    plan = check_evolve(cohort, out, config, force=force)
    cohort.verify()
    generator = Generator.load(config.base, options.device)
    breeder = _Breeder(generator, config, options)
    ledger = budget_ledger(cohort, config)
    work = _Work(out, [generator.digest, cohort_commitment(cohort), config.to_dict()])
    identity = _register(ledger, plan, work)
    view = training_view(cohort)
    last = work.last()
    with progress.task(
        "Voting", total=plan.rounds, unit="rounds", done=0 if last is None else last.number
    ) as task:
        for done in evolve(
            breeder.patients(view, progress),
            breeder.propose,
            breeder.vary,
            breeder.embed,
            plan=plan,
            ledger=ledger,
            identity=identity,
            last=last,
        ):
            last = done
            work.keep(done)
            task.advance(1)
    if last is None:
        raise UsageError(
            "The rounds of this evolution were paid for, and none was kept. Start again with "
            "another --seed; what was spent stays spent."
        )
    selection = select(last.votes, plan, _wanted(last.votes, plan, config.n))
    with progress.task("Breeding", total=config.n) as task:
        made = breeder.vary(last.candidates, selection, config.rounds + 1)
        task.advance(config.n)
    result = Cohort.create(
        out,
        _rows(made),
        kind="synthetic",
        image_size=generator.image_size,
        vocabulary=generator.vocabulary,
        provenance={
            "generator": generator.digest,
            "request": {"verb": "evolve", **_science(config)},
            "trained_on": None,
            "privacy": privacy_record(ledger, _COVERED, {"base": generator.digest}),
        },
        force=force,
    )
    work.remove()
    return result


def _register(ledger: Ledger, plan: EvolutionPlan, work: _Work) -> str:
    """Reserve all rounds, or find what an earlier start of this run has reserved."""
    for one in ledger.registered():
        if one.public.get("run") == work.run:
            return one.identity
    if work.last() is not None:
        raise UsageError(
            "The ledger does not know of this evolution, which has asked the patients: it was cut, "
            "or is an older copy. Bring back the ledger that paid for it."
        )
    try:
        return ledger.register(_PURPOSE, plan.mechanism, {"run": work.run, **asdict(plan)})
    except DPInputError:
        work.remove()  # nothing is under way
        raise


def _wanted(votes: npt.NDArray[np.float64], plan: EvolutionPlan, n: int) -> list[int]:
    """How many images of each class to write: in proportion to its votes, which are noisy."""
    totals = np.maximum(np.bincount(plan.classes, votes, len(plan.candidates)), 0.0)
    # Noise on a sum grows with the candidates behind it.
    totals[totals < 2 * plan.noise_multiplier * np.sqrt(plan.candidates)] = 0.0
    shares = totals if totals.any() else np.ones(len(totals))
    ends = np.rint(np.cumsum(shares) / shares.sum() * n).astype(int)
    return [int(count) for count in np.diff(ends, prepend=0)]


def _rows(made: _Candidates) -> Iterator[Row]:
    for number, (image, conditions) in enumerate(zip(made.images, made.conditions, strict=True)):
        stated = dict(conditions)
        box = stated.pop("lesion_box")
        yield Row.from_arrays(
            id=f"synthetic-{number:08d}", image=image, conditions=stated, lesion_box=box
        )


def _science(config: EvolveConfig) -> dict[str, Any]:
    """The request without the path of the base."""
    return {key: value for key, value in config.to_dict().items() if key != "base"}


class _Work:
    """What an unfinished evolution has kept: a hidden folder beside the output.

    Args:
        out: The output.
        decides: What makes two runs the same run.
    """

    def __init__(self, out: Path, decides: Sequence[Any]) -> None:
        key = hashlib.sha256(atomic.canonical_json(list(decides)).encode()).hexdigest()
        self._folder = out.absolute().parent / f".{out.name}{_WORK}{key[:16]}"
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / _STATE_FILE
        if not path.exists():
            atomic.write_json(path, {"run": secrets.token_hex(16)})
        #: What the ledger calls this evolution.
        self.run = str(json.loads(path.read_text(encoding="utf-8"))["run"])

    def keep(self, done: Round[_Candidates]) -> None:
        """Write a round; a kill leaves the one before."""
        stream = io.BytesIO()
        conditions = json.dumps(done.candidates.conditions)
        np.savez(
            stream,
            images=done.candidates.images,
            conditions=np.frombuffer(conditions.encode(), np.uint8),
            votes=done.votes,
            number=done.number,
        )
        atomic.write_bytes(self._folder / _ROUND_FILE, stream.getvalue())

    def last(self) -> Round[_Candidates] | None:
        """The last round that was kept.

        Raises:
            IntegrityError: The file is damaged.
        """
        path = self._folder / _ROUND_FILE
        if not path.exists():
            return None
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
                conditions = json.loads(kept["conditions"].tobytes().decode())
                candidates = _Candidates(kept["images"], [_tuples(row) for row in conditions])
                return Round(int(kept["number"]), candidates, kept["votes"])
        except (OSError, ValueError, KeyError) as error:
            raise IntegrityError(f"{path} is damaged; what it cost stays spent.") from error

    def remove(self) -> None:
        """Drop it: the output is whole."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _work_folders(out: Path) -> Iterator[Path]:
    """Folders of unfinished evolutions, of whatever settings, of an output."""
    return out.absolute().parent.glob(f".{glob.escape(out.name)}{_WORK}*")


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions as the prior draws them: JSON has no tuples."""
    box = row["lesion_box"]
    return {**row, "lesion_box": None if box is None else tuple(box)}
