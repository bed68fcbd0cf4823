"""Small worlds to audit: smooth random images, no patient anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bussynth.auditing.config import AuditConfig
from bussynth.cohort import Cohort, Row
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.images import encode_png

Images = npt.NDArray[np.uint8]
VOCABULARY = {"pathology": ["normal", "benign"], "device": ["a"]}
QUICK = AuditConfig(
    permutations=99, bootstrap=20, planted=12, dose=(1,), dose_repeats=1, self_check=20,
    min_control_patients=5, min_recall=0.5, encoders=0,
)  # fmt: skip


def make_images(n: int, seed: int, size: int = 16) -> Images:
    """Draw n unlike images."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 235, (n, size // 2, size // 2))
    return np.kron(coarse, np.ones((2, 2), int)).astype(np.uint8)


def make_real(
    path: Path, *, patients: int = 20, seed: int = 1, split: bool = True, size: int = 16
) -> Cohort:
    """Write a cohort of phantoms, two images a patient."""
    rows = [
        Row.from_arrays(
            id=f"image{i:03d}",
            image=image,
            patient=f"secret-{seed}-{i // 2:03d}",
            conditions={"pathology": VOCABULARY["pathology"][i // 2 % 2], "device": "a"},
        )
        for i, image in enumerate(make_images(2 * patients, seed, size))
    ]
    cohort = Cohort.create(
        path, rows, kind="phantom", image_size=size, vocabulary=VOCABULARY, rows_per_shard=100
    )
    if not split:
        return cohort
    return split_cohort(path, SplitConfig(control=0.5, test=0.1, seed=3)).cohort


def make_synthetic(
    path: Path, images: Images, provenance: Mapping[str, Any] | None = None
) -> Cohort:
    """Write a synthetic cohort."""
    rows = [
        Row.from_arrays(id=f"s{i}", image=image, conditions={"pathology": "benign"})
        for i, image in enumerate(images)
    ]
    return Cohort.create(
        path, rows, kind="synthetic", image_size=images.shape[1], vocabulary=VOCABULARY,
        provenance=provenance,
    )  # fmt: skip


def make_folder(path: Path, images: Images, prefix: str = "DOE_JANE_") -> Path:
    """Write images into a folder, with names nobody may see again."""
    path.mkdir(parents=True)
    for i, image in enumerate(images):
        (path / f"{prefix}{i:03d}.png").write_bytes(encode_png(image))
    return path


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_real(tmp_path_factory.mktemp("real") / "cohort")


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory, real: Cohort) -> Cohort:
    folder = tmp_path_factory.mktemp("synthetic") / "cohort"
    return make_synthetic(folder, make_images(30, 99), {"trained_on": real.digest})


@pytest.fixture(scope="session")
def worlds() -> dict[str, Callable[..., Any]]:
    """The makers, for tests that need another world."""
    return {
        "images": make_images, "real": make_real, "synthetic": make_synthetic,
        "folder": make_folder,
    }  # fmt: skip


@pytest.fixture(scope="session")
def quick() -> AuditConfig:
    return QUICK
