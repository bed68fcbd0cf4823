from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from audits.features.learned.augment import (
    augment,
    blur,
    compress,
    degrade,
    overlay,
    regrade,
)


def _smooth(n: int = 4, height: int = 32, width: int = 32) -> torch.Tensor:
    noise = np.random.default_rng(3).standard_normal((n, height, width))
    field = gaussian_filter(noise, (0, 2, 2))
    field = (field - field.min()) / np.ptp(field)
    return torch.from_numpy(field).float()[:, None]


def _stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 32, 32), (60, 20, 36)])
def test_altered_images_are_sound_repeatable_and_drawn_one_by_one(
    shape: tuple[int, int, int],
) -> None:
    images = _smooth(1, *shape[1:]).expand(shape[0], 1, -1, -1).clone()
    before, state = images.clone(), torch.random.get_rng_state()
    altered = augment(images, _stream())
    assert altered.shape == images.shape
    assert torch.isfinite(altered).all()
    assert altered.min() >= 0
    assert altered.max() <= 1
    assert torch.equal(altered, augment(images, _stream()))
    assert torch.equal(images, before)
    assert torch.equal(state, torch.random.get_rng_state())
    assert len(torch.unique(altered, dim=0)) == shape[0]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_flat_images_stay_finite(level: float) -> None:
    assert torch.isfinite(augment(torch.full((64, 1, 24, 24), level), _stream())).all()


def test_blur_is_gaussian_inside_and_keeps_flat_borders() -> None:
    images = _smooth(2, 40, 56)
    sigma = torch.tensor([0.03, 0.06])
    mine = blur(images, sigma)[:, 0].numpy()
    for row in range(2):
        naive = gaussian_filter(images[row, 0].numpy().astype(np.float64), 40 * float(sigma[row]))
        assert mine[row, 12:-12, 12:-12] == pytest.approx(naive[12:-12, 12:-12], abs=1e-3)
    assert blur(torch.full((1, 1, 20, 30), 0.4), sigma[:1]) == pytest.approx(0.4, abs=1e-6)
    assert torch.allclose(blur(images, torch.zeros(2)), images)


@pytest.mark.parametrize("quality", [10, 60, 95])
def test_compression_follows_a_real_jpeg(quality: int) -> None:
    pixels = np.rint(255 * _smooth(1, 30, 43)[0, 0].numpy()).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    real = np.asarray(Image.open(buffer)).astype(np.float64)
    images = torch.from_numpy(pixels).float()[None, None] / 255
    mine = 255 * compress(images, torch.tensor([float(quality)]))[0, 0].numpy()
    # Encoders round and pad differently, by a grey value or two.
    assert np.abs(mine[:24, :40] - real[:24, :40]).max() < 3


def test_speckle_and_noise_have_the_stated_size() -> None:
    images = 0.5 + 0.02 * torch.sign(torch.randn(400, 1, 32, 32, generator=_stream(1)))
    ratio = (degrade(images, _stream()) - images).std(dim=(2, 3))[:, 0] / 0.02
    # Noise of 0 to 22 dB adds 0.08 to 1 standard deviations; speckle of 2 to 30 looks 4.5 to 16.
    noisy = ratio < 1.1
    assert 0.45 < noisy.float().mean() < 0.65
    assert ratio[noisy].min() > 0.07
    assert ratio[noisy].max() > 0.9
    assert ratio[~noisy].min() > 4.2
    assert degrade(images, _stream()).mean() == pytest.approx(0.5, abs=0.005)


def test_grey_maps_are_monotone() -> None:
    ramp = torch.linspace(0, 1, 32)[None, None, None].expand(50, 1, 16, 32)
    graded = regrade(ramp.clone(), _stream())
    middle = graded[:, 0, 8]
    rising = (middle[:, 1:] >= middle[:, :-1] - 1e-6).all(dim=1)
    # Only a sideways gain (about 7 %) may undo the order along the ramp.
    assert rising.float().mean() > 0.85
    assert (graded - ramp).abs().amax(dim=(1, 2, 3)).median() > 0.05


def test_overlays_are_bright_and_small() -> None:
    drawn = overlay(torch.zeros(100, 1, 48, 48), _stream())
    marked = drawn > 0
    assert drawn[marked].min() >= 0.7
    share = marked.float().mean(dim=(1, 2, 3))
    assert share.min() > 0
    assert share.max() < 0.2
