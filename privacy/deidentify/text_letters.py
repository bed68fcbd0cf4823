"""Lines of text in ultrasound, by a network of our own that was trained on nothing else.

Networks for photographs and documents must be shown ultrasound enlarged, and do not see letters
that are hardly brighter than the speckle. This one (`letters_network`) was trained on letters drawn
into speckle of any grain, simulated and public breast ultrasound, and photographs;
``examples/letters/train.py`` is the recipe. It knows no letter and no language, only that something
is written, and is quick.

It has seen upright lines of 7 to 40 pixels, in Latin, Greek and Cyrillic letters and digits. Flow
in Doppler images that were turned gray, ruler ticks and calipers may be marked as well.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.text import TextBox, TextEngineError, check_gray, text_box
from privacy.deidentify.tiles import tiles

if TYPE_CHECKING:
    from privacy.deidentify.letters_network import LettersNetwork

__all__ = ["WEIGHTS", "LettersDetector"]

WEIGHTS: Final = Path(__file__).parent / "weights" / "letters.safetensors"
"""The weights in the box."""

_SHA256: Final = "0c02d1c16dc5dbf6bf04d233077c03cfd33d37f14b925be9e85357aa62f0789c"
_HALF: Final = 2  # the network answers at half the resolution
# The first letter of a line is missed most often, so a box reaches as far as a letter is wide.
_BESIDE: Final = 1 / 3
_MOST_BESIDE: Final = 12


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LettersDetector:
    """Finds lines of text.

    Attributes:
        network: The network, ready to be asked.
        chance: A line has a place that is text with this chance.
        around: Its other places have this chance.
        lowest: Lower lines are no text, in pixels with the margin.
        margin: Pixels added above and below, and at least so many beside.
        tile: Edge of the part of an image that is looked at in one go.
        overlap: Pixels that neighbouring parts share.
    """

    network: LettersNetwork = field(repr=False)
    chance: float = 0.4
    around: float = 0.24
    lowest: int = 9
    margin: int = 3
    tile: int = 1024
    overlap: int = 128

    @classmethod
    def load(cls) -> LettersDetector:
        """Load the weights in the box.

        Raises:
            TextEngineError: They are missing or were changed, or torch is not installed.
        """
        try:
            data = WEIGHTS.read_bytes()
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() != _SHA256:
            raise TextEngineError(
                "The weights of the text engine letters are missing or were changed; install "
                "bussynth again."
            )
        try:
            import torch
            from safetensors.torch import load

            from privacy.deidentify.letters_network import LettersNetwork
        except ModuleNotFoundError:
            raise TextEngineError(
                "The text engine letters needs torch: pip install 'bussynth[full]'."
            ) from None
        network = LettersNetwork()
        network.load_state_dict(load(data))
        # A fifth faster in this order, to the same answers; the annotations of torch lack it.
        network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(network=network)

    @property
    def name(self) -> str:
        """Engine and its weights, for the record."""
        return f"letters, weights {_SHA256[:12]}, chance {self.chance}"

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        """Find lines; see `TextDetector`."""
        from scipy import ndimage

        check_gray(image)
        chances = self._chances(image)
        labels, found = ndimage.label(chances > self.around, np.ones((3, 3)))
        best = ndimage.maximum(chances, labels, np.arange(1, found + 1))
        boxes = []
        for (rows, columns), score in zip(ndimage.find_objects(labels), best, strict=True):
            if score < self.chance:
                continue
            left, top, right, bottom = (
                _HALF * edge for edge in (columns.start, rows.start, columns.stop, rows.stop)
            )
            beside = min(max(_BESIDE * (bottom - top), self.margin), _MOST_BESIDE)
            box = text_box(
                (left, top, right, bottom),
                (beside, self.margin),
                (image.shape[0], image.shape[1]),
                float(score),
            )
            if box is not None and box.rectangle.height >= self.lowest:
                boxes.append(box)
        return tuple(boxes)

    def _chances(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Chance of text, (ceil(H / 2), ceil(W / 2))."""
        height, width = image.shape
        chances = np.zeros((-(-height // _HALF), -(-width // _HALF)), np.float32)
        for rows in tiles(height, self.tile, self.overlap):
            for columns in tiles(width, self.tile, self.overlap):
                seen = self._tile(image[rows, columns])
                top, left = rows.start // _HALF, columns.start // _HALF
                here = chances[top : top + seen.shape[0], left : left + seen.shape[1]]
                np.maximum(here, seen, out=here)
        return chances

    def _tile(self, part: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        from privacy.deidentify.letters_network import STEP

        height, width = part.shape
        # Repeated edges would be streaks, which look like letters.
        padded = np.pad(part, [(0, -height % STEP), (0, -width % STEP)], mode="symmetric")
        with torch.inference_mode():
            given = torch.from_numpy(padded).float()[None, None] / 127.5 - 1
            seen = torch.sigmoid(self.network(given))[0, 0].numpy()
        if not np.isfinite(seen).all():
            raise TextEngineError("The network gave no chances; nothing is known of the image.")
        return np.asarray(seen[: -(-height // _HALF), : -(-width // _HALF)], np.float32)
