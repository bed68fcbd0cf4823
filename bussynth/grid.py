"""Contact sheets: many small images in one PNG, with the requested lesion boxes drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from bussynth.cohort.cohort import Cohort
from bussynth.cohort.row import Row
from bussynth.errors import UsageError

__all__ = ["draw_grid", "draw_pair", "first_rows"]

_BOX_COLOUR = (255, 176, 0)
_MIN_TILE = 96


def first_rows(cohort: Cohort, n: int) -> list[Row]:
    """Return up to ``n`` rows, reading no further than needed."""
    rows: list[Row] = []
    for batch in cohort.batches(rows=n):
        rows += batch
        if len(rows) >= n:
            break
    return rows[:n]


def draw_grid(rows: Sequence[Row], *, columns: int = 8, boxes: bool = True) -> bytes:
    """Draw rows as a contact sheet.

    Args:
        rows: At least one row, all of one size.
        columns: Tiles in a line.
        boxes: Whether to outline the lesion boxes.

    Returns:
        An RGB PNG.

    Raises:
        UsageError: There are no rows.
    """
    buffer = io.BytesIO()
    _sheet(rows, columns, boxes).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def draw_pair(left: Sequence[Row], right: Sequence[Row], *, columns: int = 8) -> bytes:
    """Draw two contact sheets side by side, for comparison by eye."""
    sheets = [_sheet(left, columns, True), _sheet(right, columns, True)]
    gap = 24
    width = sum(sheet.width for sheet in sheets) + gap
    canvas = Image.new("RGB", (width, max(sheet.height for sheet in sheets)), "white")
    canvas.paste(sheets[0], (0, 0))
    canvas.paste(sheets[1], (sheets[0].width + gap, 0))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _sheet(rows: Sequence[Row], columns: int, boxes: bool) -> Image.Image:
    if not rows:
        raise UsageError("There are no images to draw.")
    height, width = rows[0].image.shape
    scale = max(1, -(-_MIN_TILE // max(height, width)))
    gap = 2
    lines = -(-len(rows) // columns)
    columns = min(columns, len(rows))
    step_x, step_y = width * scale + gap, height * scale + gap
    sheet = Image.new("RGB", (columns * step_x - gap, lines * step_y - gap), "white")
    for number, row in enumerate(rows):
        tile = Image.fromarray(row.image).convert("RGB")
        tile = tile.resize((width * scale, height * scale), Image.Resampling.BICUBIC)
        if boxes and row.lesion_box is not None:
            x0, y0, x1, y1 = (edge * scale for edge in row.lesion_box)
            ImageDraw.Draw(tile).rectangle((x0, y0, x1 - 1, y1 - 1), outline=_BOX_COLOUR)
        sheet.paste(tile, ((number % columns) * step_x, (number // columns) * step_y))
    return sheet
