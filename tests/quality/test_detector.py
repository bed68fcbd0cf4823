from __future__ import annotations

import numpy as np
import pytest
import torch

from bussynth.quality.detector import Detector, DetectorJob, _local_mean, generalised_iou
from bussynth.quality.fit import train_all


def test_generalised_iou_by_hand() -> None:
    one = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    others = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [4.0, 0.0, 6.0, 2.0]])
    found = generalised_iou(one, others)
    assert found.tolist() == pytest.approx([1.0, 1 / 7 - 2 / 9, -1 / 3])


def test_two_likely_places_are_not_averaged() -> None:
    logits = torch.full((1, 256), -9.0)
    boxes = torch.zeros(1, 256, 4)
    for cell, corner, logit in ((2 * 16 + 2, 0.1, 3.0), (12 * 16 + 12, 0.7, 2.9)):
        logits[0, cell] = logit
        boxes[0, cell] = torch.tensor([corner, corner, corner + 0.2, corner + 0.2])
    assert _local_mean(logits, boxes)[0].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.3], abs=1e-3)


def trained(normals: bool) -> tuple[Detector, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 64, 64)).astype(np.uint8)
    boxes = np.tile([0.2, 0.2, 0.5, 0.5], (9, 1))
    boxes[6:] = np.nan
    normal = np.arange(9) >= 7
    job = DetectorJob(
        images=images,
        boxes=boxes,
        normal=normal & normals,
        patients=np.arange(9),
        steps=2,
        seed=0,
    )
    return Detector(train_all([job]), normals), images


def test_a_mirror_image_gives_the_mirrored_box() -> None:
    detector, images = trained(True)
    found, turned = detector.find(images), detector.find(images[:, :, ::-1].copy())
    x0, y0, x1, y1 = found.boxes.T
    mirrored = np.stack([1 - x1, y0, 1 - x0, y1], axis=1)
    assert np.allclose(turned.boxes, mirrored, atol=1e-4)
    assert found.presence is not None
    assert turned.presence is not None
    assert np.allclose(turned.presence, found.presence, atol=1e-4)
    assert ((found.presence > 0) & (found.presence < 1)).all()
    assert ((found.boxes >= 0) & (found.boxes <= 1)).all()


def test_without_normal_images_presence_is_not_known() -> None:
    detector, images = trained(False)
    assert detector.find(images).presence is None
