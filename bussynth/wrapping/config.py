"""What may change the content of a wrapped cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bussynth.config import Config, option

__all__ = ["DEFAULT_N", "KINDS", "WrapConfig"]

KINDS: Final = ("auto", "images", "diffusers", "torchscript", "onnx")
DEFAULT_N: Final = 256


@dataclass(frozen=True, kw_only=True)
class WrapConfig(Config):
    """Options of ``bussynth wrap``. ``None`` leaves the choice to the source."""

    kind: str = option("auto", "What the path holds; recognised if not given.", choices=KINDS)
    image_size: int = option(64, "Edge length of the stored images, in pixels.", min=8, max=1024)
    n: int | None = option(
        None,
        f"Number of images to draw, {DEFAULT_N} if not given; a folder of images is taken whole.",
        min=1,
        max=100_000_000,
        flags=("-n", "--n"),
    )
    seed: int = option(
        0, "Seed of what is drawn; image i depends on the seed and on i.", min=0, max=2**63 - 1
    )
    steps: int | None = option(
        None, "Sampling steps of a diffusers pipeline, its own number if not given.", min=1
    )
    conditions: Mapping[str, Any] = option(
        {},
        "Condition of all images: asked of a sampler that knows the column, else taken on your "
        "word.",
        flags=("--condition",),
    )
    columns: tuple[str, ...] = option(
        (),
        "Column of the labels that becomes a condition; all if none is given.",
        flags=("--column",),
    )
