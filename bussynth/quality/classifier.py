"""A classifier of one condition: what was requested, recognised from the image alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from audits.search.threads import one_thread_each
from bussynth.quality.augment import augment
from bussynth.quality.fit import Advance, Weights, fit, new_network, pixels
from bussynth.quality.network import WIDTH, Trunk
from bussynth.quality.sampling import balanced_weights

__all__ = ["Classifier", "ClassifierJob"]

_BLOCK = 256
_DROPOUT = 0.2


class _Network(nn.Module):
    """Squares to one number a class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.norm = nn.GroupNorm(8, 4 * WIDTH)
        self.head = nn.Linear(4 * WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        """float32 (n, 1, 64, 64) in [0, 1] to logits (n, classes)."""
        _, _, coarse = self.trunk(images)
        features = F.relu(self.norm(coarse)).mean(dim=(2, 3))
        logits: Tensor = self.head(F.dropout(features, _DROPOUT, self.training))
        return logits


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassifierJob:
    """One classifier to train.

    Attributes:
        images: uint8 (n, 64, 64).
        labels: int64 (n,), class of each image; those below 0 are not used.
        patients: int64 (n,).
        classes: Number of classes.
        steps: Gradient steps of 64 images.
        seed: Of weights, rows and augmentation.
    """

    images: npt.NDArray[np.uint8] = field(repr=False)
    labels: npt.NDArray[np.int64] = field(repr=False)
    patients: npt.NDArray[np.int64] = field(repr=False)
    classes: int
    steps: int
    seed: int

    def train(self, advance: Advance) -> Weights:
        """See :class:`bussynth.quality.fit.Job`."""
        network = new_network(lambda: _Network(self.classes), self.seed)
        labels = torch.from_numpy(self.labels)
        none = torch.full((1, 4), torch.nan)

        def loss(rows: Tensor, generator: Generator) -> Tensor:
            images = pixels(self.images[rows.numpy()])
            altered, _ = augment(images, none.expand(len(rows), 4), generator)
            return F.cross_entropy(network(altered), labels[rows])

        weights = balanced_weights(self.patients, self.labels)
        return fit(network, loss, weights, steps=self.steps, seed=self.seed, advance=advance)


class Classifier:
    """Trained networks whose probabilities are averaged."""

    def __init__(self, members: Sequence[Weights], classes: int) -> None:
        self._networks = []
        for weights in members:
            network = _Network(classes)
            network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
            self._networks.append(network.eval())

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """How likely each class is, all of them thought equally frequent.

        The mean over the networks, and over each image and its mirror image.

        Args:
            images: uint8 (n, 64, 64).

        Returns:
            float64 (n, classes); rows sum to 1.
        """
        parts = []
        with one_thread_each("torch"), torch.no_grad():
            for begin in range(0, len(images), _BLOCK):
                block = pixels(images[begin : begin + _BLOCK])
                answers = [
                    torch.softmax(network(view), dim=1)
                    for network in self._networks
                    for view in (block, block.flip(3))
                ]
                parts.append(torch.stack(answers).mean(dim=0))
        return torch.cat(parts).double().numpy()
