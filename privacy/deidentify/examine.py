"""The pixel half of one file: what is kept of it, decided before anything is written.

Every frame that is taken is decoded, cut to a region of tissue, and looked at for colour and text.
What cannot be decided raises :class:`~privacy.deidentify.errors.QuarantineError`; whatever comes
back here is ready to be written. The source's frames outside of the regions are never kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from scipy import ndimage

from privacy.deidentify.blanking import blank, clear_part, covered_share
from privacy.deidentify.calibration import pixel_size, whole_frame
from privacy.deidentify.colour import Pixels, gray_bytes
from privacy.deidentify.colour_marks import ColourFinding, ColourKind, colour_finding
from privacy.deidentify.decode import decode_frame
from privacy.deidentify.errors import QuarantineError
from privacy.deidentify.frame_data import Calibration, FrameFormat
from privacy.deidentify.frames import every_nth, key_frames
from privacy.deidentify.pixel_file import PixelFile, open_pixels
from privacy.deidentify.regions import LEFT_TO_RULES, Quarantine, Rectangle, crop, kept_regions
from privacy.deidentify.settings import FrameChoice, OnColour, OnText, Settings
from privacy.deidentify.text import TextDetector
from privacy.deidentify.timing import frame_milliseconds

__all__ = ["Examined", "FrameFinding", "View", "examine"]

# Cut-out frames of a file that are held so that they need not be decoded twice.
_HELD_BYTES: Final = 256 << 20
# Pixels around a coloured mark that lossy compression tinted too weakly to be counted.
_MARK_MARGIN: Final = 2
# Letters that the edge of a region cuts are seen for what they are only with what was cut off.
_AROUND: Final = 24
# Of letters that stand outside, less than this reaches in and cannot be read.
_READABLE: Final = 6
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFinding:
    """What was seen in one region of one frame.

    Attributes:
        frame: Number of the frame in its file, from 0.
        text: Boxes of text, in pixels of the region.
        colour: What kind of colour there is.
        marks: Share of the region that is coloured marks, which are blanked.
    """

    frame: int
    text: tuple[Rectangle, ...] = ()
    colour: ColourKind = ColourKind.GRAY
    marks: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One region of a file, and its frames.

    Attributes:
        part: Number of the region in the file, from 0.
        region: The region in the file's frames.
        cut: The part of the region that is kept, in pixels of the region.
        by_rule: A rule of the site gave the region.
        findings: The frames, in order.
        in_colour: Whether frames are kept in colour.
        calibration: Size of a pixel, if the file says it.
        frame_time: Milliseconds from frame to frame, None if unknown.
        blanked: Whether text was painted over, rather than cut off.
    """

    part: int
    region: Rectangle
    cut: Rectangle
    by_rule: bool
    findings: tuple[FrameFinding, ...]
    in_colour: bool
    calibration: tuple[Calibration, ...]
    frame_time: float | None
    blanked: bool

    @property
    def rectangle(self) -> Rectangle:
        """What is kept, in the file's frames."""
        return _within(self.region, self.cut)

    def boxes(self, finding: FrameFinding) -> tuple[Rectangle, ...]:
        """Return what is painted over in a frame, in pixels of what is kept."""
        return finding.text if self.blanked else ()

    def format(
        self, *, cleaned: bool, single: bool = False, part: int | None = None
    ) -> FrameFormat:
        """Describe the frames for :func:`privacy.deidentify.rebuild.rebuild`.

        Args:
            cleaned: Whether the object may claim that burned-in text was removed.
            single: Describe an object of one of the frames.
            part: Number of the object among those made of the file, if not that of the view.
        """
        return FrameFormat(
            rows=self.cut.height,
            columns=self.cut.width,
            count=1 if single else len(self.findings),
            colour=self.in_colour,
            cleaned=cleaned,
            calibration=self.calibration,
            frame_time=None if single else self.frame_time,
            part=self.part if part is None else part,
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examined:
    """A file whose pixels passed.

    Attributes:
        file: The opened file; it must stay open while frames are taken.
        views: Its regions, from left to right.
    """

    file: PixelFile
    views: tuple[View, ...]
    held: dict[tuple[int, int], NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def frames(self, view: View) -> Iterator[NDArray[np.uint8]]:
        """Yield the cleaned frames of a view, one at a time.

        Args:
            view: One of :attr:`views`.

        Yields:
            uint8 (H, W), or (H, W, 3) if the view is in colour.
        """
        for finding in view.findings:
            image = self.held.get((view.part, finding.frame))
            if image is None:
                image = _cut_out(decode_frame(self.file, finding.frame), view.region, self.file)
                image = _without_marks(image)
            yield _cleaned(image, view, finding)


def examine(source: BinaryIO, settings: Settings, detector: TextDetector) -> Examined:
    """Open a file and decide what is kept of its pixels.

    Args:
        source: A DICOM file opened for reading.
        settings: What the site decided.
        detector: Who looks for text.

    Returns:
        The regions and frames that are kept.

    Raises:
        QuarantineError: The pixels are legal, but a person must decide.
        PixelDataError: The file or its pixels cannot be read; see
            :mod:`privacy.deidentify.pixel_errors`.
    """
    file = open_pixels(source, settings.limits)
    # The header half looks here for lossy compression, and at nothing else.
    file.dataset.file_meta = FileMetaDataset()
    file.dataset.file_meta.TransferSyntaxUID = file.syntax
    kept = kept_regions(file.dataset, file.pixels.rows, file.pixels.columns, settings.rules)
    if isinstance(kept, Quarantine):
        code, said = kept.reason.name.lower().replace("_", "-"), str(kept.reason)
        if kept.reason in LEFT_TO_RULES:  # what the rule would be for
            said += f"; frames of {file.pixels.rows} rows and {file.pixels.columns} columns"
        raise QuarantineError(code, f"{said}.")
    for region in kept.rectangles:
        if min(region.width, region.height) < settings.smallest_side:
            raise QuarantineError("small", "a kept region is too small to be an image of tissue.")
    chosen = _chosen(file, kept.rectangles, settings)
    images: dict[tuple[int, int], NDArray[np.uint8]] = {}
    found: list[list[FrameFinding]] = [[] for _ in kept.rectangles]
    held = 0
    for number in chosen:
        frame = decode_frame(file, number)
        for part, region in enumerate(kept.rectangles):
            finding, image = _look(frame, region, file, number, settings, detector)
            found[part].append(finding)
            held += image.nbytes
            if held <= _HELD_BYTES:
                images[part, number] = image
    time = _frame_time(file, chosen, settings)
    views = tuple(
        _view(file, part, region, found[part], settings, time, by_rule=kept.by_rule)
        for part, region in enumerate(kept.rectangles)
    )
    done = Examined(file=file, views=views, held=images)
    settled = tuple(_settled(done, view, settings, detector) for view in views)
    return replace(done, views=settled)


def _chosen(file: PixelFile, regions: Sequence[Rectangle], settings: Settings) -> tuple[int, ...]:
    count = file.pixels.frames
    if settings.frames is FrameChoice.KEY and count > 1:
        # Judged by what is kept, from the leftmost region to the rightmost.
        whole = Rectangle(
            min(one.left for one in regions),
            min(one.top for one in regions),
            max(one.right for one in regions),
            max(one.bottom for one in regions),
        )
        seen = (crop(decode_frame(file, number), whole) for number in range(count))
        return key_frames(seen, settings.most_frames or count)
    step = settings.step if settings.frames is FrameChoice.NTH else 1
    return every_nth(count, step, settings.most_frames)


def _cut_out(frame: Pixels, region: Rectangle, file: PixelFile) -> NDArray[np.uint8]:
    """Cut a region out, as 8-bit gray or RGB."""
    part = crop(frame, region)
    if part.ndim == 2:
        return gray_bytes(part, file.pixels.stored)
    if part.dtype == np.uint8:
        return part.astype(np.uint8, copy=False)
    full = (1 << file.pixels.stored) - 1
    return ((part.astype(np.uint32) * 510 + full) // (2 * full)).astype(np.uint8)


def _look(
    frame: Pixels,
    region: Rectangle,
    file: PixelFile,
    number: int,
    settings: Settings,
    detector: TextDetector,
) -> tuple[FrameFinding, NDArray[np.uint8]]:
    """Look at a region of a frame; return also its pixels, without coloured marks."""
    image = _cut_out(frame, region, file)
    seen = colour_finding(image) if image.ndim == 3 else None
    colour = ColourKind.GRAY if seen is None else seen.kind
    if colour is ColourKind.OVERLAY and settings.on_colour is OnColour.QUARANTINE:
        raise QuarantineError(
            "colour", f"frame {number + 1} has a map of colour over the tissue, such as Doppler."
        )
    # Of marks that are letters the gate shall know, so it looks before they are painted over.
    wide = _widened(region, file.pixels.rows, file.pixels.columns)
    around = _cut_out(frame, wide, file)
    found = _text(around if colour is ColourKind.OVERLAY else gray_bytes(around, 8), detector)
    text = _reaching(found, region, wide)
    if text and settings.on_text is OnText.QUARANTINE:
        raise QuarantineError("text", f"frame {number + 1} has text inside the kept region.")
    marks = seen.share if seen is not None and colour is ColourKind.MARKS else 0.0
    finding = FrameFinding(frame=number, text=text, colour=colour, marks=marks)
    if colour is ColourKind.OVERLAY:
        return finding, image
    return finding, _painted(gray_bytes(image, 8), seen)


def _widened(region: Rectangle, rows: int, columns: int) -> Rectangle:
    return Rectangle(
        max(region.left - _AROUND, 0),
        max(region.top - _AROUND, 0),
        min(region.right + _AROUND, columns),
        min(region.bottom + _AROUND, rows),
    )


def _reaching(
    found: Sequence[Rectangle], region: Rectangle, wide: Rectangle
) -> tuple[Rectangle, ...]:
    """Return what of boxes in a widened region reaches into the region, in pixels of the region."""
    right, down = region.left - wide.left, region.top - wide.top
    inside = []
    for box in found:
        left, top = max(box.left - right, 0), max(box.top - down, 0)
        width = min(box.right - right, region.width) - left
        height = min(box.bottom - down, region.height) - top
        if width >= min(_READABLE, box.width) and height >= min(_READABLE, box.height):
            inside.append(Rectangle(left, top, left + width, top + height))
    return tuple(dict.fromkeys(inside))


def _text(image: NDArray[np.uint8], detector: TextDetector) -> tuple[Rectangle, ...]:
    """Find text; in what stays coloured also by channel: letters may be as bright as the tissue."""
    shades = [gray_bytes(image, 8)]
    if image.ndim == 3:
        shades += [np.ascontiguousarray(image[..., channel]) for channel in range(3)]
    found = (box.rectangle for shade in shades for box in detector.find(shade))
    return tuple(dict.fromkeys(found))


def _without_marks(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels that :func:`_look` returns, once more."""
    if image.ndim == 2:
        return image
    seen = colour_finding(image)
    return image if seen.kind is ColourKind.OVERLAY else _painted(gray_bytes(image, 8), seen)


def _painted(shade: NDArray[np.uint8], seen: ColourFinding | None) -> NDArray[np.uint8]:
    if seen is None or seen.kind is not ColourKind.MARKS:
        return shade
    near = ndimage.maximum_filter(seen.mask.view(np.uint8), 2 * _MARK_MARGIN + 1, mode="constant")
    return np.where(near, np.uint8(0), shade)


def _view(
    file: PixelFile,
    part: int,
    region: Rectangle,
    findings: list[FrameFinding],
    settings: Settings,
    frame_time: float | None,
    *,
    by_rule: bool,
) -> View:
    whole = Rectangle(0, 0, region.width, region.height)
    cut = whole
    every = [box for finding in findings for box in finding.text]
    if every and settings.on_text is OnText.CROP:
        left = clear_part(every, region.height, region.width)
        lost = 1.0 if left is None else 1 - left.width * left.height / (whole.width * whole.height)
        if left is None or lost > 0.5 or min(left.width, left.height) < settings.smallest_side:
            raise QuarantineError("text", "text inside the kept region cannot be cut off.")
        cut = left
    else:
        _refuse_mostly_text(findings, region, settings)
    return View(
        part=part,
        region=region,
        cut=cut,
        by_rule=by_rule,
        findings=tuple(findings),
        in_colour=any(finding.colour is ColourKind.OVERLAY for finding in findings),
        calibration=whole_frame(pixel_size(file.dataset, region), cut.height, cut.width),
        frame_time=frame_time,
        blanked=settings.on_text is not OnText.CROP,
    )


def _settled(examined: Examined, view: View, settings: Settings, detector: TextDetector) -> View:
    """Look at what was cleaned until nothing more is found; painting may bring text to light."""
    if not any(finding.text or finding.marks for finding in view.findings):
        return view
    for _ in range(_LOOKS):
        findings, more = [], False
        for finding, frame in zip(view.findings, examined.frames(view), strict=True):
            new: tuple[Rectangle, ...] = ()
            if finding.text or finding.marks:
                coloured = finding.colour is ColourKind.OVERLAY
                found = _text(frame if coloured else gray_bytes(frame, 8), detector)
                new = tuple(box for box in found if not _inside(box, view.boxes(finding)))
            more = more or bool(new)
            findings.append(replace(finding, text=finding.text + new))
        if not more:
            return view
        if not view.blanked:
            break
        view = replace(view, findings=tuple(findings))
        _refuse_mostly_text(findings, view.region, settings)
    raise QuarantineError("text-remains", "text is still found after cleaning.")


def _refuse_mostly_text(
    findings: Sequence[FrameFinding], region: Rectangle, settings: Settings
) -> None:
    for finding in findings:
        share = covered_share(finding.text, region.height, region.width)
        if share + finding.marks > settings.most_blanked:
            raise QuarantineError(
                "mostly-text", f"frame {finding.frame + 1} is largely text or marks."
            )


def _inside(found: Rectangle, boxes: Sequence[Rectangle]) -> bool:
    """Say whether most of a box lies on what was painted over: its edge may be taken for text."""
    mask = np.zeros((found.height, found.width), np.bool_)
    for box in boxes:
        if found.overlaps(box):
            top, left = max(box.top - found.top, 0), max(box.left - found.left, 0)
            mask[top : box.bottom - found.top, left : box.right - found.left] = True
    return bool(mask.mean() > 0.5)


def _cleaned(image: NDArray[np.uint8], view: View, finding: FrameFinding) -> NDArray[np.uint8]:
    if view.in_colour and image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    cut = view.cut
    image = image[cut.top : cut.bottom, cut.left : cut.right]
    boxes = view.boxes(finding)
    return blank(image, boxes) if boxes else image


def _frame_time(file: PixelFile, chosen: Sequence[int], settings: Settings) -> float | None:
    time = frame_milliseconds(file.dataset)
    if time is None or len(chosen) < 2:
        return None
    # Of frames that were left out the time passes all the same; key frames have a mean distance.
    time *= (chosen[-1] - chosen[0]) / (len(chosen) - 1)
    return min(max(time, 0.1), 60_000.0)


def _within(outer: Rectangle, inner: Rectangle) -> Rectangle:
    return Rectangle(
        outer.left + inner.left,
        outer.top + inner.top,
        outer.left + inner.right,
        outer.top + inner.bottom,
    )
