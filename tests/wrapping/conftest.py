from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CANARY = "ZZDOE_JANE"


@dataclass
class Gallery:
    """Finished images of 20 x 30 pixels, whose file names hold a canary, and their labels."""

    root: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "images"

    @property
    def out(self) -> Path:
        return self.root / "cohort"

    def add(self, name: str, size: tuple[int, int] = (20, 30), **labels: Any) -> Path:
        """Save an image; its pixels depend on the number of images before it."""
        rng = np.random.default_rng(len(self.rows))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(1, 256, size[::-1], dtype=np.uint8)).save(path)
        self.rows.append({"file": name, **labels})
        return path

    def labels(self, name: str = "../labels.csv", file: str = "file") -> Path:
        """Write the table, as CSV or as JSON lines."""
        path = (self.folder / name).resolve()
        rows = [{file: row["file"]} | {k: v for k, v in row.items() if k != "file"}
                for row in self.rows]  # fmt: skip
        if path.suffix == ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows))
            return path
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)
        return path


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Five labelled images; the order of the table is not that of the names."""
    made = Gallery(tmp_path)
    pathologies = ("malignant", "benign", "normal", "benign", "")
    for number, pathology in zip((3, 1, 0, 2, 4), pathologies, strict=True):
        box = dict(zip(("x0", "y0", "x1", "y1"), (4, 6, 14, 18), strict=True))
        made.add(
            f"{CANARY}_{number}.png",
            pathology=pathology,
            device=("x", "y")[number % 2],
            **(box if pathology == "benign" else dict.fromkeys(box, "")),
        )
    return made


@pytest.fixture
def write_spec() -> Callable[..., Path]:
    """Write ``sampler.json``; returns its folder."""

    def write(
        folder: Path,
        vocabulary: Mapping[str, Sequence[str]] | None = None,
        size: Sequence[int] = (8, 12),
        **changes: Any,
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        spec = {
            "schema": "bussynth-sampler/1",
            "image_size": list(size),
            "noise_shape": [1, *size],
            "vocabulary": dict(vocabulary or {}),
        }
        (folder / "sampler.json").write_text(json.dumps(spec | changes))
        return folder

    return write
