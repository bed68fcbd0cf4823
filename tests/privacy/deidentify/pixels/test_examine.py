from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from scipy import ndimage

from privacy.deidentify.colour_marks import ColourKind
from privacy.deidentify.errors import QuarantineError
from privacy.deidentify.examine import examine
from privacy.deidentify.regions import Rectangle
from privacy.deidentify.settings import FrameChoice, OnColour, OnText, Settings
from privacy.deidentify.text import TextBox

MakeFile = Callable[..., io.BytesIO]
ROWS, COLUMNS = 80, 100
KEPT = Rectangle(20, 10, 90, 70)


class Finder:
    """Finds letters: places of pixels of value 255."""

    name = "test"

    def __init__(self) -> None:
        self.looks = 0

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        self.looks += 1
        labels, _ = ndimage.label(image == 255)
        boxes = (
            Rectangle(columns.start, rows.start, columns.stop, rows.stop)
            for rows, columns in ndimage.find_objects(labels)
        )
        return tuple(TextBox(rectangle=box, score=1.0) for box in boxes)


class Nervous:
    """Finds something wherever it has not been painted over, again and again."""

    name = "test"

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        row, column = (int(places[-1]) for places in np.nonzero(image[12:50, 12:50]))
        row, column = row + 12, column + 12
        box = Rectangle(column, row, column + 1, row + 1)
        return (TextBox(rectangle=box, score=0.1),)


def region(rectangle: Rectangle = KEPT, delta: float | None = 0.01) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = rectangle.left, rectangle.top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = rectangle.right - 1, rectangle.bottom - 1
    if delta is not None:
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
        item.PhysicalDeltaX, item.PhysicalDeltaY = delta, 2 * delta
    return item


def screen(count: int = 1, *, colour: bool = False) -> NDArray[np.uint8]:
    """Frames of smooth tissue, brighter from one to the next, with a banner of letters above."""
    tissue = 30 + np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) % 90
    frames = np.stack([tissue + 15 * number for number in range(count)]).astype(np.uint8)
    frames[:, 2:8, 5:60] = 255
    return np.repeat(frames[..., None], 3, axis=3) if colour else frames


def file_of(
    make_file: MakeFile, frames: NDArray[np.uint8], *regions: Dataset, time: float | None = 40.0
) -> io.BytesIO:
    def extra(dataset: Dataset) -> None:
        dataset.SequenceOfUltrasoundRegions = Sequence(regions or [region()])
        if len(frames) > 1:
            dataset.NumberOfFrames = len(frames)
            if time is not None:
                dataset.FrameTime = time

    return make_file(frames.tobytes(), shape=frames.shape[1:], extra=extra)


def test_only_the_region_is_kept(make_file: MakeFile) -> None:
    frames = screen()
    examined = examine(file_of(make_file, frames), Settings(), Finder())
    (view,) = examined.views
    (frame,) = examined.frames(view)
    assert view.rectangle == KEPT
    assert np.array_equal(frame, frames[0, 10:70, 20:90])
    (calibration,) = view.calibration
    assert (calibration.x1, calibration.y1) == (69, 59)
    assert (calibration.delta_x, calibration.delta_y) == (0.01, 0.02)
    assert not view.in_colour
    assert view.format(cleaned=True).shape == frame.shape


def test_without_a_unit_there_is_no_calibration(make_file: MakeFile) -> None:
    examined = examine(file_of(make_file, screen(), region(delta=None)), Settings(), Finder())
    assert examined.views[0].calibration == ()


def test_two_regions_are_two_views(make_file: MakeFile) -> None:
    left, right = Rectangle(0, 10, 48, 70), Rectangle(50, 10, 100, 70)
    frames = screen()
    examined = examine(
        file_of(make_file, frames, region(right), region(left)), Settings(), Finder()
    )
    assert [view.rectangle for view in examined.views] == [left, right]
    assert [view.part for view in examined.views] == [0, 1]
    (second,) = examined.frames(examined.views[1])
    assert np.array_equal(second, frames[0, 10:70, 50:100])


def with_text(count: int = 1) -> NDArray[np.uint8]:
    frames = screen(count)
    frames[0, 15:20, 30:50] = 255
    return frames


def test_text_is_painted_over(make_file: MakeFile) -> None:
    frames, finder = with_text(), Finder()
    examined = examine(file_of(make_file, frames), Settings(), finder)
    (view,) = examined.views
    (frame,) = examined.frames(view)
    assert view.boxes(view.findings[0]) == (Rectangle(10, 5, 30, 10),)
    expected = frames[0, 10:70, 20:90].copy()
    expected[5:10, 10:30] = 0
    assert np.array_equal(frame, expected)
    # Looked at before, and again when it was done.
    assert finder.looks == 2


@pytest.mark.parametrize(
    ("rows", "columns", "found"),
    [
        (slice(62, 78), slice(30, 50), Rectangle(10, 52, 30, 60)),
        (slice(30, 40), slice(10, 40), Rectangle(0, 20, 20, 30)),
        (slice(65, 78), slice(30, 50), None),
        (slice(72, 78), slice(30, 50), None),
        (slice(30, 33), slice(30, 33), Rectangle(10, 20, 13, 23)),
    ],
    ids=["cut below", "cut at the left", "a strip of it", "outside", "small, but inside"],
)
def test_letters_at_the_edge_are_seen_whole_and_painted_over_inside(
    make_file: MakeFile, rows: slice, columns: slice, found: Rectangle | None
) -> None:
    frames = screen()
    frames[0, rows, columns] = 255
    (view,) = examine(file_of(make_file, frames), Settings(), Finder()).views
    assert view.findings[0].text == (() if found is None else (found,))


def test_text_is_cut_off(make_file: MakeFile) -> None:
    frames = with_text()
    examined = examine(file_of(make_file, frames), Settings(on_text=OnText.CROP), Finder())
    (view,) = examined.views
    (frame,) = examined.frames(view)
    assert view.rectangle == Rectangle(20, 20, 90, 70)
    assert np.array_equal(frame, frames[0, 20:70, 20:90])
    assert view.boxes(view.findings[0]) == ()
    assert view.calibration[0].y1 == 49


def test_all_frames_are_cut_alike(make_file: MakeFile) -> None:
    examined = examine(file_of(make_file, with_text(3)), Settings(on_text=OnText.CROP), Finder())
    assert {frame.shape for frame in examined.frames(examined.views[0])} == {(50, 70)}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(on_text=OnText.QUARANTINE), "text"),
        (Settings(most_blanked=0.01), "mostly-text"),
        (Settings(smallest_side=61), "small"),
    ],
)
def test_what_waits_for_a_person(make_file: MakeFile, settings: Settings, reason: str) -> None:
    with pytest.raises(QuarantineError) as caught:
        examine(file_of(make_file, with_text()), settings, Finder())
    assert caught.value.reason == reason


def test_text_in_the_middle_cannot_be_cut_off(make_file: MakeFile) -> None:
    frames = screen()
    frames[0, 12:68, 50:56] = 255
    with pytest.raises(QuarantineError, match="cut off"):
        examine(file_of(make_file, frames), Settings(on_text=OnText.CROP), Finder())


def test_text_that_does_not_end_is_quarantined(make_file: MakeFile) -> None:
    with pytest.raises(QuarantineError) as caught:
        examine(file_of(make_file, screen()), Settings(), Nervous())
    assert caught.value.reason == "text-remains"


def test_no_region_is_quarantined(make_file: MakeFile) -> None:
    source = make_file(screen().tobytes(), shape=(ROWS, COLUMNS))
    with pytest.raises(QuarantineError) as caught:
        examine(source, Settings(), Finder())
    assert caught.value.reason == "absent"
    assert str(caught.value).endswith(f"; frames of {ROWS} rows and {COLUMNS} columns.")


def test_gray_colours_become_gray(make_file: MakeFile) -> None:
    frames = screen(colour=True)
    examined = examine(file_of(make_file, frames), Settings(), Finder())
    (frame,) = examined.frames(examined.views[0])
    assert examined.views[0].findings[0].colour is ColourKind.GRAY
    assert np.array_equal(frame, frames[0, 10:70, 20:90, 0])


def test_coloured_marks_are_painted_over(make_file: MakeFile) -> None:
    frames = screen(colour=True)
    frames[0, 40, 30:60] = (250, 250, 0)
    examined = examine(file_of(make_file, frames), Settings(), Finder())
    (frame,) = examined.frames(examined.views[0])
    assert examined.views[0].findings[0].colour is ColourKind.MARKS
    # The line, and two pixels around it.
    assert (frame[28:33, 8:42] == 0).all()
    untouched = np.ones(frame.shape, bool)
    untouched[28:33, 8:42] = False
    assert np.array_equal(frame[untouched], frames[0, 10:70, 20:90, 0][untouched])


def flow(count: int = 1) -> NDArray[np.uint8]:
    frames = screen(count, colour=True)
    frames[-1, 25:65, 30:80] = (200, 30, 20)
    return frames


def test_a_map_of_colour_is_quarantined(make_file: MakeFile) -> None:
    with pytest.raises(QuarantineError, match="frame 2") as caught:
        examine(file_of(make_file, flow(2)), Settings(), Finder())
    assert caught.value.reason == "colour"


def test_a_map_of_colour_can_be_kept(make_file: MakeFile) -> None:
    frames = flow(2)
    settings = Settings(on_colour=OnColour.KEEP)
    examined = examine(file_of(make_file, frames), settings, Finder())
    (view,) = examined.views
    assert view.in_colour
    assert np.array_equal(np.stack(list(examined.frames(view))), frames[:, 10:70, 20:90])


def test_letters_as_bright_as_the_tissue_are_found_by_their_colour(make_file: MakeFile) -> None:
    frames = flow()
    frames[0, 12:16, 60:80] = (255, 100, 60)  # 142 in gray, which is nothing to this finder
    examined = examine(file_of(make_file, frames), Settings(on_colour=OnColour.KEEP), Finder())
    (view,) = examined.views
    (frame,) = examined.frames(view)
    assert view.in_colour
    assert not frame[2:6, 40:60].any()
    assert view.boxes(view.findings[0]) == (Rectangle(40, 2, 60, 6),)


@pytest.mark.parametrize(
    ("settings", "taken", "time"),
    [
        (Settings(), [0, 1, 2, 3, 4], 40.0),
        (Settings(frames=FrameChoice.NTH, step=2), [0, 2, 4], 80.0),
        (Settings(most_frames=2), [0, 1], 40.0),
        (Settings(frames=FrameChoice.KEY, most_frames=2), [0, 4], 160.0),
    ],
)
def test_frames_of_a_loop(
    make_file: MakeFile, settings: Settings, taken: list[int], time: float
) -> None:
    frames = screen(5)
    examined = examine(file_of(make_file, frames), settings, Finder())
    (view,) = examined.views
    assert [finding.frame for finding in view.findings] == taken
    assert view.frame_time == pytest.approx(time)
    assert np.array_equal(np.stack(list(examined.frames(view))), frames[taken, 10:70, 20:90])


def test_frames_that_are_not_held_are_decoded_again(
    make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privacy.deidentify.examine._HELD_BYTES", 2 * KEPT.width * KEPT.height)
    frames = screen(5)
    examined = examine(file_of(make_file, frames), Settings(), Finder())
    assert len(examined.held) == 2
    for _ in range(2):
        taken = np.stack(list(examined.frames(examined.views[0])))
        assert np.array_equal(taken, frames[:, 10:70, 20:90])


def test_sixteen_bits_become_eight(make_file: MakeFile) -> None:
    wide = (screen()[0].astype(np.uint16) * 16)[None]
    source = make_file(
        wide.astype("<u2").tobytes(),
        shape=(ROWS, COLUMNS),
        vr="OW",
        BitsAllocated=16,
        BitsStored=12,
        SequenceOfUltrasoundRegions=Sequence([region()]),
    )
    examined = examine(source, Settings(), Finder())
    (frame,) = examined.frames(examined.views[0])
    assert np.abs(frame.astype(int) - screen()[0, 10:70, 20:90]).max() <= 1
