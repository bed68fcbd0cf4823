from __future__ import annotations

import pytest
import torch

from bussynth.generator.transform import SIGMA_DATA, Haar


@pytest.mark.parametrize("factor", [2, 4])
def test_orthonormal_and_invertible(factor: int) -> None:
    haar = Haar(factor)
    x = torch.randn(3, 1, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = haar.bands(x)
    assert y.shape == (3, factor**2, 16 // factor, 24 // factor)
    assert torch.allclose((y**2).sum(), (x**2).sum())
    assert torch.allclose(haar.unbands(y), x)
    # The matrix of the transform times its transpose is the identity.
    basis = torch.eye(64, dtype=torch.float64).view(64, 1, 8, 8)
    matrix = haar.bands(basis).flatten(1)
    assert torch.allclose(matrix @ matrix.T, torch.eye(64, dtype=torch.float64))


@pytest.mark.parametrize("factor", [2, 4])
def test_pixels_survive_exactly(factor: int) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(Haar(factor).decode(Haar(factor).encode(pixels)), pixels)


def test_decode_clips() -> None:
    latents = torch.full((1, 4, 2, 2), 50.0)
    latents[0, 1:] = 0
    assert Haar(2).decode(latents).unique().tolist() == [255]
    assert Haar(2).decode(-latents).unique().tolist() == [0]


def test_a_flat_grey_image_has_no_detail() -> None:
    flat = torch.full((1, 1, 8, 8), -0.5)
    bands = Haar(4).bands(flat)
    assert torch.allclose(bands[:, 0], torch.tensor(-2.0))
    assert bands[:, 1:].abs().max() == 0
    # Mean brightness -0.5 is the centre: it encodes to zero.
    pixels = torch.full((1, 8, 8), 64, dtype=torch.uint8)
    assert Haar(4).encode(pixels).abs().max() < 0.02 * SIGMA_DATA


def test_unknown_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="factor must be one of"):
        Haar(3)
