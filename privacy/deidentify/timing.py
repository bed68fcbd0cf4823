"""How long a frame of a cine loop lasts, from whichever attribute of the source says it."""

from __future__ import annotations

from math import isfinite
from statistics import median
from typing import Final

from pydicom.dataset import Dataset

from privacy.deidentify.elements import number, texts

__all__ = ["frame_milliseconds"]

_LEAST: Final = 0.1
_MOST: Final = 60_000.0
_LONGEST_VECTOR: Final = 20_000


def frame_milliseconds(dataset: Dataset) -> float | None:
    """Read the time from frame to frame.

    In this order: Frame Time (0018,1063), the median of Frame Time Vector (0018,1065), then the
    rates Recommended Display Frame Rate (0008,2144) and Cine Rate (0018,0040), in frames a second
    (PS3.3 C.7.6.5).

    Args:
        dataset: The untrusted data set.

    Returns:
        Milliseconds from 0.1 to 60000, or None if nobody says.
    """
    found = [number(dataset, "FrameTime"), _median(dataset)]
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        rate = number(dataset, keyword)
        found.append(1000 / rate if rate else None)
    return next((time for time in found if time is not None and _LEAST <= time <= _MOST), None)


def _median(dataset: Dataset) -> float | None:
    # The first entry is 0: it belongs to the first frame, which follows none.
    entries = texts(dataset, "FrameTimeVector")[1:_LONGEST_VECTOR]
    try:
        times = [float(entry[:32]) for entry in entries]
    except ValueError:
        return None
    return median(times) if times and all(map(isfinite, times)) else None
