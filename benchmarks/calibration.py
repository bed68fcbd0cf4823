"""Calibration of the whole audit: how often it fails sound and leaking images, by simulation.

    python -m benchmarks.calibration [--simulations N] [--levels K ...] [--workers N]
        [--seed N] [--noise SD] [--encoders N] [--records FILE] [--markdown FILE]

Every simulation draws a fresh population of patients in two strata, divides it into train and
control by lottery, and draws synthetic images from further patients. At level k, noisy copies of
images of k train patients replace k synthetic images. The table tells how often each test
rejects, with exact intervals against the nominal level; how often the verdict is FAIL; and how
often the intervals hold the truth:

* excess disclosure: k / train patients. A copied patient is disclosed, any other one is like
  control;
* closest share over all images: a / (a + b) with a = k n / n_train + (s - k) and b = s - k, for s
  synthetic images and n patients. A copy is captured by its patient, any other image falls on
  train and control in proportion.

Numbers do not depend on the number of workers. With ``--records`` finished simulations are kept
and a repeated call goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.images import ImageSet
from audits.settings import AuditSettings
from benchmarks.calibration_tables import Record, table

__all__ = ["Simulation", "main", "simulate"]

Images = npt.NDArray[np.uint8]

SIDE = 32
SYNTHETIC = 200
TRAIN = 60
CONTROL = 50
STRATA = ("convex", "linear")
FINDINGS = ("benign", "malignant")
SMALL: dict[str, Any] = {
    "permutations": 199,
    "bootstrap": 100,
    "planted": 0,
    "dose": (),
    "dose_repeats": 1,
    "self_check": 20,
    "min_tail": 5,
    "tails": (0.1, 0.05),
    "singled_out": 200,
}
"""Small sizes, because calibration holds at any size. Planted copies decide no p-value."""


@dataclass(frozen=True)
class Simulation:
    """One simulated audit.

    Attributes:
        seed: Of the whole run.
        number: Simulation within its level.
        copies: Train patients copied, k.
        noise: Standard deviation of the noise on copies, in grey values.
        encoders: Encoders that each audit trains.
    """

    seed: int
    number: int
    copies: int
    noise: float
    encoders: int

    @property
    def key(self) -> str:
        """Identifies the simulation in a file of records."""
        return f"{self.seed}/{self.copies}/{self.noise:g}/{self.encoders}/{self.number}"


@dataclass(frozen=True, eq=False)
class _Population:
    """Images of some patients, one to three each."""

    images: Images
    keys: list[str]
    strata: list[str]
    findings: list[str]

    def set_of(self, chosen: npt.NDArray[np.bool_], *, synthetic: bool = False) -> ImageSet:
        """The chosen images in the role of train, control or synthetic."""
        rows = np.flatnonzero(chosen)
        findings = {"finding": [self.findings[row] for row in rows]}
        if synthetic:
            return ImageSet(self.images[rows], attributes=findings)
        return ImageSet(
            self.images[rows],
            [self.keys[row] for row in rows],
            [self.strata[row] for row in rows],
            findings,
        )


def _population(rng: np.random.Generator, patients: int) -> _Population:
    """Smooth random layouts; the stratum sets the depth profile, the finding the size of a spot."""
    from scipy.ndimage import gaussian_filter

    across, down = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
    images, keys, strata, findings = [], [], [], []
    for patient in range(patients):
        stratum, finding = int(rng.integers(len(STRATA))), int(rng.integers(len(FINDINGS)))
        layout = gaussian_filter(rng.standard_normal((SIDE, SIDE)), SIDE / 10) * SIDE / 4
        x, y = rng.uniform(-0.5, 0.5, 2)
        width = 0.08 if finding else 0.03
        spot = np.exp(-((across - x) ** 2 + (down - y) ** 2) / width)
        profile = (1.0 - down) if stratum else np.cos(3 * down)
        for _ in range(int(rng.integers(1, 4))):
            speckle = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.0) * 2
            field = profile + layout - 2.0 * spot + 0.5 * speckle
            field = (field - field.mean()) / field.std()
            images.append(np.clip(np.rint(110 + 45 * field), 0, 255).astype(np.uint8))
            keys.append(f"p{patient}")
            strata.append(STRATA[stratum])
            findings.append(FINDINGS[finding])
    return _Population(np.array(images), keys, strata, findings)


def _lottery(rng: np.random.Generator, population: _Population) -> set[str]:
    """Keys of the train patients: the same share of every stratum, as near as can be."""
    stratum = dict(zip(population.keys, population.strata, strict=True))
    shuffled = rng.permutation(list(stratum)).tolist()
    shuffled.sort(key=lambda key: stratum[key])
    # Systematic sampling along shuffled strata fixes the number drawn from each.
    drawn = np.floor(np.arange(len(shuffled) + 1) * TRAIN / (TRAIN + CONTROL) + rng.random())
    return {key for key, step in zip(shuffled, np.diff(drawn), strict=True) if step}


def _with_copies(
    rng: np.random.Generator, synthetic: ImageSet, train: ImageSet, copies: int, noise: float
) -> ImageSet:
    """Replace synthetic images by noisy copies of one image of each of some train patients."""
    keys = np.array(train.patients)
    images = synthetic.images.copy()
    findings = list(synthetic.attributes["finding"])
    for row, key in enumerate(rng.permutation(np.unique(keys))[:copies]):
        source = int(rng.choice(np.flatnonzero(keys == key)))
        noisy = train.images[source] + rng.normal(0.0, noise, images.shape[1:])
        images[row] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        findings[row] = train.attributes["finding"][source]
    return ImageSet(images, attributes={"finding": findings})


def _settings(simulation: Simulation, seed: int) -> AuditSettings:
    known = {field.name for field in fields(AuditSettings)}
    wanted = {**SMALL, "encoders": simulation.encoders, "seed": seed}
    return AuditSettings(**{name: value for name, value in wanted.items() if name in known})


def simulate(simulation: Simulation) -> Record:
    """Simulate one audit: a pure function of its argument, for any executor.

    Args:
        simulation: What to simulate.

    Returns:
        JSON types: the verdict, and of every test p-values, whether it fired and its interval.
    """
    from audits.audit import audit_images

    rng = np.random.default_rng([simulation.seed, simulation.copies, simulation.number])
    pool = _population(rng, TRAIN + CONTROL)
    drawn = _lottery(rng, pool)
    in_train = np.array([key in drawn for key in pool.keys])
    train, control = pool.set_of(in_train), pool.set_of(~in_train)
    fresh = _population(rng, SYNTHETIC)
    # One image a patient, so that synthetic images are independent draws.
    first = np.array([i == 0 or key != fresh.keys[i - 1] for i, key in enumerate(fresh.keys)])
    synthetic = fresh.set_of(first, synthetic=True)
    synthetic = _with_copies(rng, synthetic, train, simulation.copies, simulation.noise)
    settings = _settings(simulation, int(rng.integers(2**31)))
    result = audit_images(synthetic, train, control, settings=settings, randomised_split=True)
    n_train = len(set(train.patients or ()))
    copies = next(test.details for test in result.tests if test.name == "copies")
    return {
        "key": simulation.key,
        "copies": simulation.copies,
        "alpha": settings.alpha,
        "confidence": settings.confidence,
        "n_train": n_train,
        "n_patients": n_train + len(set(control.patients or ())),
        "n_synthetic": len(synthetic),
        "verdict": result.verdict.state.value,
        "flagged": sum(copies[side] for side in ("train_images", "control_images")),
        "nulls": {null.name: null.p_value for null in result.nulls},
        "tests": {
            test.name: {
                "p": test.p_value,
                "adjusted": result.verdict.adjusted.get(test.name),
                "fired": bool(test.fired),
                "estimate": test.estimate,
                "interval": None
                if test.interval is None
                else [test.interval.low, test.interval.high],
            }
            for test in result.tests
        },
    }


def _finished(path: Path | None) -> dict[str, Record]:
    if path is None or not path.exists():
        return {}
    records = {}
    for line in filter(None, path.read_text().splitlines()):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            # A run that was killed may leave half a line.
            continue
        records[record["key"]] = record
    return records


def main() -> None:
    """Parse the arguments, simulate and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=500, help="at each level")
    parser.add_argument("--levels", type=int, nargs="+", default=[0, 1, 3, 10, 30])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", type=float, default=12.0, help="grey values, on copies")
    parser.add_argument("--encoders", type=int, default=0, help="trained in each audit")
    parser.add_argument("--records", type=Path, help="JSON lines, one a simulation")
    parser.add_argument("--markdown", type=Path, help="where to write the tables as well")
    arguments = parser.parse_args()
    if max(arguments.levels) > TRAIN:
        parser.error(f"--levels: there are only {TRAIN} train patients to copy")
    wanted = [
        Simulation(arguments.seed, number, copies, arguments.noise, arguments.encoders)
        for number in range(arguments.simulations)
        for copies in arguments.levels
    ]
    finished = _finished(arguments.records)
    records = [finished[each.key] for each in wanted if each.key in finished]
    todo = [each for each in wanted if each.key not in finished]
    with ProcessPoolExecutor(arguments.workers) as pool:
        for future in as_completed([pool.submit(simulate, each) for each in todo]):
            records.append(future.result())
            if arguments.records is not None:
                with arguments.records.open("a") as file:
                    file.write("\n" + json.dumps(records[-1]))
            print(f"\r{len(records)}/{len(wanted)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    text = table(records)
    print(text)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
