"""Which image stands on which page, and what its tile says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bussynth.review.config import ReviewConfig
from bussynth.review.material import Preview

__all__ = ["Sheet", "Tile", "arrange", "layout_digest", "short_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One image of a page.

    Attributes:
        preview: The image, without its picture.
        number: Its number in the whole review, from 1.
        row: Its row in the file of previews, from 0.
    """

    preview: Preview
    number: int
    row: int

    @property
    def name(self) -> str:
        """The id, shortened for people."""
        return short_id(self.preview.id)

    @property
    def risky(self) -> bool:
        """Whether something was suspected or blanked."""
        return bool(self.preview.flags or self.preview.blanked)

    @property
    def blanked_share(self) -> float:
        """Sum of the blanked areas over the kept area; overlaps count twice."""
        kept = self.preview.width * self.preview.height
        return sum((r - x) * (b - t) for x, t, r, b in self.preview.blanked) / kept


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One page.

    Attributes:
        number: From 1.
        tiles: Its images in order.
    """

    number: int
    tiles: tuple[Tile, ...]

    @property
    def name(self) -> str:
        """Name of its file without the ending, and of the folder of its pictures."""
        return f"page-{self.number:04d}"

    @property
    def risky(self) -> int:
        """How many of its images were flagged or blanked."""
        return sum(tile.risky for tile in self.tiles)


def arrange(previews: Sequence[Preview], config: ReviewConfig) -> list[Sheet]:
    """Divide the images into pages.

    With ``order="risk"``, images with the most distinct flags come first (blanking counts as
    one), among equals those of which the larger share was blanked, then by id.

    Args:
        previews: Of a folder, without pictures.
        config: Order and images a page.
    """
    rows = list(enumerate(previews))
    if config.order == "id":
        rows.sort(key=lambda entry: entry[1].id)
    else:
        rows.sort(key=lambda entry: _risk(entry[1]))
    tiles = [
        Tile(preview=preview, number=number, row=row)
        for number, (row, preview) in enumerate(rows, start=1)
    ]
    return [
        Sheet(
            number=1 + start // config.per_page, tiles=tuple(tiles[start : start + config.per_page])
        )
        for start in range(0, len(tiles), config.per_page)
    ]


def layout_digest(sheets: Sequence[Sheet]) -> str:
    """Return 16 hex digits that name which image stands on which page."""
    digest = hashlib.sha256()
    for sheet in sheets:
        digest.update("\n".join(tile.preview.id for tile in sheet.tiles).encode() + b"\n\n")
    return digest.hexdigest()[:16]


def short_id(name: str) -> str:
    """Shorten an id so that it is still told from its neighbours.

    Example:
        >>> short_id("2.25.329800735698586629295641978511506172918#12")
        '2.25.329…2918#12'
    """
    head, mark, frame = name.partition("#")
    return (head if len(head) <= 14 else f"{head[:8]}…{head[-4:]}") + mark + frame


def _risk(preview: Preview) -> tuple[int, float, str]:
    tile = Tile(preview=preview, number=0, row=0)
    count = len(set(preview.flags)) + bool(preview.blanked)
    return -count, -tile.blanked_share, preview.id
