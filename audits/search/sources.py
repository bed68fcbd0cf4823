"""Where vectors come from: an array in memory or rows of a file.

Tasks of a search travel to other processes or machines. A file travels as its path and is read
there block by block, by plain reads: a memory map would count every page it touched as used
memory, and pickles as the whole array.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.features.pixels import FloatArray

__all__ = ["ArraySource", "FileSource", "Source", "Vectors", "as_source"]

Vectors = FloatArray | str | os.PathLike[str]
"""Anything searched: a float32 array (n, d), a memory map, or the path of a .npy file."""

_ITEM = 4


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Vectors in memory.

    Attributes:
        array: float32 (n, d).
    """

    array: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions."""
        return self.array.shape[0], self.array.shape[1]

    def part(self, start: int, stop: int) -> ArraySource:
        """The rows [start, stop) as a source of their own."""
        return ArraySource(self.array[start:stop])

    def read(self, start: int, stop: int) -> FloatArray:
        """The rows [start, stop) in memory."""
        return self.array[start:stop]

    def take(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        """Single rows, in the order asked."""
        return self.array[rows]


@dataclass(frozen=True)
class FileSource:
    """Consecutive rows of float32 values in a file.

    Attributes:
        path: Absolute path, the same wherever tasks run.
        offset: Bytes before the first row.
        rows: Rows.
        dimensions: Values a row.
    """

    path: str
    offset: int
    rows: int
    dimensions: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions."""
        return self.rows, self.dimensions

    def part(self, start: int, stop: int) -> FileSource:
        """The rows [start, stop) as a source of their own."""
        return replace(self, offset=self._at(start), rows=stop - start)

    def read(self, start: int, stop: int) -> FloatArray:
        """The rows [start, stop), read into memory."""
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self._at(start))
            return self._fill(file, stop - start)

    def take(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        """Single rows, in the order asked, each read once."""
        wanted, places = np.unique(rows, return_inverse=True)
        found = np.empty((len(wanted), self.dimensions), np.float32)
        with open(self.path, "rb", buffering=0) as file:
            for place, row in enumerate(wanted.tolist()):
                file.seek(self._at(row))
                found[place] = self._fill(file, 1)[0]
        return found[places]

    def _at(self, row: int) -> int:
        return self.offset + row * self.dimensions * _ITEM

    def _fill(self, file: object, rows: int) -> FloatArray:
        block = np.empty((rows, self.dimensions), np.float32)
        view = block.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(view):
            got = file.readinto(view[done:])  # type: ignore[attr-defined]
            if not got:
                raise AuditInputError("a file of vectors is shorter than its header says")
            done += got
        return block


Source = ArraySource | FileSource


def _file_behind(array: FloatArray) -> FileSource | None:
    """The file a memory map shows, or None where the array is not simply rows of one."""
    root: object = array
    while isinstance(root, np.ndarray) and isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or not array.flags.c_contiguous or not array.size:
        return None
    if root.mode == "c" or root.filename is None or not os.path.isfile(root.filename):
        return None
    if root.mode != "r":
        root.flush()
    # A view of a map keeps the offset of its parent, so positions come from the addresses.
    before = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    path = str(Path(root.filename).resolve())
    return FileSource(path, root.offset + before, array.shape[0], array.shape[1])


def as_source(vectors: Vectors | Source, name: str) -> Source:
    """Accept an array, a memory map or the path of a .npy file.

    Args:
        vectors: float32 (n, d), C-contiguous if in a file.
        name: What to call it in errors.

    Returns:
        A file where there is one behind the vectors, otherwise the array.

    Raises:
        AuditInputError: Not two-dimensional, not float32, or a file laid out otherwise.
    """
    if isinstance(vectors, ArraySource | FileSource):
        return vectors
    if not isinstance(vectors, np.ndarray):
        try:
            mapped = np.load(vectors, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise AuditInputError(f"{name}: not a readable .npy file") from error
        if not isinstance(mapped, np.memmap):
            raise AuditInputError(f"{name}: expected one array in a .npy file")
        vectors = mapped
    if vectors.ndim != 2 or vectors.dtype != np.float32 or not vectors.dtype.isnative:
        raise AuditInputError(
            f"{name}: expected float32 (n, d), got {vectors.dtype} {vectors.shape}"
        )
    return _file_behind(vectors) or ArraySource(vectors)
