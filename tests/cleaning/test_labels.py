"""The labels of the benchmark, and the detectors on a few of its images where they are at hand."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bussynth.cleaning.flags import Flag, find_flags

LABELS = Path(__file__).parents[2] / "benchmarks" / "cleaning_labels.csv"
FOLDER = os.environ.get("BUSSYNTH_BUSBRA", "")


def rows() -> list[dict[str, str]]:
    with LABELS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_labels_are_complete() -> None:
    labels = rows()
    assert len({row["image"] for row in labels}) == len(labels) == 320
    for row in labels:
        assert set(row.values()) - {row["image"]} <= {"yes", "no", "unsure"}


@pytest.mark.skipif(not FOLDER, reason="BUSSYNTH_BUSBRA does not point to the BUS-BRA folder")
def test_every_sixteenth_labelled_image() -> None:
    hits = positives = alarms = 0
    for row in rows()[::16]:
        with Image.open(Path(FOLDER) / "Images" / f"{row['image']}.png") as file:
            flags = find_flags(np.asarray(file.convert("L")))
        assert Flag.INVALID not in flags
        alarms += Flag.DUAL_VIEW in flags
        if row["calipers"] == "yes":
            positives += 1
            hits += Flag.CALIPERS in flags
    assert alarms <= 1
    assert hits >= 0.8 * positives
