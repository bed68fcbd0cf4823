"""The confirmed copies one by one, for the site's own eyes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.copies.findings import ChannelCopies
from audits.copies.similarity import describe_pair

__all__ = ["list_copies"]

_DESCRIBED = 200


def list_copies(
    channels: Sequence[ChannelCopies],
    synthetic: npt.NDArray[np.uint8],
    train: npt.NDArray[np.uint8],
) -> list[dict[str, Any]]:
    """List the copies that any channel confirmed, most certain first.

    Args:
        channels: What each channel found.
        synthetic: uint8 (m, H, W), as they are.
        train: uint8 (n, H, W), as they are.

    Returns:
        One entry a synthetic image and train image: row numbers, the channels that agree, the
        smallest ratio, and for the first 200 further measures of likeness.
    """
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for channel in channels:
        for query in np.flatnonzero(channel.of_train.any(axis=1)):
            column = int(channel.of_train[query].argmax())
            key = int(query), int(channel.scores.row[query, column])
            ratio = float(channel.scores.ratio[query, column])
            entry = found.setdefault(
                key, {"synthetic": key[0], "train": key[1], "ratio": ratio, "channels": []}
            )
            entry["ratio"] = min(entry["ratio"], ratio)
            entry["channels"].append(channel.name)
    ordered = sorted(found.values(), key=lambda e: (e["ratio"], e["synthetic"], e["train"]))
    for entry in ordered[:_DESCRIBED]:
        pair = describe_pair(synthetic[entry["synthetic"]], train[entry["train"]])
        entry |= {name: value for name, value in pair.items() if name != "neighbour_ratio"}
    return ordered
