from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bussynth.cohort import Cohort, Row
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.config import RunOptions
from bussynth.generator.config import TrainConfig
from bussynth.generator.generator import Generator

VOCABULARY = {
    "birads": ["2", "4", "5"],
    "device": ["curved", "linear"],
    "pathology": ["normal", "benign", "malignant"],
}


def toy_rows(patients: int, size: int = 16, seed: int = 0) -> list[Row]:
    """Grey speckle with a dark lesion in its box; every fifth patient is normal."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        pathology = ("benign", "malignant", "benign", "malignant", "normal")[patient % 5]
        for image in range(1 + patient % 2):
            pixels = rng.normal(130, 2, (size, size))
            box = None
            if pathology != "normal":
                w, h = rng.uniform(4, 8, 2)
                x, y = rng.uniform(0, size - w), rng.uniform(0, size - h)
                box = (x, y, x + w, y + h)
                pixels[int(y) : int(y + h), int(x) : int(x + w)] = 20
            rows.append(
                Row.from_arrays(
                    id=f"image-{patient:03d}-{image}",
                    image=pixels.clip(0, 255).astype(np.uint8),
                    patient=f"keyed-{patient:05d}",
                    conditions={
                        "pathology": pathology,
                        "device": ("curved", "linear")[patient % 2],
                        "birads": {"normal": None, "benign": "2", "malignant": "5"}[pathology],
                    },
                    lesion_box=box,
                )
            )
    return rows


def make_cohort(path: Path, patients: int = 40, *, split: bool = True) -> Cohort:
    cohort = Cohort.create(
        path, toy_rows(patients), kind="phantom", image_size=16, vocabulary=VOCABULARY
    )
    if not split:
        return cohort
    return split_cohort(path, SplitConfig(seed=3)).cohort


SITE_VOCABULARY = {
    "device": ["linear", "matrix"],
    "nodal_status": ["negative", "positive"],
    "pathology": ["normal", "benign", "malignant"],
}


def site_cohort(path: Path, patients: int = 30, size: int = 16) -> Cohort:
    """A hospital with a device and a task column that no base has met."""
    rows = []
    for i, row in enumerate(toy_rows(patients, size, seed=9)):
        conditions = {
            "pathology": row.conditions["pathology"],
            "device": ("linear", "matrix")[i % 2],
            "nodal_status": ("negative", "positive")[i % 2],
        }
        rows.append(
            Row.from_arrays(
                id=row.id,
                image=row.image // (1 + i % 2),
                patient=row.patient,
                conditions=conditions,
                lesion_box=row.lesion_box,
            )
        )
    Cohort.create(path, rows, kind="phantom", image_size=size, vocabulary=SITE_VOCABULARY)
    return split_cohort(path, SplitConfig(seed=1)).cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Forty toy patients, split."""
    return make_cohort(tmp_path_factory.mktemp("toy") / "cohort")


@pytest.fixture(scope="session")
def unsplit_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_cohort(tmp_path_factory.mktemp("toy") / "cohort", 5, split=False)


@pytest.fixture(scope="session")
def model_folder(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished model, trained for a few seconds; read-only for the tests."""
    folder = tmp_path_factory.mktemp("models") / "model"
    config = TrainConfig(preset="tiny-32", steps=120, batch_size=8)
    Generator.train(cohort, folder, config, options=RunOptions(device="cpu"))
    return folder


@pytest.fixture(scope="session")
def generator(model_folder: Path) -> Generator:
    return Generator.load(model_folder, "cpu")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A hospital with a device and a task column that no base has met."""
    return site_cohort(tmp_path_factory.mktemp("site") / "cohort")


@pytest.fixture(scope="session")
def larger_site(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return site_cohort(tmp_path_factory.mktemp("site") / "cohort", 12, size=32)
