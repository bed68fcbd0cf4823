"""What is kept of a frame, and every reason to keep nothing."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from privacy.deidentify.pixel_file import open_pixels
from privacy.deidentify.regions import (
    Kept,
    Quarantine,
    Reason,
    Rectangle,
    SiteRule,
    blank_outside,
    crop,
    kept_regions,
)

ROWS, COLUMNS = 60, 80
INSIDE = (10, 12, 49, 51)
MakeFile = Callable[..., io.BytesIO]


def region(
    x0: object, y0: object, x1: object, y1: object, form: object = 1, kind: object = 1
) -> Dataset:
    item = Dataset()
    values = {
        "RegionSpatialFormat": form,
        "RegionDataType": kind,
        "RegionFlags": 0,
        "RegionLocationMinX0": x0,
        "RegionLocationMinY0": y0,
        "RegionLocationMaxX1": x1,
        "RegionLocationMaxY1": y1,
    }
    for name, value in values.items():
        if value is not None:
            setattr(item, name, value)
    return item


def described(*regions: Dataset) -> Dataset:
    dataset = Dataset()
    dataset.Manufacturer = " Maker "
    dataset.ManufacturerModelName = "Model 7"
    dataset.SequenceOfUltrasoundRegions = Sequence(regions)
    return dataset


def decide(*regions: Dataset) -> Kept | Quarantine:
    return kept_regions(described(*regions), ROWS, COLUMNS)


class TestKept:
    def test_the_last_corner_belongs_to_the_region(self) -> None:
        assert decide(region(*INSIDE)) == Kept((Rectangle(10, 12, 50, 52),))

    def test_two_views_from_left_to_right(self) -> None:
        right, left = region(45, 5, 70, 50), region(5, 5, 40, 50)
        kept = Kept((Rectangle(5, 5, 41, 51), Rectangle(45, 5, 71, 51)))
        assert decide(right, left) == kept

    def test_the_same_region_twice_is_one(self) -> None:
        assert decide(region(*INSIDE), region(*INSIDE)) == decide(region(*INSIDE))

    def test_the_edge_of_the_frame_by_either_convention(self) -> None:
        kept = Kept((Rectangle(10, 12, COLUMNS, ROWS),))
        assert decide(region(10, 12, COLUMNS - 1, ROWS - 1)) == kept
        assert decide(region(10, 12, COLUMNS, ROWS)) == kept

    def test_other_regions_beside_it_are_left_out(self) -> None:
        trace = region(0, 53, 79, 59, form=4, kind=10)
        assert decide(region(*INSIDE), trace) == decide(region(*INSIDE))

    def test_out_of_a_file(self, make_file: MakeFile) -> None:
        def extra(dataset: Dataset) -> None:
            dataset.SequenceOfUltrasoundRegions = Sequence([region(1, 1, 3, 2)])

        opened = open_pixels(make_file(bytes(24), extra=extra))
        assert kept_regions(opened.dataset, 4, 6) == Kept((Rectangle(1, 1, 4, 3),))
        big = make_file(bytes(24), extra=extra, syntax="1.2.840.10008.1.2.2")
        assert kept_regions(open_pixels(big).dataset, 4, 6) == Kept((Rectangle(1, 1, 4, 3),))


class TestQuarantine:
    @pytest.mark.parametrize(
        ("regions", "reason"),
        [
            ([], Reason.ABSENT),
            ([region(*INSIDE, kind=2)], Reason.NOT_TISSUE),
            ([region(*INSIDE, form=2)], Reason.NOT_TISSUE),
            ([region(*INSIDE, form=3, kind=3)], Reason.NOT_TISSUE),
            ([region(*INSIDE, form=5, kind=0)], Reason.NOT_TISSUE),
            ([region(*INSIDE, form=0)], Reason.NOT_TISSUE),
            ([region(50, 12, 10, 52)], Reason.REVERSED),
            ([region(10, 52, 50, 12)], Reason.REVERSED),
            ([region(10, 12, 10, 52)], Reason.EMPTY),
            ([region(0, 0, 0, 0)], Reason.EMPTY),
            ([region(10, 12, COLUMNS + 1, 52)], Reason.OUTSIDE),
            ([region(10, 12, 50, ROWS + 1)], Reason.OUTSIDE),
            ([region(10, 12, 2**32 - 1, 2**32 - 1)], Reason.OUTSIDE),
            ([region(2**31, 12, 2**31 + 9, 52)], Reason.OUTSIDE),
            ([region(0, 0, COLUMNS - 1, ROWS - 1)], Reason.WHOLE_FRAME),
            ([region(0, 0, COLUMNS, ROWS)], Reason.WHOLE_FRAME),
            ([region(1, 0, COLUMNS - 1, ROWS - 1)], Reason.WHOLE_FRAME),
            ([region(*INSIDE), region(20, 20, 30, 30, kind=2)], Reason.OVERLAP),
            ([region(*INSIDE), region(49, 51, 79, 59, form=4, kind=10)], Reason.OVERLAP),
            ([region(*INSIDE), region(11, 12, 49, 51)], Reason.OVERLAP),
            ([region(*INSIDE), region(50, 12, 10, 52, kind=2)], Reason.REVERSED),
            ([region(None, 12, 49, 51)], Reason.MALFORMED),
            ([region(*INSIDE, form=None)], Reason.MALFORMED),
            ([region(*INSIDE, kind=None)], Reason.MALFORMED),
            ([region(10, 12, 49, [51, 52])], Reason.MALFORMED),
            ([region(*INSIDE)] * 65, Reason.TOO_MANY),
        ],
        ids=lambda value: value.name.lower() if isinstance(value, Reason) else "",
    )
    def test_nothing_is_kept(self, regions: list[Dataset], reason: Reason) -> None:
        assert decide(*regions) == Quarantine(reason)

    def test_without_the_attribute(self) -> None:
        assert kept_regions(Dataset(), ROWS, COLUMNS) == Quarantine(Reason.ABSENT)

    def test_an_attribute_that_is_no_sequence(self) -> None:
        dataset = Dataset()
        tag = BaseTag(0x00186011)
        dataset[tag] = RawDataElement(tag, "UN", 8, b"ZZCANARY", 0, False, True)
        assert kept_regions(dataset, ROWS, COLUMNS) == Quarantine(Reason.MALFORMED)


class TestSiteRules:
    RULE = SiteRule("maker", "MODEL 7", ROWS, COLUMNS, Rectangle(10, 10, 70, 50))

    def kept(self, dataset: Dataset, *rules: SiteRule) -> Kept | Quarantine:
        return kept_regions(dataset, ROWS, COLUMNS, rules)

    def test_where_the_file_says_nothing(self) -> None:
        ruled = Kept((self.RULE.rectangle,), by_rule=True)
        assert self.kept(described(), self.RULE) == ruled
        whole = described(region(0, 0, COLUMNS - 1, ROWS - 1))
        assert self.kept(whole, self.RULE) == ruled
        assert self.kept(described(), self.RULE, self.RULE) == ruled

    def test_never_against_what_the_file_says(self) -> None:
        assert self.kept(described(region(*INSIDE)), self.RULE) == decide(region(*INSIDE))
        for bad in (region(*INSIDE, kind=2), region(50, 12, 10, 52), region(10, 12, 99, 52)):
            assert isinstance(self.kept(described(bad), self.RULE), Quarantine)

    def test_of_another_machine_or_size(self) -> None:
        rectangle = self.RULE.rectangle
        for rule in (
            SiteRule("other", "Model 7", ROWS, COLUMNS, rectangle),
            SiteRule("Maker", "Model 70", ROWS, COLUMNS, rectangle),
            SiteRule("Maker", "Model 7", ROWS + 1, COLUMNS, rectangle),
        ):
            assert self.kept(described(), rule) == Quarantine(Reason.ABSENT)
        assert self.kept(Dataset(), self.RULE) == Quarantine(Reason.ABSENT)

    def test_rules_that_disagree(self) -> None:
        other = SiteRule("Maker", "Model 7", ROWS, COLUMNS, Rectangle(0, 10, 70, 50))
        assert self.kept(described(), self.RULE, other) == Quarantine(Reason.ABSENT)

    def test_rules_that_make_no_sense(self) -> None:
        with pytest.raises(ValueError, match="inside"):
            SiteRule("Maker", "Model 7", 40, 40, Rectangle(10, 10, 50, 20))
        with pytest.raises(ValueError, match="names"):
            SiteRule("Maker", " ", 40, 40, Rectangle(10, 10, 20, 20))
        with pytest.raises(ValueError, match="no area"):
            Rectangle(10, 10, 10, 20)


@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (ROWS, COLUMNS, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
class TestPixels:
    def test_a_crop_owns_its_pixels_and_no_other(
        self, shape: tuple[int, ...], kind: type[np.uint8]
    ) -> None:
        frame = np.full(shape, 7, kind)
        frame[12:52, 10:50] = 9
        part = crop(frame, Rectangle(10, 12, 50, 52))
        assert part.shape[:2] == (40, 40)
        assert (part == 9).all()
        assert part.base is None
        assert not np.shares_memory(part, frame)

    def test_outside_is_black(self, shape: tuple[int, ...], kind: type[np.uint8]) -> None:
        frame = np.full(shape, 7, kind)
        out = blank_outside(frame, [Rectangle(0, 0, 10, 10), Rectangle(70, 50, 80, 60)])
        assert out.dtype == frame.dtype
        assert (out[:10, :10] == 7).all()
        assert (out[50:, 70:] == 7).all()
        assert out.astype(int).sum() == 7 * 200 * (3 if len(shape) == 3 else 1)
        assert not blank_outside(frame, []).any()

    def test_a_rectangle_outside(self, shape: tuple[int, ...], kind: type[np.uint8]) -> None:
        frame = np.zeros(shape, kind)
        for rectangle in (Rectangle(0, 0, COLUMNS + 1, 9), Rectangle(0, 0, 9, ROWS + 1)):
            with pytest.raises(ValueError, match="inside"):
                crop(frame, rectangle)
            with pytest.raises(ValueError, match="inside"):
                blank_outside(frame, [rectangle])
