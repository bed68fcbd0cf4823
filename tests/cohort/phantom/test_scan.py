"""What a radiologist would look for, measured on scans of lesions made for the purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bussynth.cohort.phantom.anatomy import Anatomy, draw_anatomy
from bussynth.cohort.phantom.device import DEVICES
from bussynth.cohort.phantom.lesion import Lesion, draw_lesion
from bussynth.cohort.phantom.scan import scan

SIZE = 96
DEVICE = DEVICES["phantom-linear-a"]


def oval(**changes: float) -> Lesion:
    plain = draw_lesion(np.random.default_rng(0), malignant=False)
    values: dict[str, object] = {
        "width_mm": 11.0,
        "height_mm": 7.0,
        "tilt": 0.0,
        "outline": np.ones(256, np.float32),
        "cystic": False,
        "echo_db": -12.0,
        "texture_db": 1.0,
        "margin_mm": 0.3,
        "halo_db": 0.0,
        "capsule_db": 0.0,
        "attenuation": 0.0,
        "edge_shadow_db": 0.0,
        "calcifications": (),
    }
    return replace(plain, **(values | changes))  # type: ignore[arg-type]


def breast(seed: int, lesion: Lesion | None) -> Anatomy:
    anatomy = draw_anatomy(np.random.default_rng(seed), lesion)
    return replace(anatomy, wall_mm=30.0, lesion_depth_mm=11.0, ribs=False)


def columns_behind(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Mean grey below the middle of the lesion minus that beside it, at the same depth."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    below = image[rows[-1] + 2 : rows[-1] + 16].astype(float)
    width = len(columns)
    inner = below[:, columns[width // 4] : columns[-width // 4]]
    beside = np.hstack(
        [below[:, columns[0] - 10 : columns[0] - 3], below[:, columns[-1] + 4 : columns[-1] + 11]]
    )
    return float(inner.mean() - beside.mean())


def contrast(lesion: Lesion, seed: int) -> float:
    image, mask, _ = scan(np.random.default_rng(seed), breast(seed, lesion), lesion, DEVICE, SIZE)
    return columns_behind(image, mask)


def test_an_absorbing_lesion_shadows_and_a_cyst_enhances() -> None:
    seeds = range(12)
    shadow = np.mean([contrast(oval(attenuation=1.5), seed) for seed in seeds])
    plain = np.mean([contrast(oval(), seed) for seed in seeds])
    bright = np.mean([contrast(oval(attenuation=-0.6, echo_db=-34.0), seed) for seed in seeds])
    assert shadow < -20.0
    assert bright > 5.0
    assert shadow < plain < bright


def test_lesions_are_darker_than_their_surroundings() -> None:
    darker = []
    for seed in range(12):
        lesion = oval()
        image, mask, box = scan(
            np.random.default_rng(seed), breast(seed, lesion), lesion, DEVICE, SIZE
        )
        assert box is not None
        x0, y0, x1, y1 = (int(edge) for edge in box)
        ring = np.zeros_like(mask)
        ring[max(y0 - 4, 0) : y1 + 4, max(x0 - 6, 0) : x1 + 6] = True
        darker.append(image[ring & ~mask].mean() - image[mask].mean())
    assert np.mean(darker) > 20.0
    assert min(darker) > 0.0


def test_a_deeper_lesion_lies_lower() -> None:
    lesion = oval()
    tops = []
    for depth in (8.0, 22.0):
        anatomy = replace(breast(1, lesion), lesion_depth_mm=depth)
        _, _, box = scan(np.random.default_rng(1), anatomy, lesion, DEVICE, SIZE)
        assert box is not None
        tops.append(box[1])
    assert tops[1] > tops[0] + 15


def test_ribs_cast_shadows() -> None:
    plain = breast(2, None)
    deep = []
    for ribs in (False, True):
        anatomy = replace(plain, ribs=ribs, wall_mm=16.0)
        image, _, _ = scan(np.random.default_rng(3), anatomy, None, DEVICE, SIZE)
        deep.append(image[int(0.75 * SIZE) :].astype(float).mean(axis=0))
    assert deep[1].min() < deep[0][deep[1].argmin()]


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("size", [16, 33, 64, 128, 256])
def test_every_device_works_at_every_size(name: str, size: int) -> None:
    lesion = oval(width_mm=5.0, height_mm=4.0)
    image, mask, box = scan(
        np.random.default_rng(4), breast(4, lesion), lesion, DEVICES[name], size
    )
    assert image.shape == mask.shape == (size, size)
    assert image.dtype == np.uint8
    assert mask.dtype == np.bool_
    assert image.std() > 15.0
    assert mask.any()
    assert box is not None


def test_steered_edges_leave_black_corners() -> None:
    image, _, _ = scan(
        np.random.default_rng(5), breast(5, None), None, DEVICES["phantom-trapezoid-d"], 128
    )
    lit = np.flatnonzero(image.any(axis=1))
    top, bottom = lit[2], lit[-3]
    assert np.count_nonzero(image[top]) < np.count_nonzero(image[bottom]) - 20


def test_a_lesion_smaller_than_a_pixel_still_has_a_box() -> None:
    lesion = oval(width_mm=1.0, height_mm=0.8)
    for seed in range(4):
        _, mask, box = scan(np.random.default_rng(seed), breast(6, lesion), lesion, DEVICE, 16)
        assert mask.sum() >= 1
        assert box is not None
