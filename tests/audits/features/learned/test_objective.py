from __future__ import annotations

import numpy as np
import pytest
import torch

from audits.features.learned.objective import instance_loss


def test_the_loss_is_the_cross_entropy_among_other_patients() -> None:
    stream = torch.Generator().manual_seed(0)
    anchors = torch.nn.functional.normalize(torch.randn(6, 4, generator=stream), dim=1)
    vectors = torch.nn.functional.normalize(torch.randn(3, 4, generator=stream), dim=1)
    owners, rows = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([1, 2, 4])
    naive = []
    for vector, row in zip(vectors.numpy(), rows.tolist(), strict=True):
        scores = (np.square(anchors.numpy() - vector).sum(axis=1) + 0.03) ** -3.0
        others = sum(
            score for k, score in enumerate(scores) if k == row or owners[k] != owners[row]
        )
        naive.append(-np.log(scores[row] / others))
    loss = instance_loss(vectors, anchors, rows, owners[rows], owners, 3.0)
    assert float(loss) == pytest.approx(np.mean(naive), rel=1e-5)


def test_views_of_one_patient_are_neither_sought_nor_avoided() -> None:
    anchors = torch.eye(3, requires_grad=True)
    rows, owners = torch.tensor([0]), torch.tensor([5, 5, 6])
    loss = instance_loss(torch.eye(3)[:1], anchors, rows, owners[rows], owners, 3.0)
    (gradient,) = torch.autograd.grad(loss, anchors)
    assert torch.equal(gradient[1], torch.zeros(3))
    assert gradient[2].abs().sum() > 0
