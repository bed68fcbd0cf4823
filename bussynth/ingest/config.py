"""What may change the content of an ingested cohort."""

from __future__ import annotations

from dataclasses import dataclass

from bussynth.config import Config, option
from bussynth.dicom.config import FRAMES, DicomOptions

__all__ = ["GEOMETRIES", "IngestConfig"]

GEOMETRIES = ("letterbox", "crop")


@dataclass(frozen=True, kw_only=True)
class _FolderOptions(Config):
    """What an ingest of images asks."""

    image_size: int = option(64, "Edge length of the stored images, in pixels.", min=8, max=1024)
    geometry: str = option(
        "letterbox",
        "How to make images square: letterbox (whole image, black borders) or crop (centre).",
        choices=GEOMETRIES,
    )
    allow_unlisted: bool = option(
        False, "Accept images in the folder that the table does not list; they are counted."
    )
    skip_bad: bool = option(
        False, "Leave out images whose pixels are damaged; they are counted and listed."
    )
    max_pixels: int = option(
        16_777_216, "Refuse source images of more pixels than this.", min=64, max=178_956_970
    )


@dataclass(frozen=True, kw_only=True)
class IngestConfig(DicomOptions, _FolderOptions):
    """Options of ``bussynth ingest``."""

    frames: str = option(
        "key",
        "DICOM: which frames of a loop: all, nth or key (those that differ).",
        choices=FRAMES,
    )
    most_frames: int | None = option(
        5, "DICOM: at most so many frames of a file.", min=1, max=10_000
    )
    leave_out: tuple[str, ...] = option(
        (),
        "Leave out images with this flag, for instance calipers, text or near-duplicate; may be "
        "repeated.",
    )
