"""Is there a lesion where the box says? A measurement that needs no trained model.

Most lesions of breast ultrasound are darker than the tissue around them. For each image the
mean grey value inside the box is compared with a ring around it, at the same depths. The
share of images in which the inside is darker is printed for real images (the level to
reach), for synthetic images, and for synthetic images with the boxes of other images (the
level of chance: position and depth alone).

    python lesion_in_box.py COHORT SYNTHETIC
"""

from __future__ import annotations

import sys

import numpy as np

from audits.statistics.intervals import clopper_pearson
from bussynth import Cohort


def contrast(image: np.ndarray, box: tuple[float, ...]) -> float:
    """Mean grey value beside the box minus inside it; positive if the inside is darker.

    Args:
        image: uint8 (H, W).
        box: x0, y0, x1, y1 in pixels.
    """
    x0, y0, x1, y1 = (round(edge) for edge in box)
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    # The inner half of the box: its corners are tissue, since lesions are round.
    dx, dy = (x1 - x0) // 4, (y1 - y0) // 4
    inside = image[y0 + dy : y1 - dy, x0 + dx : x1 - dx]
    margin = max(3, (x1 - x0) // 2)
    left = image[y0 + dy : y1 - dy, max(0, x0 - margin) : x0]
    right = image[y0 + dy : y1 - dy, x1 : x1 + margin]
    # Letterbox borders are black and no tissue.
    beside = np.concatenate([left.ravel(), right.ravel()])
    beside = beside[beside > 0]
    return float(beside.mean() - inside.mean()) if beside.size and inside.size else float("nan")


def report(name: str, images: np.ndarray, boxes: list[tuple[float, ...]]) -> None:
    """Print the share of images with a darker inside, with its interval."""
    values = np.array([contrast(i, b) for i, b in zip(images, boxes, strict=True)])
    values = values[np.isfinite(values)]
    darker = int((values > 0).sum())
    interval = clopper_pearson(darker, len(values), 0.95)
    print(
        f"{name:<34} {darker}/{len(values)} = {darker / len(values):.3f} "
        f"(95 % {interval.low:.3f} to {interval.high:.3f}), "
        f"mean contrast {values.mean():.1f} grey values"
    )


def main(real: str, synthetic: str) -> None:
    """Compare a split real cohort's test images with a synthetic cohort."""
    for name, cohort in (
        ("real, test patients", Cohort.open(real).select("test")),
        ("synthetic", Cohort.open(synthetic)),
    ):
        rows = [row for row in cohort if row.lesion_box is not None]
        images = np.stack([row.image for row in rows])
        boxes = [tuple(row.lesion_box or ()) for row in rows]
        report(name, images, boxes)
        rng = np.random.default_rng(0)
        others = [boxes[i] for i in rng.permutation(len(boxes))]
        report(f"{name}, boxes of other images", images, others)


if __name__ == "__main__":
    main(*sys.argv[1:])
