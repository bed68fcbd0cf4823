"""The network: a stock diffusers UNet fed with embedded conditions.

Nothing in diffusers is changed. The conditions are embedded here and handed to the UNet as ready
class embeddings; the lesion box enters as one more input channel. Beside the UNet a small head
predicts the mean of each band: group normalisation hides means, and with them the brightness of an
image, from every layer behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from bussynth.errors import IntegrityError
from bussynth.generator.augment import LABELS
from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.diffusion import PREDICTIONS
from bussynth.generator.presets import Preset
from bussynth.generator.transform import Haar

__all__ = ["Architecture", "ConditionalUNet"]

# The UNet's sinusoids have periods from 2*pi up, and ln(sigma)/4 spans [-1.6, 1.1]: without this
# factor all noise levels would look alike.
_TIME_SCALE = 100.0

# At the highest noise levels the mean of an image is about a thirtieth of the input's deviation.
_MEAN_SCALE = 30.0


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything needed to build the network anew; stored with the weights.

    Attributes:
        image_size: Height and width in pixels.
        factor: Reduction of the Haar transform.
        channels: Channels by level.
        layers: Residual layers a level.
        attention: Self-attention by level.
        values: Number of values of each condition column, columns in
            alphabetical order.
        prediction: What the network predicts, see :mod:`bussynth.generator.diffusion`.
        augmented: Whether the network is told how an image was altered, see
            :mod:`bussynth.generator.augment`.
    """

    image_size: tuple[int, int]
    factor: int
    channels: tuple[int, ...]
    layers: int
    attention: tuple[bool, ...]
    values: tuple[int, ...]
    prediction: str = "edm"
    augmented: bool = False

    @classmethod
    def of(
        cls,
        preset: Preset,
        image_size: tuple[int, int],
        vocabulary: Mapping[str, Sequence[str]],
        *,
        factor: int | None = None,
        prediction: str = "edm",
        augmented: bool = False,
    ) -> Architecture:
        """Architecture of a preset for images and conditions of a cohort."""
        return cls(
            image_size=image_size,
            factor=preset.factor if factor is None else factor,
            channels=preset.channels,
            layers=preset.layers,
            attention=preset.attention,
            values=tuple(len(vocabulary[column]) for column in sorted(vocabulary)),
            prediction=prediction,
            augmented=augmented,
        )

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the maps the network works on."""
        return self.image_size[0] // self.factor, self.image_size[1] // self.factor

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Inverse of :meth:`to_dict`.

        Raises:
            IntegrityError: Fields are missing, unknown or of the wrong kind.
        """
        try:
            height, width = (int(v) for v in data["image_size"])
            architecture = cls(
                image_size=(height, width),
                factor=int(data["factor"]),
                channels=tuple(int(v) for v in data["channels"]),
                layers=int(data["layers"]),
                attention=tuple(bool(v) for v in data["attention"]),
                values=tuple(int(v) for v in data["values"]),
                prediction=str(data["prediction"]),
                augmented=bool(data["augmented"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError("The model's architecture cannot be read.") from error
        if architecture.to_dict() != dict(data) or not architecture._sound():
            raise IntegrityError("The model's architecture has unknown fields or unusable values.")
        return architecture

    def _sound(self) -> bool:
        """Whether the network can be built without exhausting the machine."""
        levels = len(self.channels)
        if self.factor not in (1, 2, 4) or self.prediction not in PREDICTIONS:
            return False
        if not 1 <= levels <= 8 or len(self.attention) != levels:
            return False
        divisor = self.factor * 2 ** (levels - 1)
        return (
            all(0 < side <= 8192 and side % divisor == 0 for side in self.image_size)
            and all(0 < width <= 2048 and width % 32 == 0 for width in self.channels)
            and 1 <= self.layers <= 8
            and all(0 < count <= 100_000 for count in self.values)
        )


def _groups(channels: Sequence[int]) -> int:
    """Largest number of groups, at most 32, that leaves 8 channels or more in each.

    In smaller groups the normalisation takes away much of what a channel says about noise level
    and condition.
    """
    return next(
        g for g in (32, 16, 8, 4, 2, 1) if all(c % g == 0 and c // g >= 8 for c in channels)
    )


class _MeanHead(nn.Module):
    """Mean of each band of F, from the means of the input, noise level and conditions.

    Args:
        bands: Number of bands.
        noise_width: Length of the sinusoids of the noise level.
        width: Length of the embedded conditions.
    """

    def __init__(self, bands: int, noise_width: int, width: int) -> None:
        super().__init__()
        first = nn.Linear(noise_width + width + 2 * bands, width)
        last = nn.Linear(width, bands)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(first, nn.SiLU(), last)

    def forward(self, x: Tensor, noise: Tensor, told: Tensor) -> Tensor:
        """Means ``(n, bands, 1, 1)`` of maps ``(n, bands, h, w)``."""
        means = x.mean(dim=(2, 3))
        seen = torch.cat((noise, told, means, torch.asinh(_MEAN_SCALE * means)), dim=1)
        out: Tensor = self.layers(seen)
        return out[:, :, None, None]


class ConditionalUNet(nn.Module):
    """Raw network F of the EDM formulation, conditioned on words and a lesion box.

    Args:
        architecture: What to build.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        from diffusers import UNet2DModel  # slow to import

        self.architecture = architecture
        bands = Haar(architecture.factor).channels
        channels, attention = architecture.channels, architecture.attention
        width = 4 * channels[0]
        self.columns = nn.ModuleList(nn.Embedding(n + 1, width) for n in architecture.values)
        self.box_state = nn.Embedding(3, width)
        self.altered = nn.Linear(LABELS, width, bias=False) if architecture.augmented else None
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, width))
        self.unet = UNet2DModel(
            in_channels=bands + 1,
            out_channels=bands,
            block_out_channels=channels,
            layers_per_block=architecture.layers,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
            up_block_types=tuple(
                "AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)
            ),
            add_attention=any(attention),
            attention_head_dim=32,
            norm_num_groups=_groups(channels),
            norm_eps=1e-5,
            # Noise level and conditions act behind each normalisation, which would undo a shift.
            resnet_time_scale_shift="scale_shift",
            class_embed_type="identity",
            flip_sin_to_cos=True,
            freq_shift=0,
        )
        # The untrained model then predicts the mean, and its loss is about 1 at every noise level.
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)
        self.mean = _MeanHead(bands, channels[0], width)

    def forward(self, x: Tensor, c_noise: Tensor, conditions: ConditionBatch) -> Tensor:
        """Evaluate F.

        Args:
            x: ``(n, bands, h, w)``, scaled to unit variance.
            c_noise: ``(n,)``, ln(sigma)/4.
            conditions: Of the n rows.

        Returns:
            ``(n, bands, h, w)``.
        """
        embedded = self.box_state(conditions.box_state)
        for j, column in enumerate(self.columns):
            embedded = embedded + column(conditions.codes[:, j])
        if self.altered is not None and conditions.augment is not None:
            embedded = embedded + self.altered(conditions.augment)
        box = conditions.box_map(x.shape[-2], x.shape[-1], self.architecture.factor)
        told, time = self.mix(embedded), c_noise * _TIME_SCALE
        out = self.unet(torch.cat((x, box.to(x.dtype)), dim=1), time, class_labels=told)
        return cast(Tensor, out.sample + self.mean(x, self.unet.time_proj(time), told))
