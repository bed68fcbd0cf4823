"""A toy world that small networks learn in seconds: two devices, dark lesions, normal images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bussynth.cohort import Cohort, Row
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.quality import fit
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.obedience import Judge

SIZE = 32
VOCABULARY = {
    "birads": ["2", "5"],
    "device": ["dark", "bright", "rare"],
    "pathology": ["normal", "benign"],
}
QUICK = EvaluateConfig(steps=40, members=1, resamples=40, fidelity=False)


def toy_rows(n: int, seed: int, *, patients: bool) -> list[Row]:
    """Speckle of the device's brightness with a black lesion; every third image is normal."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        device = ("dark", "bright")[i // 2 % 2]
        image = rng.normal({"dark": 90, "bright": 190}[device], 8, (SIZE, SIZE))
        normal = i // 2 % 3 == 0
        box = None
        if not normal:
            w, h = rng.integers(9, 15, 2)
            x, y = rng.integers(1, SIZE - w), rng.integers(1, SIZE - h)
            box = (x, y, x + w, y + h)
            image[y : y + h, x : x + w] = 5
        rows.append(
            Row.from_arrays(
                id=f"{seed}-{i:03d}",
                image=image.clip(0, 255).astype(np.uint8),
                patient=f"SECRET{seed}-{i // 2:03d}" if patients else None,
                conditions={
                    "device": "rare" if patients and i < 8 else device,
                    "pathology": "normal" if normal else "benign",
                    # Told to nobody: drawn by chance, so it cannot be recognised.
                    "birads": str(rng.choice(["2", "5"])),
                },
                lesion_box=box,
            )
        )
    return rows


def make_real(path: Path, n: int = 120, *, split: bool = True, size: int = SIZE) -> Cohort:
    rows = toy_rows(n, 1, patients=True)
    if size != SIZE:
        rows = [Row.from_arrays(id="a", image=np.zeros((size, size), np.uint8), patient="SECRET")]
    cohort = Cohort.create(path, rows, kind="real", image_size=size, vocabulary=VOCABULARY)
    if not split:
        return cohort
    return split_cohort(path, SplitConfig(seed=3, control=0.1, test=0.4, by=("pathology",))).cohort


def make_synthetic(path: Path, n: int = 60, *, drop: tuple[str, ...] = ()) -> Cohort:
    words = {column: values for column, values in VOCABULARY.items() if column not in drop}
    rows = [
        Row(
            id=row.id,
            png=row.png,
            conditions={column: row.conditions[column] for column in words},
            lesion_box=row.lesion_box,
        )
        for row in toy_rows(n, 2, patients=False)
    ]
    return Cohort.create(path, rows, kind="synthetic", image_size=SIZE, vocabulary=words)


@pytest.fixture(scope="session")
def quick() -> EvaluateConfig:
    """Little work; enough for the toy world."""
    return QUICK


@pytest.fixture(scope="session")
def real_maker() -> Callable[..., Cohort]:
    """real_maker(path, n, split=, size=) -> a real cohort."""
    return make_real


@pytest.fixture(scope="session")
def synthetic_maker() -> Callable[..., Cohort]:
    """synthetic_maker(path, n, drop=) -> a synthetic cohort of the same world."""
    return make_synthetic


@pytest.fixture(autouse=True, scope="session")
def small_batches() -> Iterator[None]:
    """Toys are learned from few images a step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_BATCH", 16)
        yield


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_real(tmp_path_factory.mktemp("quality") / "real")


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_synthetic(tmp_path_factory.mktemp("quality") / "synthetic")


@pytest.fixture(scope="session")
def judge(real: Cohort) -> Judge:
    return Judge.fit(real, config=QUICK)
