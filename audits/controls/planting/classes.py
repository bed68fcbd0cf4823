"""The planted classes, in report order.

Decisive are exact and mirrored copies and the mildest changes that leave everything at its place.
Not so moves, of which pictures of few pixels cannot show much, and speckle, whose mildest step
drowns what pictures of 32 pixels hold.
"""

from __future__ import annotations

from audits.controls.planting import content, geometry, values
from audits.controls.planting.base import Alteration, Need, PlantedClass, in_turn

__all__ = ["PLANTED_CLASSES"]


def _class(
    family: str,
    label: str,
    severity: float,
    alter: Alteration,
    *,
    decisive: bool = False,
    needs: tuple[Need, ...] = (),
    partner_counts: bool = False,
) -> PlantedClass:
    name = f"{family} {label}".strip()
    return PlantedClass(name, family, severity, decisive, alter, needs, partner_counts)


def _both(family: str, label: str, severity: float, alter: Alteration) -> PlantedClass:
    """A picture of two patients: naming either is right."""
    return _class(family, label, severity, alter, needs=("partner",), partner_counts=True)


_ONCE = in_turn(
    geometry.mirrored, geometry.framing(degrees=5), values.gamma(0.8, 1.25), values.noise(20)
)
_HARDER = in_turn(
    geometry.mirrored,
    geometry.framing(shift=0.04, zooms=(0.9, 1.1), degrees=10),
    values.gamma(0.8, 1.25),
    values.noise(10),
)

PLANTED_CLASSES: tuple[PlantedClass, ...] = (
    _class("exact", "", 0, content.exact, decisive=True),
    _class("mirrored", "", 0, geometry.mirrored, decisive=True),
    _class("noise", "20 dB", 1, values.noise(20), decisive=True),
    _class("noise", "10 dB", 2, values.noise(10)),
    _class("noise", "3 dB", 3, values.noise(3)),
    _class("noise", "0 dB", 4, values.noise(0)),
    _class("speckle", "20 looks", 1, values.speckle(20)),
    _class("speckle", "8 looks", 2, values.speckle(8)),
    _class("speckle", "4 looks", 3, values.speckle(4)),
    _class("speckle", "1 look", 4, values.speckle(1)),
    _class("blur", "1 % of the side", 1, values.blur(0.01), decisive=True),
    _class("blur", "3 % of the side", 2, values.blur(0.03)),
    _class("blur", "6 % of the side", 3, values.blur(0.06)),
    _class("gain", "0.8 to 1.25", 1, values.gain(0.8, 1.25), decisive=True),
    _class("gain", "0.5 to 2", 2, values.gain(0.5, 2.0)),
    _class("gamma", "0.8 or 1.25", 1, values.gamma(0.8, 1.25), decisive=True),
    _class("gamma", "0.5 or 2", 2, values.gamma(0.5, 2.0)),
    _class("depth gain", "down to 0.7", 1, values.depth_gain(0.7), decisive=True),
    _class("depth gain", "down to 0.5", 2, values.depth_gain(0.5)),
    _class("depth gain", "sliders of 6 dB", 3, values.sliders(6.0)),
    _class(
        "dynamic range", "50 or 75 for 60 dB", 1, values.dynamic_range(50.0, 75.0), decisive=True
    ),
    _class("dynamic range", "45 or 90 for 60 dB", 2, values.dynamic_range(45.0, 90.0)),
    _class("JPEG", "quality 75", 1, values.jpeg(75), decisive=True),
    _class("JPEG", "quality 30", 2, values.jpeg(30)),
    _class("JPEG", "quality 10", 3, values.jpeg(10)),
    _class("shift", "4 %", 1, geometry.framing(shift=0.04)),
    _class("shift", "8 %", 2, geometry.framing(shift=0.08)),
    _class("zoom", "0.9 or 1.1", 1, geometry.framing(zooms=(0.9, 1.1))),
    _class("zoom", "0.8 or 1.25", 2, geometry.framing(zooms=(0.8, 1.25))),
    _class("rotation", "5 degrees", 1, geometry.framing(degrees=5)),
    _class("rotation", "10 degrees", 2, geometry.framing(degrees=10)),
    _class("rotation", "15 degrees", 3, geometry.framing(degrees=15)),
    _class("crop", "to 0.95 of the side", 1, geometry.crop(0.95)),
    _class("crop", "to 0.85 of the side", 2, geometry.crop(0.85)),
    _class("crop", "to 0.7 of the side", 3, geometry.crop(0.7)),
    _class("sector", "of 20 degrees", 1, geometry.to_sector(20)),
    _class("sector", "of 40 degrees", 2, geometry.to_sector(40)),
    _class("rectangle", "from 20 degrees", 1, geometry.to_rectangle(20)),
    _class("rectangle", "from 40 degrees", 2, geometry.to_rectangle(40)),
    _class("overlay", "of text", 1, content.overlay(lines=2), decisive=True),
    _class("overlay", "of text and calipers", 2, content.overlay(lines=2, calipers=2)),
    _class(
        "overlay",
        "of text, calipers and logo",
        3,
        content.overlay(lines=3, calipers=3, logo=True),
    ),
    _class("several at once", "", 1, _ONCE),
    _class("several at once", "and stronger", 2, _HARDER),
    _class("upside down", "", 1, geometry.upside_down),
    _class("inverted grey values", "", 1, values.inverted),
    _both("left half beside another patient's right half", "", 1, content.halves),
    _both("average of two patients", "0.8 to 0.2", 1, content.blend(0.8)),
    _both("average of two patients", "0.65 to 0.35", 2, content.blend(0.65)),
    # The image is mostly the partner's, but the question is whether the lesion is traced.
    _class(
        "lesion in another breast",
        "at its place",
        1,
        content.lesion_pasted(moved=False),
        needs=("box", "partner"),
    ),
    _class(
        "lesion in another breast",
        "elsewhere",
        2,
        content.lesion_pasted(moved=True),
        needs=("box", "partner"),
    ),
    *(
        _class(
            "noised and denoised by the generator",
            f"at strength {strength}",
            10 * strength,
            content.renoised(strength),
            needs=("generator",),
        )
        for strength in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    ),
)
"""The planted classes, in report order."""
