"""The machines of the phantom hospital: how each signs, draws its screen and stores its files.

Makers and models are real, because what reads them knows real ones; screens and logos are made up
and copy nobody's. One maker does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bussynth.cohort.phantom.device import DEVICES

__all__ = ["MACHINES", "Machine", "Storage", "machine_of"]

Colour = tuple[int, int, int]


class Storage(StrEnum):
    """How a machine stores pixels."""

    GRAY = "gray"
    GRAY_RLE = "gray-rle"
    RGB = "rgb"
    RGB_RLE = "rgb-rle"
    JPEG = "jpeg"
    PALETTE = "palette"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine.

    Attributes:
        maker: Manufacturer, as it signs.
        model: Manufacturer's Model Name.
        style: Its device style in the simulator.
        rows: Height of its screen.
        columns: Width of its screen.
        area: Where an image may lie: ``(left, top, right, bottom)``.
        storage: How it stores pixels.
        implicit: Whether it writes implicit VR.
        logo: What its made-up logo says.
        banner: Colour behind the banner.
        ground: Colour of the rest of the screen.
        ink: Colour of text.
        accent: Colour of logo and calipers.
        font: Size of text, in pixels.
        panel: On which side the settings stand: ``"left"`` or ``"right"``.
        media: Pattern of its file names.
        mark_inside: Whether its body mark is drawn into the image.
        probe: Transducer.
    """

    maker: str
    model: str
    style: str
    rows: int
    columns: int
    area: tuple[int, int, int, int]
    storage: Storage
    implicit: bool = False
    logo: str
    banner: Colour
    ground: Colour
    ink: Colour
    accent: Colour
    font: int
    panel: str
    media: str = "IM{number:04d}"
    mark_inside: bool = False
    probe: str


MACHINES = (
    Machine(
        maker="GE Healthcare",
        model="LOGIQE9",
        style="phantom-linear-a",
        rows=600,
        columns=800,
        area=(60, 74, 640, 560),
        storage=Storage.JPEG,
        logo="LQ",
        banner=(18, 24, 40),
        ground=(0, 0, 0),
        ink=(205, 210, 220),
        accent=(250, 210, 60),
        font=13,
        panel="right",
        media="IM{number:04d}.dcm",
        probe="ML6-15-D",
    ),
    Machine(
        maker="GEMS Ultrasound",
        model="LOGIQ E9 XDclear",
        style="phantom-linear-a",
        rows=600,
        columns=800,
        area=(60, 74, 640, 560),
        storage=Storage.RGB,
        logo="LQ",
        banner=(18, 24, 40),
        ground=(0, 0, 0),
        ink=(205, 210, 220),
        accent=(250, 210, 60),
        font=13,
        panel="right",
        media="IM{number:04d}.dcm",
        probe="9L-D",
    ),
    Machine(
        maker="SIEMENS",
        model="S2000",
        style="phantom-linear-b",
        rows=576,
        columns=768,
        area=(168, 70, 700, 540),
        storage=Storage.RGB_RLE,
        logo="SQ",
        banner=(0, 0, 0),
        ground=(0, 0, 0),
        ink=(190, 225, 190),
        accent=(120, 255, 140),
        font=13,
        panel="left",
        probe="18L6 HD",
        mark_inside=True,
    ),
    Machine(
        maker="Philips Medical Systems",
        model="iU22",
        style="phantom-compound-c",
        rows=600,
        columns=800,
        area=(150, 70, 740, 560),
        storage=Storage.RGB,
        logo="PX",
        banner=(28, 28, 30),
        ground=(10, 10, 12),
        ink=(230, 230, 230),
        accent=(120, 200, 255),
        font=14,
        panel="left",
        probe="L12-5 50",
    ),
    Machine(
        maker="TOSHIBA_MEC_US",
        model="Aplio500",
        style="phantom-trapezoid-d",
        rows=480,
        columns=640,
        area=(36, 58, 520, 440),
        storage=Storage.GRAY,
        implicit=True,
        logo="AP",
        banner=(0, 0, 0),
        ground=(0, 0, 0),
        ink=(235, 235, 235),
        accent=(255, 255, 255),
        font=11,
        panel="right",
        media="I{number:07d}",
        mark_inside=True,
        probe="PLT-805AT",
    ),
    Machine(
        maker="SAMSUNG MEDISON CO., LTD.",
        model="RS80A",
        style="phantom-wide-e",
        rows=576,
        columns=768,
        area=(48, 66, 640, 530),
        storage=Storage.PALETTE,
        logo="SM",
        banner=(30, 20, 34),
        ground=(4, 4, 6),
        ink=(225, 225, 215),
        accent=(255, 170, 90),
        font=13,
        panel="right",
        media="IM{number:04d}.dcm",
        probe="L3-12A",
    ),
    Machine(
        maker="Nordlicht Sonics",
        model="Polaris 3",
        style="phantom-linear-a",
        rows=480,
        columns=640,
        area=(120, 60, 590, 440),
        storage=Storage.GRAY_RLE,
        logo="NS",
        banner=(40, 40, 40),
        ground=(0, 0, 0),
        ink=(220, 220, 220),
        accent=(240, 240, 240),
        font=11,
        panel="left",
        probe="PL-12",
    ),
)
"""Every machine; each device style of the simulator has at least one."""

_BY_STYLE = {
    style: tuple(machine for machine in MACHINES if machine.style == style) for style in DEVICES
}


def machine_of(style: str, index: int) -> Machine:
    """Choose the machine of a patient whose images have a device style."""
    machines = _BY_STYLE[style]
    return machines[index % len(machines)]
