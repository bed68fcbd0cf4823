"""What may change the content of an ingested cohort."""

from __future__ import annotations

from dataclasses import dataclass

from bussynth.config import Config, option

__all__ = ["GEOMETRIES", "IngestConfig"]

GEOMETRIES = ("letterbox", "crop")


@dataclass(frozen=True, kw_only=True)
class IngestConfig(Config):
    """Options of ``bussynth ingest``."""

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
