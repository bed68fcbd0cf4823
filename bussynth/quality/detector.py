"""A detector of the one lesion of an image: where it is, and whether there is one.

A network says of each of 16 x 16 cells how likely the lesion's centre lies there, of a further
outcome "none" how likely there is no lesion, and of each cell how far the four edges are from it.
One softmax over cells and "none" serves both questions. This is the reduction of FCOS (Tian et
al., ICCV 2019) to one object an image, where the choice among cells can be learned as a
classification; boxes are fitted by generalised IoU (Rezatofighi et al., CVPR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from audits.search.threads import one_thread_each
from bussynth.quality.augment import augment
from bussynth.quality.fit import Advance, Weights, fit, new_network, pixels
from bussynth.quality.network import CELLS, WIDTH, Trunk
from bussynth.quality.sampling import balanced_weights

__all__ = ["Detections", "Detector", "DetectorJob", "generalised_iou"]

_BLOCK = 256
_FOCUS = 0.04
"""Width of the target around the centre, in shares of the side, to which comes ..."""
_SHARE = 0.15
"""... this share of the box."""
_NORMAL_SHARE = 1.0 / 3.0
"""Training images without a lesion: they teach no box, so they are the smaller part."""
_PRIOR_ODDS = math.log((1.0 - _NORMAL_SHARE) / _NORMAL_SHARE)
_PLACES = CELLS * CELLS
_REACH = 1
"""Cells around the likeliest whose boxes are averaged."""


class Detections(NamedTuple):
    """What was found in n images.

    Attributes:
        boxes: float64 (n, 4), x0 y0 x1 y1 in shares of the side: the best box, lesion or not.
        presence: float64 (n,), how likely there is a lesion, were both cases equally frequent;
            None from a detector that learned from no normal image.
    """

    boxes: npt.NDArray[np.float64]
    presence: npt.NDArray[np.float64] | None


class _Network(nn.Module):
    """Squares to logits of cells, perhaps one of "none" behind them, and one box a cell."""

    across: Tensor
    down: Tensor

    def __init__(self, normals: bool) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.deep = nn.Sequential(nn.GroupNorm(8, 4 * WIDTH), nn.ReLU())
        self.to_middle = nn.Conv2d(4 * WIDTH, 2 * WIDTH, 1)
        self.to_fine = nn.Conv2d(2 * WIDTH, WIDTH, 1)
        self.mix = nn.Sequential(
            nn.GroupNorm(8, WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1, bias=False),
            nn.GroupNorm(8, 2 * WIDTH),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(2 * WIDTH, 5, 1)
        self.none = nn.Linear(4 * WIDTH, 1) if normals else None
        centres = (torch.arange(CELLS) + 0.5) / CELLS
        self.register_buffer("across", centres.repeat(CELLS))
        self.register_buffer("down", centres.repeat_interleave(CELLS))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, 256 or 257) and boxes (n, 256, 4) in shares of the side."""
        fine, middle, coarse = self.trunk(images)
        coarse = self.deep(coarse)
        middle = middle + F.interpolate(self.to_middle(coarse), scale_factor=2)
        fine = fine + F.interpolate(self.to_fine(middle), scale_factor=2)
        answers = self.head(self.mix(fine)).flatten(2)
        logits = answers[:, 0]
        if self.none is not None:
            logits = torch.cat([logits, self.none(coarse.mean(dim=(2, 3)))], dim=1)
        # Shifted so that an untrained network starts with boxes of a third of the side.
        reach = F.softplus(answers[:, 1:] - 1.7)
        edges = [
            self.across - reach[:, 0],
            self.down - reach[:, 1],
            self.across + reach[:, 2],
            self.down + reach[:, 3],
        ]
        return logits, torch.stack(edges, dim=2)


def generalised_iou(one: Tensor, other: Tensor) -> Tensor:
    """Overlap of boxes that also falls with their distance; broadcasts over leading axes.

    Args:
        one: float (..., 4), x0 y0 x1 y1.
        other: float (..., 4).

    Returns:
        float (...,) in (-1, 1]; 1 for equal boxes.
    """
    inner = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(
        one[..., :2], other[..., :2]
    )
    outer = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(
        one[..., :2], other[..., :2]
    )
    shared = inner.clamp(min=0.0).prod(dim=-1)
    union = _area(one) + _area(other) - shared
    hull = outer.clamp(min=0.0).prod(dim=-1)
    return shared / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0.0).prod(dim=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectorJob:
    """One detector to train.

    Attributes:
        images: uint8 (n, 64, 64).
        boxes: float64 (n, 4) in shares of the side, NaN where there is none.
        normal: bool (n,), images stated to show no lesion; those that neither are normal nor
            have a box are not used.
        patients: int64 (n,).
        steps: Gradient steps of 64 images.
        seed: Of weights, rows and augmentation.
    """

    images: npt.NDArray[np.uint8] = field(repr=False)
    boxes: npt.NDArray[np.float64] = field(repr=False)
    normal: npt.NDArray[np.bool_] = field(repr=False)
    patients: npt.NDArray[np.int64] = field(repr=False)
    steps: int
    seed: int

    def train(self, advance: Advance) -> Weights:
        """See :class:`bussynth.quality.fit.Job`."""
        network = new_network(lambda: _Network(bool(self.normal.any())), self.seed)
        boxes = torch.from_numpy(self.boxes).float()
        normal = torch.from_numpy(self.normal)

        def loss(rows: Tensor, generator: Generator) -> Tensor:
            images, places = augment(pixels(self.images[rows.numpy()]), boxes[rows], generator)
            logits, found = network(images)
            return _loss(logits, found, places, normal[rows])

        return fit(
            network, loss, self._weights(), steps=self.steps, seed=self.seed, advance=advance
        )

    def _weights(self) -> npt.NDArray[np.float64]:
        labels = np.full(len(self.images), -1, np.int64)
        labels[np.isfinite(self.boxes).all(axis=1)] = 1
        labels[self.normal] = 0
        weights = balanced_weights(self.patients, labels)
        if self.normal.any():
            weights[labels == 0] *= 2.0 * _NORMAL_SHARE
            weights[labels == 1] *= 2.0 * (1.0 - _NORMAL_SHARE)
        return weights


def _loss(logits: Tensor, found: Tensor, boxes: Tensor, normal: Tensor) -> Tensor:
    """Cross-entropy of the place, and boxes fitted at it and in the mean of all places."""
    lesion = ~normal
    near = _target(boxes[lesion])
    target = torch.zeros_like(logits)
    target[lesion, :_PLACES] = near
    target[normal, -1] = 1.0
    place = -(target * torch.log_softmax(logits, dim=1)).sum(dim=1)
    chance = torch.softmax(logits[lesion, :_PLACES], dim=1)
    mean = (chance[:, :, None] * found[lesion]).sum(dim=1)
    misfit = (1.0 - generalised_iou(found[lesion], boxes[lesion, None])) * near
    misfit_mean = 1.0 - generalised_iou(mean, boxes[lesion])
    return place.mean() + (misfit.sum() + misfit_mean.sum()) / len(boxes)


def _target(boxes: Tensor) -> Tensor:
    """A bump around the centre of each box, (n, 256), summing to 1."""
    centres = (torch.arange(CELLS) + 0.5) / CELLS
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    spread = _FOCUS + _SHARE * (boxes[:, 2:] - boxes[:, :2])
    bumps = torch.exp(-0.5 * ((centres - middle[:, :, None]) / spread[:, :, None]).square())
    bump = (bumps[:, 1, :, None] * bumps[:, 0, None, :]).flatten(1)
    return bump / bump.sum(dim=1, keepdim=True)


class Detector:
    """Trained networks whose answers are averaged."""

    def __init__(self, members: Sequence[Weights], normals: bool) -> None:
        self._normals = normals
        self._networks = []
        for weights in members:
            network = _Network(normals)
            network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
            self._networks.append(network.eval())

    def find(self, images: npt.NDArray[np.uint8]) -> Detections:
        """Look for the lesion.

        The answers of all networks, to each image and its mirror image, are averaged cell by
        cell; the box is the mean of the cells around the likeliest one.

        Args:
            images: uint8 (n, 64, 64).

        Returns:
            What was found.
        """
        boxes, presence = [], []
        with one_thread_each("torch"), torch.no_grad():
            for begin in range(0, len(images), _BLOCK):
                logits, found = self._answers(pixels(images[begin : begin + _BLOCK]))
                boxes.append(_local_mean(logits[:, :_PLACES], found))
                if self._normals:
                    odds = torch.logsumexp(logits[:, :_PLACES], dim=1) - logits[:, -1]
                    presence.append(torch.sigmoid(odds - _PRIOR_ODDS))
        return Detections(
            torch.cat(boxes).clamp(0.0, 1.0).double().numpy(),
            torch.cat(presence).double().numpy() if self._normals else None,
        )

    def _answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        answers = []
        for network in self._networks:
            answers.append(network(images))
            answers.append(_mirrored(*network(images.flip(3))))
        logits, boxes = zip(*answers, strict=True)
        likely = torch.stack([torch.log_softmax(one, dim=1) for one in logits])
        return likely.mean(dim=0), torch.stack(boxes).mean(dim=0)


def _mirrored(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """What was said of mirror images, in places of the images themselves."""
    n = len(logits)
    cells = logits[:, :_PLACES].view(n, CELLS, CELLS).flip(2).flatten(1)
    turned = boxes.view(n, CELLS, CELLS, 4).flip(2).flatten(1, 2)
    edges = [1.0 - turned[..., 2], turned[..., 1], 1.0 - turned[..., 0], turned[..., 3]]
    return torch.cat([cells, logits[:, _PLACES:]], dim=1), torch.stack(edges, dim=-1)


def _local_mean(logits: Tensor, boxes: Tensor) -> Tensor:
    """Mean box of the cells around the likeliest, by their chances, (n, 4).

    Two places that are both likely would, averaged, give a box between them, where nothing is.
    """
    peak = logits.argmax(dim=1)
    places = torch.arange(_PLACES)
    aside = (places % CELLS - (peak % CELLS)[:, None]).abs()
    below = (places // CELLS - (peak // CELLS)[:, None]).abs()
    far = torch.maximum(aside, below) > _REACH
    chance = torch.softmax(logits.masked_fill(far, -torch.inf), dim=1)
    return (chance[:, :, None] * boxes).sum(dim=1)
