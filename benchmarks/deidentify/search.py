"""Search every byte that a tool wrote for canaries, whatever it is packed in.

Files, their names and the names of their folders are searched as they are, and again unpacked:
archives, gzip and zlib streams, images and their text chunks, columns of Parquet, deflated DICOM
datasets, and the bits above those stored of 16-bit pixels.
"""

from __future__ import annotations

import gzip
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.deidentify.tokens import SHORTEST, Canary

__all__ = ["Index", "Leak", "search_bytes", "views"]

_TABLE: Final = 1 << 22
_PIECE: Final = 1 << 22
_DEEPEST: Final = 4
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Leak:
    """A canary that was found.

    Attributes:
        canary: Which one.
        file: Where, below the folder that was searched; with what it was unpacked from.
        name: The file's own name.
    """

    canary: Canary
    file: str
    name: str


class Index:
    """All forms of many canaries, by their first eight bytes.

    Args:
        canaries: What to search for.
    """

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self._owners: dict[bytes, dict[bytes, list[Canary]]] = {}
        for canary in set(canaries):
            for form in canary.forms:
                found = self._owners.setdefault(form[:SHORTEST], {})
                found.setdefault(form, []).append(canary)
        keys = np.frombuffer(b"".join(self._owners), "<u8")
        self._keys = np.sort(keys)
        self._hit = np.zeros(_TABLE, np.bool_)
        self._hit[_place(keys)] = True

    def find(self, data: bytes) -> set[Canary]:
        """Return the canaries that are in some data."""
        found: set[Canary] = set()
        for start in range(0, len(data), _PIECE):
            # A form that crosses the border is found in one of the two pieces.
            found |= self._find(data[start : start + _PIECE + 512].lower())
        return found

    def _find(self, data: bytes) -> set[Canary]:
        found: set[Canary] = set()
        if len(data) < SHORTEST or not len(self._keys):
            return found
        octets = np.frombuffer(data, np.uint8)
        count = len(octets) - SHORTEST + 1
        windows = np.zeros(count, np.uint64)
        for at in range(SHORTEST):
            windows |= octets[at : at + count].astype(np.uint64) << np.uint64(8 * at)
        places = np.flatnonzero(self._hit[_place(windows)])
        near = np.searchsorted(self._keys, windows[places])
        near[near == len(self._keys)] = 0
        for at in places[self._keys[near] == windows[places]]:
            at = int(at)
            for form, canaries in self._owners[data[at : at + SHORTEST]].items():
                if data.startswith(form, at):
                    alone = _alone(data, at, len(form))
                    found |= {one for one in canaries if alone or not one.whole}
        return found


def _place(keys: Words) -> npt.NDArray[np.int64]:
    return ((keys * _MULTIPLIER) >> np.uint64(64 - 22)).astype(np.int64)


def _alone(data: bytes, at: int, length: int) -> bool:
    """Say whether a number is no part of a longer one or of a digest, where chance put it."""
    start, stop = at, at + length
    while start > at - 16 and start > 0 and _is_sign(data[start - 1]):
        start -= 1
    while stop < at + length + 16 and stop < len(data) and _is_sign(data[stop]):
        stop += 1
    # One more may be the first byte of the next tag, as of (0038,0020); six more are a time.
    return stop - start <= length + 1 or (start == at and data[at:stop][: length + 6].isdigit())


def _is_sign(octet: int) -> bool:
    return octet < 128 and chr(octet).isalnum()


def search_bytes(
    folders: Iterable[Path],
    canaries: Iterable[Canary],
    of_file: Mapping[str, Iterable[Canary]] | None = None,
) -> list[Leak]:
    """Search folders.

    Args:
        folders: Every file below them is read, and every name.
        canaries: What to search for.
        of_file: By the name of a file, what may be found in it, for files that are known to come
            from one object: then a date of another object is no leak.

    Returns:
        What was found, once a canary and file.

    Raises:
        FileNotFoundError: A folder is not there, so nothing would be found in it.
    """
    index = Index(canaries)
    owners = {name: set(some) for name, some in (of_file or {}).items()}
    leaks = []
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder} to search.")
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            found = {(one, f"{name} (name)") for one in index.find(name.encode())}
            if path.is_file() and not path.is_symlink():
                for view, data in views(name, path.read_bytes()):
                    found |= {(one, view) for one in index.find(data)}
            allowed = owners.get(path.name)
            leaks += [
                Leak(canary, file, path.name)
                for canary, file in found
                if allowed is None or canary in allowed
            ]
    return sorted(leaks, key=lambda leak: (leak.file, leak.canary.place))


def views(name: str, data: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Give a file as it is, then whatever can be unpacked from it.

    Args:
        name: What to call it.
        data: Its content.
        depth: How often it was unpacked already.

    Yields:
        Name and bytes.
    """
    yield name, data
    if depth >= _DEEPEST:
        return
    for kind, inner in _unpacked(data):
        yield from views(f"{name}!{kind}", inner, depth + 1)


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data.startswith(b"PK\x03\x04") and zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                yield "name", member.filename.encode()
                yield member.filename, archive.read(member)
    if data.startswith(b"\x1f\x8b"):
        yield "gzip", gzip.decompress(data)
    if data[:1] == b"\x78" and (inflated := _inflate(data, zlib.MAX_WBITS)):
        yield "zlib", inflated
    if data.startswith(_PNG):
        yield from _png(data)
    if data.startswith(b"PAR1"):
        yield from _parquet(data)
    if data[128:132] == b"DICM":
        yield from _dicom(data)


def _inflate(data: bytes, bits: int) -> bytes:
    try:
        return zlib.decompressobj(bits).decompress(data)
    except zlib.error:
        return b""


def _png(data: bytes) -> Iterator[tuple[str, bytes]]:
    at, pixels = len(_PNG), b""
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            pixels += body
        elif kind in (b"zTXt", b"iTXt", b"iCCP"):
            yield kind.decode(), _inflate(body[body.find(b"\x78") :], zlib.MAX_WBITS)
        at += 12 + length
    yield "pixels", _inflate(pixels, zlib.MAX_WBITS)


def _parquet(data: bytes) -> Iterator[tuple[str, bytes]]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    yield "schema", repr(table.schema.metadata).encode() + str(table.schema).encode()
    for name in table.column_names:
        for number, value in enumerate(table.column(name).to_pylist()):
            for part in _leaves(value):
                yield f"{name}[{number}]", part


def _leaves(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif value is not None:
        yield str(value).encode()


def _dicom(data: bytes) -> Iterator[tuple[str, bytes]]:
    import pydicom

    length = int.from_bytes(data[140:144], "little")
    if b"1.2.840.10008.1.2.1.99" in data[132 : 144 + length]:
        yield "inflated", _inflate(data[144 + length :], -zlib.MAX_WBITS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data))
            deep = dataset.get("BitsAllocated") == 16 and dataset.get("BitsStored") == 12
            if deep and not dataset.file_meta.TransferSyntaxUID.is_compressed:
                words = np.frombuffer(dataset.PixelData, "<u2") >> 12
                yield "high bits", bytes((words[::2] << 4 | words[1::2]).astype(np.uint8))
        except Exception:  # what cannot be parsed was searched as it is
            return
