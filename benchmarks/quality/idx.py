"""IDX files, the format of MNIST and Fashion-MNIST: big-endian sizes, then one byte a value.

A file begins with two zero bytes, 0x08 for bytes as values, and the number of dimensions; the sizes
follow as 32-bit integers. Nothing is guessed: what a header does not explain is refused.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from bussynth.errors import DataError

__all__ = ["find_idx", "read_idx"]

_BYTES: Final = 0x08
_LIMIT: Final = 2**30  # bytes; the largest of the standard files has 47 million
_CHUNK: Final = 2**20


def find_idx(folder: Path, name: str, dimensions: int) -> Path:
    """Find ``NAME-idxD-ubyte`` or ``NAME.idxD-ubyte``, plain rather than with ``.gz``.

    Args:
        folder: Where to look.
        name: As in ``train-images``.
        dimensions: D.

    Raises:
        DataError: There is no such file.
    """
    spellings = [f"{name}{mark}idx{dimensions}-ubyte" for mark in "-."]
    for suffix in ("", ".gz"):
        for spelling in spellings:
            if (folder / (spelling + suffix)).is_file():
                return folder / (spelling + suffix)
    raise DataError(f"{folder} holds neither {' nor '.join(spellings)}, with or without .gz.")


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read a file of bytes.

    Args:
        path: The file; compressed if its name ends in ``.gz``.
        dimensions: How many it must have: 3 for images, 1 for labels.

    Returns:
        uint8, of the shape that the header gives: ``(n, height, width)`` or ``(n,)``.

    Raises:
        DataError: It is no such file, is too short or too long, or cannot be unpacked.
    """
    try:
        with path.open("rb") as raw:
            if path.suffix != ".gz":
                return _read(raw, path, dimensions)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _read(stream, path, dimensions)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is cut off or no gzip file.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read.") from error


def _read(stream: BinaryIO | gzip.GzipFile, path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path} is no IDX file: it does not begin with two zero bytes.")
    if magic[2] != _BYTES:
        raise DataError(f"{path} holds values of type 0x{magic[2]:02x}; expected bytes, 0x08.")
    if magic[3] != dimensions:
        raise DataError(f"{path} has {magic[3]} dimensions; expected {dimensions}.")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path} is cut off in its header.")
    shape = struct.unpack(f">{dimensions}I", sizes)
    count = math.prod(shape)
    if not 0 < count <= _LIMIT:
        raise DataError(f"{path} announces the shape {shape}, which is empty or too large.")
    content = bytearray()
    # In pieces: a header that lies must not make room for a gigabyte.
    while len(content) <= count:
        piece = stream.read(min(_CHUNK, count + 1 - len(content)))
        if not piece:
            break
        content += piece
    if len(content) < count:
        raise DataError(f"{path} is cut off: {len(content)} of {count} values are there.")
    if len(content) > count:
        raise DataError(f"{path} goes on behind the {count} values that its header announces.")
    return np.frombuffer(bytes(content), np.uint8).reshape(shape)
