"""How alike the two images of a confirmed pair are, in the measures of the literature.

For the site's own eyes: each number describes one pair of a synthetic and a real image, none of
them decides anything, none leaves the site.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["describe_pair", "largest_tile_distance", "multi_scale_ssim", "shifted_ncc"]

Image = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]

_TILES = 4
_REACH = 0.08
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def _standard(image: Image) -> Values:
    values = image.astype(np.float64) - image.mean(dtype=np.float64)
    spread = values.std()
    result: Values = values / spread if spread > 1e-3 else np.zeros_like(values)
    return result


def largest_tile_distance(query: Image, reference: Image) -> float:
    """RMS difference, in standard deviations, of the 4 x 4 tile where two images differ most.

    Args:
        query: uint8 (H, W), at least 4 x 4.
        reference: uint8 (H, W).

    Returns:
        0 for equal images up to gain and offset; 1.4 is usual for unrelated ones.

    Reference:
        Carlini et al., USENIX Security 2023 (patched distance against flat backgrounds).
    """
    squares = np.square(_standard(query) - _standard(reference))
    tiles = [
        part.mean()
        for rows in np.array_split(squares, _TILES, axis=0)
        for part in np.array_split(rows, _TILES, axis=1)
    ]
    return float(np.sqrt(max(tiles)))


def shifted_ncc(query: Image, reference: Image) -> tuple[float, tuple[int, int]]:
    """Normalised cross-correlation at the best shift of up to 8 % of each side.

    Each shift correlates the part that both images cover, centred on its own.

    Args:
        query: uint8 (H, W).
        reference: uint8 (H, W).

    Returns:
        The correlation, -1 to 1 (0 where one is flat), and the shift (down, right) in pixels.
    """
    height, width = query.shape
    down, right = int(_REACH * height), int(_REACH * width)
    best, at = -1.0, (0, 0)
    # The smallest shift wins a tie.
    shifts = [(y, x) for y in range(-down, down + 1) for x in range(-right, right + 1)]
    for y, x in sorted(shifts, key=lambda shift: (shift[0] ** 2 + shift[1] ** 2, shift)):
        moved = query[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
        fixed = reference[max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)]
        value = float((_standard(moved) * _standard(fixed)).mean())
        if value > best + 1e-12:
            best, at = value, (y, x)
    return min(1.0, best), at


def _local_terms(first: Values, second: Values) -> tuple[float, float]:
    """Mean luminance x contrast-structure, and mean contrast-structure, of one scale."""
    from scipy.ndimage import gaussian_filter

    def blur(values: Values) -> Values:
        result: Values = gaussian_filter(
            values, _SIGMA, mode="reflect", truncate=(_WINDOW // 2) / _SIGMA
        )
        return result

    mean_1, mean_2 = blur(first), blur(second)
    variance_1 = np.maximum(blur(first * first) - mean_1**2, 0.0)
    variance_2 = np.maximum(blur(second * second) - mean_2**2, 0.0)
    covariance = blur(first * second) - mean_1 * mean_2
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    luminance = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    return float((luminance * structure).mean()), float(structure.mean())


def multi_scale_ssim(query: Image, reference: Image) -> float:
    """Multi-scale structural similarity.

    As many of the five scales are used as keep 11 pixels a side, with the weights scaled to one;
    borders are reflected, negative terms count as 0.

    Args:
        query: uint8 (H, W).
        reference: uint8 (H, W).

    Returns:
        0 to 1, 1 for equal images.

    Reference:
        Wang, Simoncelli & Bovik, Asilomar 2003, equation 7.
    """
    first, second = query.astype(np.float64), reference.astype(np.float64)
    scales = 1
    while scales < len(_WEIGHTS) and min(first.shape) >> scales >= _WINDOW:
        scales += 1
    weights = np.array(_WEIGHTS[:scales]) / sum(_WEIGHTS[:scales])
    product = 1.0
    for scale, weight in enumerate(weights):
        whole, structure = _local_terms(first, second)
        term = whole if scale == scales - 1 else structure
        product *= max(term, 0.0) ** weight
        first, second = _halved(first), _halved(second)
    return float(min(1.0, product))


def _halved(values: Values) -> Values:
    height, width = (side // 2 * 2 for side in values.shape)
    result: Values = (
        values[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    )
    return result


def describe_pair(
    query: Image, reference: Image, *, ratio: float | None = None
) -> dict[str, float | bool | list[int] | None]:
    """All measures of one pair, plain or mirrored, whichever correlates more.

    Args:
        query: uint8 (H, W), the synthetic image.
        reference: uint8 (H, W), the real image.
        ratio: First to second neighbour ratio found by the copy search, passed through.

    Returns:
        JSON-able numbers; ``mirrored`` says how the query was compared.
    """
    flipped = np.ascontiguousarray(query[:, ::-1])
    plain, other = shifted_ncc(query, reference), shifted_ncc(flipped, reference)
    mirrored = other[0] > plain[0]
    compared = flipped if mirrored else query
    correlation, shift = other if mirrored else plain
    return {
        "mirrored": mirrored,
        "ncc": correlation,
        "shift": list(shift),
        "largest_tile_distance": largest_tile_distance(compared, reference),
        "ms_ssim": multi_scale_ssim(compared, reference),
        "neighbour_ratio": ratio,
    }
