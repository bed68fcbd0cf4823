"""Named sizes of the generator, as data.

Image size is the size a preset was tuned for; any size divisible by
:meth:`Preset.divisor` works. Times are for orientation, measured or estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Architecture and training defaults of one model size.

    Attributes:
        image_size: Side of the square images the preset was tuned for, pixels.
        factor: Reduction of the Haar transform, 2 or 4.
        channels: Channels of the network by level, highest resolution first.
        layers: Residual layers a level.
        attention: Whether a level has self-attention, by level.
        learning_rate: Peak rate of AdamW.
        batch_size: Images a training step.
        steps: Training steps.
        ema_decay: Final decay of the weight average.
    """

    image_size: int
    factor: int
    channels: tuple[int, ...]
    layers: int
    attention: tuple[bool, ...]
    learning_rate: float
    batch_size: int
    steps: int
    ema_decay: float

    @property
    def adapt_steps(self) -> int:
        """Training steps of an adapter: a quarter of the base's, at most 1,000."""
        return min(self.steps // 4, 1_000)

    def divisor(self, factor: int | None = None) -> int:
        """What height and width of the images must be divisible by.

        Args:
            factor: Another reduction of the Haar transform than the preset's.
        """
        return int((factor or self.factor) * 2 ** (len(self.channels) - 1))


PRESETS: Final[dict[str, Preset]] = {
    # One to two minutes on two CPU cores: for demonstrations and tests.
    "tiny-32": Preset(
        image_size=32,
        factor=2,
        channels=(32, 64),
        layers=1,
        attention=(False, False),
        learning_rate=3e-3,
        batch_size=8,
        steps=1_500,
        ema_decay=0.99,
    ),
    # About an hour on two CPU cores; 2.9 million parameters.
    "small-64": Preset(
        image_size=64,
        factor=2,
        channels=(32, 64, 128),
        layers=1,
        attention=(False, False, True),
        learning_rate=1e-3,
        batch_size=16,
        steps=9_000,
        ema_decay=0.999,
    ),
    # For one GPU; hours.
    "base-128": Preset(
        image_size=128,
        factor=2,
        channels=(64, 128, 256, 256),
        layers=2,
        attention=(False, False, True, True),
        learning_rate=2e-4,
        batch_size=64,
        steps=100_000,
        ema_decay=0.9995,
    ),
    # The image size of BUSGen (arXiv:2501.06869), for one large GPU; a day.
    "busgen-160": Preset(
        image_size=160,
        factor=4,
        channels=(128, 256, 256),
        layers=2,
        attention=(False, True, True),
        learning_rate=1e-4,
        batch_size=128,
        steps=200_000,
        ema_decay=0.9999,
    ),
    # 239 million parameters for the same size: one GPU of 80 GB, days.
    "large-160": Preset(
        image_size=160,
        factor=4,
        channels=(256, 512, 768),
        layers=3,
        attention=(False, True, True),
        learning_rate=1e-4,
        batch_size=128,
        steps=200_000,
        ema_decay=0.9999,
    ),
    # 281 million parameters for finer images: one GPU of 80 GB, days.
    "large-256": Preset(
        image_size=256,
        factor=4,
        channels=(256, 512, 768, 768),
        layers=2,
        attention=(False, False, True, True),
        learning_rate=1e-4,
        batch_size=128,
        steps=200_000,
        ema_decay=0.9999,
    ),
}
