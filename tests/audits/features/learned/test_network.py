from __future__ import annotations

import pytest
import torch

from audits.errors import AuditInputError
from audits.features.learned.architecture import Architecture
from audits.features.learned.network import Encoder

SMALL = Architecture(side=32, width=8, dimensions=16)


def _encoder() -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Encoder(SMALL).eval()


@torch.no_grad()
def test_unit_vectors_for_any_size() -> None:
    encoder = _encoder()
    stream = torch.Generator().manual_seed(0)
    for height, width in [(32, 32), (64, 48), (9, 20)]:
        vectors = encoder(torch.rand(3, 1, height, width, generator=stream))
        assert vectors.shape == (3, 16)
        assert torch.allclose(vectors.norm(dim=1), torch.ones(3))
    assert torch.isfinite(encoder(torch.zeros(2, 1, 32, 32))).all()


@torch.no_grad()
def test_gain_and_offset_drop_out_and_images_do_not_mix() -> None:
    encoder = _encoder()
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    hidden = encoder.hidden(images)
    assert torch.allclose(encoder.hidden(0.5 * images + 0.2), hidden, atol=0.1 * hidden.max())
    changed = images.clone()
    changed[1:] = 1 - changed[1:]
    assert torch.equal(encoder.hidden(changed)[0], hidden[0])
    assert not torch.allclose(encoder.hidden(changed)[1], hidden[1], atol=0.05)


def test_the_default_is_small() -> None:
    with torch.device("meta"):
        encoder = Encoder(Architecture())
    assert sum(p.numel() for p in encoder.parameters()) < 1.2e6


def test_architectures_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(AuditInputError, match=r"side: .*\n.*dimensions: "):
        Architecture(side=8, dimensions=0)
    with pytest.raises(AuditInputError, match="multiple of 16"):
        Architecture(side=40)
    with pytest.raises(AuditInputError, match="unknown"):
        Architecture.from_dict({"side": 32})
    assert Architecture.from_dict(SMALL.to_dict()) == SMALL
