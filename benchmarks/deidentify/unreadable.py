"""Files among the objects that are no ultrasound images, full of identifiers all the same."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deidentify.canaries import SINGLE, write_objects
from benchmarks.deidentify.tokens import SCRIPTS, Canary, Planter

__all__ = ["Unreadable", "write_unreadable"]


@dataclass(frozen=True, eq=False)
class Unreadable:
    """A file that is no ultrasound image.

    Attributes:
        kind: What is wrong with it.
        path: Where it is, below the folder of all objects.
        canaries: What is in it and in its path.
    """

    kind: str
    path: Path
    canaries: tuple[Canary, ...]


def write_unreadable(folder: Path, seed: int) -> list[Unreadable]:
    """Write files that no tool can read as an ultrasound image, full of identifiers.

    Args:
        folder: Where.
        seed: Same seed, same files.

    Returns:
        What they are and what was planted in them.
    """
    group = "unreadable files"
    whole = folder / "whole"
    one = write_objects(whole, 1, seed + 1_000_003)[0]
    data = (whole / one.path).read_bytes()
    shutil.rmtree(whole)
    start, pixels = data.index(b"\x08\0\x08\0CS"), data.index(b"\xe0\x7f\x10\0OB")
    word = Planter(random.Random(f"{seed} unreadable"), SCRIPTS[0], range(1))
    kinds = {
        "truncated header": data[: pixels // 2],
        "truncated pixels": data[: pixels + 999],
        "no DICOM": word.raw("no DICOM", group) * 40,
        "empty": b"",
        "no pixels": data[:pixels],
        "damaged length": data[: start + 6] + b"\xff\xff" + data[start + 8 :],
        "a report": data.replace(SINGLE.encode() + b"\0", b"1.2.840.10008.5.1.4.1.1.88.11"),
        "archive": b"PK\x03\x04" + word.raw("archive", group) * 9,
        "unknown transfer syntax": data.replace(b"10008.1.2.1\0", b"10008.1.2.9\0", 1),
    }
    found = []
    for number, (kind, content) in enumerate(kinds.items()):
        planter = Planter(random.Random(f"{seed} unreadable {number}"), SCRIPTS[0], range(1))
        path = Path(planter.word(kind, group)) / planter.word(kind, group)
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(content)
        inside = [canary for canary in (*one.canaries, *word.canaries) if _holds(content, canary)]
        found.append(Unreadable(kind, path, (*planter.canaries, *inside)))
    return found


def _holds(data: bytes, canary: Canary) -> bool:
    lower = data.lower()
    return any(form in lower for form in canary.forms)
