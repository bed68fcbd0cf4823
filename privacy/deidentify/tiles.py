"""Cutting an image into tiles that overlap, so that memory does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["tiles"]


def tiles(length: int, tile: int, overlap: int) -> Iterator[slice]:
    """Cut a length into tiles that overlap; the last one ends at the end.

    Args:
        length: Pixels.
        tile: Pixels of a tile.
        overlap: Pixels that neighbours share, fewer than a tile has.

    Example:
        >>> list(tiles(10, 6, 2))
        [slice(0, 6, None), slice(4, 10, None)]
    """
    start = 0
    while start + tile < length:
        yield slice(start, start + tile)
        start += tile - overlap
    yield slice(start, length)
