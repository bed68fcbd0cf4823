"""The feature spaces that need no training, as every audit uses them."""

from __future__ import annotations

from audits.features.base import FeatureMap
from audits.features.gradients import GradientMap
from audits.features.hashes import HashMap
from audits.features.pixels import PixelMap
from audits.features.random_convolution import RandomConvolutionMap

__all__ = ["default_maps"]


def default_maps(image_size: int) -> tuple[FeatureMap, ...]:
    """Spaces from coarse to fine, cheap to dear.

    Overlays are not filled by these maps: pass images through
    :func:`audits.features.overlay.mask_overlays` once, all roles alike.

    Args:
        image_size: Longer side of the images in pixels.

    Returns:
        Pixels 16 and 32, pixels 64 for images larger than that, hash, gradients, random
        convolution.
    """
    sizes = (16, 32, 64) if image_size > 64 else (16, 32)
    return (*map(PixelMap, sizes), HashMap(), GradientMap(), RandomConvolutionMap())
