"""Small folders of made-up images with the material of a review."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort, Row
from bussynth.images import encode_png
from bussynth.review.folder import ReviewFolder
from bussynth.review.material import Decision, Preview, write_decisions, write_previews

CANARY = "ZZCANARY"


def make_preview(number: int, **changes: Any) -> Preview:
    rng = np.random.default_rng(number)
    risky = number % 4 == 0
    return Preview(
        **{
            "id": f"row-{number:04d}",
            "picture": encode_png(rng.integers(0, 256, (30, 40), dtype=np.uint8)),
            "frame_rows": 120,
            "frame_columns": 160,
            "left": 20,
            "top": 10,
            "right": 100,
            "bottom": 70,
            "blanked": ((2, 3, 30, 9),) if risky else (),
            "flags": ("text",) if risky else (),
            "frame": number,
        }
        | changes
    )


def material(folder: Path, previews: list[Preview]) -> None:
    write_previews(folder / "review" / "previews.parquet", previews)
    write_decisions(
        folder / "review" / "decisions.jsonl",
        [
            *(
                Decision(file=f"{n:032x}", decision="kept", reason="clean",
                         why="Only tissue was found.", images=(preview.id,), frames=1,
                         frame_size=(120, 160))
                for n, preview in enumerate(previews)
            ),
            Decision(file="f" * 32, decision="quarantined", reason="no-region",
                     why="No ultrasound region is described."),
            Decision(file="e" * 32, decision="left-out", reason="not-dicom",
                     why="The file is no DICOM object."),
        ],
    )  # fmt: skip


def make_reviewed_cohort(path: Path, n: int = 8, **options: Any) -> Cohort:
    previews = [make_preview(number) for number in range(n)]
    rng = np.random.default_rng(7)
    rows = [
        Row.from_arrays(
            id=preview.id,
            image=rng.integers(0, 256, (16, 16), dtype=np.uint8),
            patient=f"p{number % 5}",
            conditions={"pathology": "benign"},
        )
        for number, preview in enumerate(previews)
    ]
    settings: dict[str, Any] = {
        "kind": "real",
        "image_size": 16,
        "vocabulary": {"pathology": ["benign"]},
        "provenance": {"deidentification": {"text_engine": f"{CANARY}<b>&", "limit": 0.5}},
    }
    cohort = Cohort.create(path, rows, **(settings | options))
    material(path, previews)
    return cohort


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    return make_reviewed_cohort(tmp_path / "cohort").path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of de-identified files; their content does not matter here."""
    folder = tmp_path / "files"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.dcm").write_bytes(b"DICM a")
    (folder / "deidentification.json").write_text('{"settings": {"engine": "none", "n": [1, 2]}}')
    material(folder, [make_preview(n, id=f"2.25.{n}#0") for n in range(3)])
    return folder


@pytest.fixture
def preview() -> Callable[..., Preview]:
    return make_preview


@pytest.fixture
def new_cohort() -> Callable[..., Cohort]:
    return make_reviewed_cohort


@pytest.fixture
def marks(tmp_path: Path) -> Callable[..., Path]:
    """A file as the pages save it; by default everything was looked at and nothing rejected."""

    def make(folder: Path, name: str = "marks.json", **changes: Any) -> Path:
        opened = ReviewFolder.open(folder)
        content = {
            "schema": "bussynth-review-decisions/1",
            "digest": opened.digest(),
            "previews": opened.previews_digest(),
            "looked_at": [preview.id for preview in opened.previews()],
            "rejected": [],
            "saved": "2026-11-02T10:00:00.000Z",
        }
        file = tmp_path / name
        file.write_text(json.dumps(content | changes))
        return file

    return make
