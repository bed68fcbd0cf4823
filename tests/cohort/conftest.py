from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from bussynth.cohort import Cohort, Row

VOCABULARY = {
    "pathology": ("normal", "benign", "malignant"),
    "device": ("a", "b"),
    "birads": ("2", "4"),
}


def make_rows(images: int, *, size: int = 8, patients: bool = True) -> Iterator[Row]:
    """Two images a patient; pathology and device belong to the patient."""
    rng = np.random.default_rng(0)
    for i in range(images):
        person = i // 2
        pathology = VOCABULARY["pathology"][person % 3]
        yield Row.from_arrays(
            id=f"r{i:05d}",
            image=rng.integers(0, 256, (size, size)).astype(np.uint8),
            patient=f"p{person:05d}" if patients else None,
            conditions={
                "pathology": pathology,
                "device": "a" if person % 5 else "b",
                "birads": None if pathology == "normal" else "4",
            },
            lesion_box=None if pathology == "normal" else (1.0, 2.0, 5.5, 7.0),
        )


@pytest.fixture
def make_cohort(tmp_path) -> Callable[..., Cohort]:
    def make(images: int = 60, *, kind: str = "real", name: str = "c", **more: int) -> Cohort:
        return Cohort.create(
            tmp_path / name,
            make_rows(images, patients=kind != "synthetic"),
            kind=kind,
            image_size=8,
            vocabulary=VOCABULARY,
            **more,
        )

    return make
