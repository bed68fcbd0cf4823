"""The size of a pixel of what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from privacy.deidentify.calibration import pixel_size, whole_frame
from privacy.deidentify.frame_data import Calibration
from privacy.deidentify.regions import Kept, Rectangle, kept_regions

ROWS, COLUMNS = 100, 200
KEPT = Rectangle(10, 20, 150, 90)


def region(**values: Any) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = KEPT.left, KEPT.top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = KEPT.right - 1, KEPT.bottom - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.01, 0.02
    for keyword, value in values.items():
        if value is None:
            delattr(item, keyword)
        elif isinstance(value, tuple):
            item.add_new(keyword, *value)
        else:
            setattr(item, keyword, value)
    return item


def file(*items: Dataset) -> Dataset:
    dataset = Dataset()
    dataset.SequenceOfUltrasoundRegions = list(items)
    return dataset


def test_columns_and_rows() -> None:
    assert pixel_size(file(region()), KEPT) == (0.01, 0.02)
    assert pixel_size(Dataset(), KEPT) is None


@pytest.mark.parametrize(
    "values",
    [
        {"PhysicalUnitsXDirection": 4},
        {"PhysicalUnitsYDirection": None},
        {"PhysicalUnitsYDirection": [3, 3]},
        {"PhysicalDeltaX": None},
        {"PhysicalDeltaY": 0.0},
        {"PhysicalDeltaX": -0.01},
        {"PhysicalDeltaX": 1.01},
        {"PhysicalDeltaX": float("nan")},
        {"PhysicalDeltaX": float("inf")},
        {"PhysicalDeltaX": ("OB", b"\1")},
        {"PhysicalDeltaX": ("LO", "ZZCANARY")},
        {"RegionLocationMinX0": 11},
        {"RegionLocationMinY0": None},
        {"RegionLocationMaxX1": KEPT.right - 2},
        {"RegionLocationMaxX1": KEPT.right + 1},
        {"RegionLocationMaxY1": None},
        {"RegionLocationMaxY1": [89, 89]},
    ],
)
def test_a_region_that_does_not_say(values: dict[str, Any]) -> None:
    item = region(**values)
    assert pixel_size(file(item), KEPT) is None
    # Nor does it disturb one that does.
    assert pixel_size(file(item, region()), KEPT) == (0.01, 0.02)


def test_regions_that_disagree() -> None:
    assert pixel_size(file(region(), region(PhysicalDeltaX=0.03)), KEPT) is None
    assert pixel_size(file(region(), region()), KEPT) == (0.01, 0.02)


@pytest.mark.parametrize(("last_x", "last_y"), [(199, 99), (200, 100), (199, 100)])
def test_a_corner_behind_the_edge_means_the_edge(last_x: int, last_y: int) -> None:
    item = region(RegionLocationMaxX1=last_x, RegionLocationMaxY1=last_y)
    kept = kept_regions(file(item), ROWS, COLUMNS)
    assert isinstance(kept, Kept)
    assert kept.rectangles == (Rectangle(10, 20, 200, 100),)
    assert pixel_size(file(item), kept.rectangles[0]) == (0.01, 0.02)


def test_what_is_told_of_the_new_frames() -> None:
    assert whole_frame((0.01, 0.02), 70, 140) == (Calibration(0, 0, 139, 69, 0.01, 0.02),)
    assert whole_frame(None, 70, 140) == ()
    assert whole_frame((1.0, 1e-6), 65_535, 65_535) == (
        Calibration(0, 0, 65_534, 65_534, 1.0, 1e-6),
    )
