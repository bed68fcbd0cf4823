"""A page of real images that look alike, for the eyes of the site alone.

The page holds images of patients. It loads nothing, runs nothing, and says on every printed page
that it must not leave the site.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import numpy.typing as npt

from bussynth.images import encode_png

__all__ = ["SheetGroup", "SheetImage", "render_contact_sheet"]

_MAX_GROUPS = 200
_MAX_IMAGES = 12
_MAX_SIDE = 256


@dataclass(frozen=True, eq=False)
class SheetImage:
    """One image of a group.

    Attributes:
        row: Its row.
        pixels: uint8 (H, W).
        lines: What is known of it, a line each: never a name or a pseudonym.
    """

    row: int
    pixels: npt.NDArray[np.uint8]
    lines: tuple[str, ...]

    @property
    def png(self) -> str:
        """The image, small, as base64 of a PNG."""
        pixels = self.pixels
        if max(pixels.shape) > _MAX_SIDE:
            from PIL import Image

            scale = _MAX_SIDE / max(pixels.shape)
            size = [max(1, round(side * scale)) for side in pixels.shape]
            pixels = np.asarray(Image.fromarray(pixels).resize((size[1], size[0])))
        return base64.b64encode(encode_png(pixels)).decode("ascii")


@dataclass(frozen=True, eq=False)
class SheetGroup:
    """Images that show the same picture.

    Attributes:
        name: What it is called, for example ``"Group 3"``.
        problems: What is wrong with it, in a few words each.
        ratio: Ratio of its weakest link.
        images: Its images.
    """

    name: str
    problems: tuple[str, ...]
    ratio: float
    images: tuple[SheetImage, ...]

    @property
    def shown(self) -> tuple[SheetImage, ...]:
        """The images that fit the page."""
        return self.images[:_MAX_IMAGES]


def render_contact_sheet(groups: Sequence[SheetGroup], suspects: Sequence[SheetGroup] = ()) -> str:
    """Render the groups as one HTML page.

    Args:
        groups: All groups; the first 200 are shown, and of each the first 12 images.
        suspects: Pairs that meet no rule, for the eye to judge.

    Returns:
        The page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = groups[:_MAX_GROUPS]
    return environment.get_template("contact-sheet.html.j2").render(
        groups=shown, total=len(groups), omitted=len(groups) - len(shown), suspects=suspects
    )
