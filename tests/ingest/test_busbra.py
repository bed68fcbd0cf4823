from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bussynth.config import RunOptions
from bussynth.ingest.boxes import boxes_differ, mask_box
from bussynth.ingest.folder import ingest_folder
from bussynth.ingest.mapping import IngestMap

MAP = Path(__file__).parents[2] / "examples" / "busbra" / "busbra.toml"
FOLDER = os.environ.get("BUSSYNTH_BUSBRA", "")


def test_the_map_is_valid() -> None:
    rules = IngestMap.load(MAP)
    assert list(rules.vocabulary) == ["pathology", "device", "birads", "side"]
    assert rules.mask is not None
    assert rules.mask.path.fill({"ID": "bus_0001-l"}, what="") == "Masks/mask_0001-l.png"


@pytest.mark.skipif(not FOLDER, reason="BUSSYNTH_BUSBRA does not point to the BUS-BRA folder")
def test_the_whole_of_busbra(tmp_path: Path) -> None:
    source = Path(FOLDER)
    result = ingest_folder(
        source,
        tmp_path / "cohort",
        table=source / "bus_data.csv",
        map_path=MAP,
        site_key=tmp_path / "site.key",
        options=RunOptions(workers=2),
    )
    assert (result.images, result.patients) == (1875, 1064)
    assert {note.code: note.count for note in result.notes if note.count} == {"box-mask": 1}
    counts = result.cohort.statistics()["conditions"]
    assert counts["pathology"] == {"benign": 1268, "malignant": 607}
    assert counts["device"]["u-systems"] == 25
    off = 0
    for row in result.cohort:
        assert row.mask is not None
        assert row.lesion_box is not None
        around = mask_box(row.mask)
        assert around is not None
        off += boxes_differ(row.lesion_box, around)
    assert off == 1
    assert np.all(np.isfinite(result.cohort.images().mean(axis=(1, 2))))
