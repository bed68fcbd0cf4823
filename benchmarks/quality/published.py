"""Published accuracies on MNIST and Fashion-MNIST under differential privacy, to stand beside ours.

From the README of DPImageBench (2019ChenGong/DPImageBench at 565f8d7, CCS 2025, arXiv:2503.14681):
a guarantee for one image, delta 1e-5, 60,000 synthetic images, the mean of three classifiers
(ResNet, WRN, ResNeXt) on the real test images. Their accounting is Rényi by default, and the
epoch of a classifier is chosen on private images with a budget of its own (Laplace(1/epsilon)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DPDM_PASSES", "EPSILONS", "PUBLISHED", "Published"]

EPSILONS: Final = (1.0, 10.0)
#: Training passes of DPDM in that comparison: 150 epochs of 60,000 images, 32 draws of noise each.
DPDM_PASSES: Final = 150 * 60_000 * 32


@dataclass(frozen=True)
class Published:
    """A row of the table.

    Attributes:
        public_data: Whether something was trained on public data: "no", "yes", or "" where the
            source read does not say.
        mnist: Accuracies in per cent at each of :data:`EPSILONS`.
        fashion_mnist: The same on Fashion-MNIST.
    """

    public_data: str
    mnist: tuple[float, float]
    fashion_mnist: tuple[float, float]


PUBLISHED: Final = {
    "DPDM": Published("no", (89.2, 97.7), (76.4, 85.6)),
    "DP-FETA": Published("no", (95.6, 98.1), (81.7, 87.3)),
    "DP-MERF": Published("", (80.3, 81.3), (62.2, 62.2)),
    "DP-NTK": Published("", (50.0, 91.3), (64.4, 76.3)),
    "DP-Kernel": Published("", (94.0, 93.6), (68.4, 70.0)),
    "GS-WGAN": Published("", (72.4, 75.3), (52.7, 56.7)),
    "DP-GAN": Published("", (92.4, 92.7), (71.8, 70.3)),
    "Private Evolution": Published("yes", (27.9, 32.7), (47.9, 57.8)),
    "PDP-Diffusion": Published("yes", (94.5, 97.4), (79.2, 85.4)),
    "DP-LDM (SD)": Published("yes", (78.8, 94.4), (75.9, 81.6)),
    "DP-LDM": Published("yes", (44.2, 95.5), (62.3, 86.3)),
    "DP-LoRA": Published("yes", (82.2, 97.1), (63.5, 83.8)),
    "PrivImage": Published("yes", (94.0, 97.8), (79.9, 87.1)),
}
