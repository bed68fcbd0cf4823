from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bussynth.config import RunOptions
from bussynth.ingest.check import IngestPlan, check_ingest
from bussynth.ingest.config import IngestConfig
from bussynth.ingest.folder import IngestResult, ingest_folder

MAP = """
[image]
path = "img/{file}.png"
[mask]
path = "mask/{file}.png"
[patient]
column = "mrn"
[conditions.pathology]
column = "dx"
values = { B = "benign", M = "malignant" }
[conditions.device]
constant = "scanner-a"
[box]
column = "bbox"
format = "xywh"
"""


@dataclass
class Site:
    """A hospital of n images of 20 x 30 pixels, two of each patient."""

    root: Path
    map: str = MAP
    rows: list[dict[str, str]] = field(default_factory=list)

    @property
    def src(self) -> Path:
        return self.root / "src"

    @property
    def out(self) -> Path:
        return self.root / "cohort"

    @property
    def key(self) -> Path:
        return self.root / "keys" / "site.key"

    def image(self, name: str) -> Path:
        return self.src / "img" / f"{name}.png"

    def add(self, name: str, patient: str, dx: str = "B", box: str = "[4,6,10,12]") -> None:
        rng = np.random.default_rng(len(self.rows))
        pixels = rng.integers(1, 256, (30, 20), dtype=np.uint8)
        mask = np.zeros((30, 20), np.uint8)
        mask[6:18, 4:14] = 255
        Image.fromarray(pixels).save(self.image(name))
        Image.fromarray(mask).save(self.src / "mask" / f"{name}.png")
        self.rows.append({"file": name, "mrn": patient, "dx": dx, "bbox": box})

    def write(self) -> dict[str, Any]:
        table, map_path = self.root / "table.csv", self.root / "map.toml"
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        map_path.write_text(self.map)
        return {"table": table, "map_path": map_path, "site_key": self.key}

    def check(self, **options: Any) -> IngestPlan:
        return check_ingest(self.src, self.out, config=IngestConfig(**options), **self.write())

    def ingest(self, *, workers: int = 1, force: bool = False, **options: Any) -> IngestResult:
        return ingest_folder(
            self.src,
            self.out,
            config=IngestConfig(**options),
            options=RunOptions(workers=workers),
            force=force,
            **self.write(),
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Three patients whose keys and file names hold a canary."""
    made = Site(tmp_path)
    (made.src / "img").mkdir(parents=True)
    (made.src / "mask").mkdir()
    for number in range(6):
        made.add(f"ZZDOE_{number}", f"ZZMRN00{number // 2}", "BM"[number % 2])
    return made
