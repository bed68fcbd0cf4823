from __future__ import annotations

import torch

from bussynth.quality.augment import augment


def test_boxes_go_where_the_lesion_goes() -> None:
    n = 64
    images = torch.full((n, 1, 64, 64), 0.2)
    images[:, :, 20:36, 12:40] = 0.9
    boxes = torch.tensor([[12, 20, 40, 36]]).repeat(n, 1) / 64
    moved, places = augment(images, boxes, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    middles = []
    for image, place in zip(moved[:, 0], places, strict=True):
        # Gain and gamma change grey values, so the threshold is the image's own.
        rows, columns = torch.nonzero(image > (image.max() + image.median()) / 2, as_tuple=True)
        seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 64
        assert (seen - place).abs().max() < 1.5 / 64
        middles.append(float(place[0] + place[2]) / 2)
    # Mirrored about half of the time.
    assert 0.3 < sum(middle > 0.5 for middle in middles) / n < 0.7


def test_images_without_a_box_and_determinism() -> None:
    images, boxes = torch.rand(4, 1, 64, 64), torch.full((4, 4), torch.nan)
    one, none = augment(images, boxes, torch.Generator().manual_seed(1))
    two, _ = augment(images, boxes, torch.Generator().manual_seed(1))
    other, _ = augment(images, boxes, torch.Generator().manual_seed(2))
    assert none.isnan().all()
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert 0 <= one.min() <= one.max() <= 1
