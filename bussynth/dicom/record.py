"""What became of one source file: plain values for the journal, and for nobody outside.

Every value is a number, a word of ours, or a keyed digest; nothing is quoted from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["KEPT", "LEFT_OUT", "QUARANTINED", "FileRecord", "ImageRecord", "ObjectRecord"]

KEPT = "kept"
QUARANTINED = "quarantined"
LEFT_OUT = "left-out"

Edges = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One frame of one region.

    Attributes:
        id: Its new name.
        part: Number of the region in its file, from 0.
        frame: Number of the frame, from 0.
        rectangle: What was kept of the frame: left, top, right, bottom, half-open.
        blanked: Boxes painted over, in pixels of what was kept.
        marks: Whether coloured marks were painted over.
        flags: What was suspected.
        digest: SHA-256 of the cleaned pixels.
        constant: Whether all of them are alike.
    """

    id: str
    part: int
    frame: int
    rectangle: Edges
    blanked: tuple[Edges, ...] = ()
    marks: bool = False
    flags: tuple[str, ...] = ()
    digest: str = ""
    constant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRecord:
    """One DICOM object that was written.

    Attributes:
        uid: Its new SOP Instance UID.
        path: Where it will lie, relative to the output.
        bytes: Its size.
        sha256: Its digest.
    """

    uid: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What became of a source file.

    Attributes:
        number: See :class:`bussynth.dicom.sources.Source`, as the next three.
        name: Keyed name.
        size: Bytes.
        changed: Time of last change, in nanoseconds.
        decision: ``"kept"``, ``"quarantined"`` or ``"left-out"``.
        reason: A short code.
        why: A sentence.
        uid: The new SOP Instance UID, which two files of one object share.
        study: The new Study Instance UID.
        patient: The patient's pseudonym.
        identity: Keyed digest of name and birth date, empty if one is missing.
        birth: Keyed digest of the birth date.
        label: Keyed digest of the attribute that names the row of a table.
        device: Maker and model in the table's spelling, or None.
        frames: Frames of the file.
        frame_size: Rows and columns of a frame.
        images: Frames that were kept.
        objects: Objects that were written.
        refused: Keywords of attributes whose value was outside of what may be kept.
    """

    number: int
    name: str
    size: int
    changed: int
    decision: str
    reason: str
    why: str = ""
    uid: str = ""
    study: str = ""
    patient: str = ""
    identity: str = ""
    birth: str = ""
    label: str = ""
    device: str | None = None
    frames: int = 0
    frame_size: tuple[int, int] | None = None
    images: tuple[ImageRecord, ...] = ()
    objects: tuple[ObjectRecord, ...] = ()
    refused: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a line of the journal."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FileRecord:
        """Read a line of the journal.

        Raises:
            TypeError: The line is of another form.
        """
        known = {item.name for item in fields(cls)}
        if set(values) != known:
            raise TypeError("other keys than a record has")
        size = values["frame_size"]
        images = tuple(
            ImageRecord(
                **{
                    **image,
                    "rectangle": tuple(image["rectangle"]),
                    "blanked": tuple(tuple(box) for box in image["blanked"]),
                    "flags": tuple(image["flags"]),
                }
            )
            for image in values["images"]
        )
        return cls(
            **{
                **values,
                "frame_size": None if size is None else (size[0], size[1]),
                "images": images,
                "objects": tuple(ObjectRecord(**one) for one in values["objects"]),
                "refused": tuple(values["refused"]),
            }
        )
