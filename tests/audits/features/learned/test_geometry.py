from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift

from audits.features.learned.geometry import Framing, compose, draw_framing, reframe


def _images(n: int = 3, height: int = 32, width: int = 32) -> torch.Tensor:
    noise = np.random.default_rng(5).random((n, height, width))
    return torch.from_numpy(gaussian_filter(noise, (0, 3, 3))).float()[:, None]


def _framing(n: int = 3, **changes: torch.Tensor) -> Framing:
    zero, no = torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    same = Framing(torch.ones(n), torch.ones(n), zero, zero, zero, no, no, no)
    return same._replace(**changes)


YES = torch.ones(3, dtype=torch.bool)


def test_the_same_framing_returns_the_image() -> None:
    images = _images(3, 20, 36)
    assert torch.allclose(reframe(images, _framing()), images, atol=1e-5)


def test_flips() -> None:
    images = _images(3, 20, 36)
    mirrored = reframe(images, _framing(mirrored=YES))
    assert torch.allclose(mirrored, images.flip(3), atol=1e-5)
    upended = reframe(images, _framing(upended=YES))
    assert torch.allclose(upended, images.flip(2), atol=1e-5)


def test_content_moves_by_the_stated_share() -> None:
    images = _images(3, 20, 40)
    moved = reframe(images, _framing(dy=torch.full((3,), 0.1), dx=torch.full((3,), -0.05)))
    naive = shift(images[1, 0].numpy(), (2, -2), order=1, mode="nearest")
    assert moved[1, 0].numpy() == pytest.approx(naive, abs=1e-4)


def test_zoom_shows_the_middle_larger() -> None:
    zoomed = reframe(_images(), _framing(zoom=torch.full((3,), 2.0)))
    assert torch.allclose(
        torch.nn.functional.avg_pool2d(zoomed, 2), _images()[:, :, 8:24, 8:24], atol=0.01
    )


def test_turning_is_a_rotation_whatever_the_aspect() -> None:
    ys, xs = np.mgrid[:40, :60]
    spot = np.exp(-((ys - 19.5) ** 2 + (xs - 49.5) ** 2) / 8)
    images = torch.from_numpy(spot).float()[None, None]
    turned = reframe(images, _framing(1, angle=torch.tensor([0.25])))[0, 0].numpy()
    y, x = (float((axis * turned).sum() / turned.sum()) for axis in (ys, xs))
    assert np.hypot(y - 19.5, x - 29.5) == pytest.approx(20, abs=0.3)
    assert abs(np.arctan2(y - 19.5, x - 29.5)) == pytest.approx(0.25, abs=0.01)


def test_outside_is_black_or_the_edge() -> None:
    images, away = torch.full((3, 1, 16, 16), 0.6), torch.full((3,), 0.25)
    assert reframe(images, _framing(dx=away)).min() == pytest.approx(0.6, abs=1e-6)
    black = reframe(images, _framing(dx=away, black=YES))
    assert black[:, :, :, :4].max() == 0
    assert black[:, :, :, 4:].min() == pytest.approx(0.6, abs=1e-6)


def test_draws_stay_within_the_stated_ranges() -> None:
    drawn = draw_framing(4000, torch.Generator().manual_seed(0))
    assert drawn.angle.abs().max() == pytest.approx(np.deg2rad(15), abs=0.01)
    assert drawn.zoom.min() == pytest.approx(0.8, abs=0.02)
    assert drawn.zoom.max() == pytest.approx(1.25 / 0.65, abs=0.1)
    still = (drawn.zoom == 1) & (drawn.angle == 0) & (drawn.dx == 0)
    assert still.float().mean() == pytest.approx(0.14, abs=0.03)
    room = (1 - 1 / drawn.zoom).clamp(min=0) / 2 + 0.08
    assert (drawn.dx.abs() <= room + 1e-6).all()
    assert drawn.mirrored.float().mean() == pytest.approx(0.5, abs=0.05)


def test_a_composite_keeps_the_larger_part() -> None:
    made = compose(
        torch.ones(500, 1, 40, 40),
        torch.full((500, 1, 40, 40), 2.0),
        torch.Generator().manual_seed(1),
    )
    kept = (made == 1).float().mean(dim=(1, 2, 3))
    assert kept.min() > 0.53
    assert kept.max() < 1
    assert (made == 2).any(dim=(1, 2, 3)).float().mean() == pytest.approx(0.75, abs=0.07)
