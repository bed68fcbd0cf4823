"""Size, work, memory and speed of every preset, as a markdown table.

    python -m benchmarks.presets [--measure NAME ...] [--seconds S] [--device D]

Parameters, FLOPs and memory are computed and need no data and no large machine: the networks are
built on the meta device or of fake tensors, which have shapes but no content. Images a second are
measured for the presets named, by training and sampling on phantoms; so is the memory on a GPU.

- A multiplication and an addition are two FLOPs. A training step is counted for one image,
  forward and backward; the optimizer is left out.
- Training memory is 20 bytes a parameter (weight, gradient, two moments of AdamW, average) and
  all that the backward pass keeps, at the preset's batch size in one part. "float32" is how a CPU
  trains, "bfloat16" is the mixed precision of a GPU.
- What fits 80 GB is counted in bfloat16 with a tenth to spare for workspaces, the gradients of
  activations and the libraries.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from bussynth.config import RunOptions
from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.config import TrainConfig
from bussynth.generator.device import resolve_device
from bussynth.generator.diffusion import Denoiser, edm_loss
from bussynth.generator.network import Architecture, ConditionalUNet
from bussynth.generator.presets import PRESETS, Preset

__all__ = ["Activations", "Speed", "activations", "flops", "largest_batch", "main"]

VOCABULARY = {"pathology": ("normal", "benign", "malignant"), "device": ("a", "b")}
STATE_BYTES = 20
CARD_BYTES = 80e9
RESERVE = 0.1
STEPS = 12


def _step(preset: Preset, images: int) -> tuple[Denoiser, Callable[[], Tensor]]:
    """A network and its loss on a batch, on the device or of the kind of tensor in force."""
    architecture = Architecture.of(preset, (preset.image_size, preset.image_size), VOCABULARY)
    denoiser = Denoiser(ConditionalUNet(architecture))
    clean = torch.zeros(images, architecture.factor**2, *architecture.latent_size)
    conditions = ConditionBatch(
        torch.zeros(images, len(VOCABULARY), dtype=torch.int64),
        torch.zeros(images, dtype=torch.int64),
        torch.zeros(images, 4),
    )
    sigma = torch.ones(images)
    noise = torch.zeros_like(clean)
    return denoiser, lambda: edm_loss(denoiser, clean, noise, sigma, conditions).mean()


def flops(preset: Preset) -> tuple[int, int, int]:
    """Parameters, FLOPs of a forward pass and FLOPs of a training step, of one image."""
    with torch.device("meta"):
        denoiser, loss = _step(preset, 1)
        with FlopCounterMode(display=False) as counter:
            value = loss()
            forward = counter.get_total_flops()
            value.backward()  # type: ignore[no-untyped-call]
    parameters = sum(p.numel() for p in denoiser.parameters())
    return parameters, forward, counter.get_total_flops()


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Bytes that the backward pass keeps beside the weights.

    Attributes:
        image: For each image of a part of a batch.
        fixed: Once a part: copies of the weights in bfloat16.
    """

    image: int
    fixed: int


def activations(preset: Preset, *, mixed: bool) -> Activations:
    """Count what is kept for the backward pass, tensor by tensor.

    Args:
        preset: The size.
        mixed: Under autocast to bfloat16 as on a GPU, else float32.
    """
    one, two = (_kept(preset, images, mixed) for images in (1, 2))
    return Activations(image=two - one, fixed=2 * one - two)


def _kept(preset: Preset, images: int, mixed: bool) -> int:
    kept: dict[int, int] = {}
    held = []  # a storage that is freed would lend its number to the next one

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held.append(storage)
        kept[storage._cdata] = storage.nbytes()
        return tensor

    with FakeTensorMode():
        denoiser, loss = _step(preset, images)
        if mixed:
            for module in denoiser.modules():
                if isinstance(module, nn.GroupNorm):
                    # A GPU normalises groups in float32, which autocast of the CPU does not.
                    module.register_forward_pre_hook(lambda _, args: (args[0].float(),))
        weights = {p.untyped_storage()._cdata for p in denoiser.parameters()}
        with (
            saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed),
        ):
            value = loss()
    del value
    return sum(size for number, size in kept.items() if number not in weights)


def largest_batch(parameters: int, kept: Activations) -> int:
    """Images of one part that fit a card of 80 GB."""
    free = (1 - RESERVE) * CARD_BYTES - STATE_BYTES * parameters - kept.fixed
    return max(0, int(free // kept.image))


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Images a second of training and sampling, and peak bytes of training on a GPU."""

    training: float
    sampling: float
    peak: int | None


def measure(name: str, seconds: float, device: torch.device) -> Speed:
    """Train for ``seconds``, one step at least, then sample as long; start-up is left out."""
    import bussynth
    from bussynth.cohort import Cohort
    from bussynth.generator.generator import Generator

    preset, gpu = PRESETS[name], device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as folder:
        cohort, options = Path(folder) / "cohort", RunOptions(device=str(device))
        bussynth.phantom(cohort, patients=20, image_size=preset.image_size)
        bussynth.split(cohort)
        config = TrainConfig(preset=name, minutes=max(seconds / 60, 0.01))
        out = Path(folder) / "model"
        model = Generator.train(Cohort.open(cohort), out, config, options=options)
    record = model.training
    peak = torch.cuda.max_memory_allocated(device) if gpu else None
    made, start, n = 0, time.monotonic(), min(preset.batch_size, 256 if gpu else 8)
    while made == 0 or time.monotonic() - start < seconds:
        model.sample([{}] * n, list(range(n)), steps=STEPS, batch_size=n)
        made += n
    return Speed(
        training=record["steps"] * preset.batch_size / max(record["seconds"], 0.1),
        sampling=made / (time.monotonic() - start),
        peak=peak,
    )


_HEAD = (
    "preset",
    "image size",
    "parameters, M",
    "GFLOPs an image, forward",
    "GFLOPs an image, training step",
    "batch",
    "kept an image, MiB, float32",
    "kept an image, MiB, bfloat16",
    "training memory, GiB, float32",
    "training memory, GiB, bfloat16",
    "training memory, GiB, on the device",
    "largest batch in 80 GB",
    "training, images/s",
    f"sampling in {STEPS} steps, images/s",
)


def _row(name: str, speed: Speed | None) -> str:
    preset = PRESETS[name]
    parameters, forward, step = flops(preset)
    single, half = (activations(preset, mixed=mixed) for mixed in (False, True))

    def memory(kept: Activations) -> str:
        total = STATE_BYTES * parameters + kept.fixed + kept.image * preset.batch_size
        return f"{total / 2**30:.2f} (c)"

    def measured(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.3g} (m)"

    peak = None if speed is None or speed.peak is None else speed.peak / 2**30
    cells = (
        name,
        str(preset.image_size),
        f"{parameters / 1e6:.2f} (c)",
        f"{forward / 1e9:.2f} (c)",
        f"{step / 1e9:.2f} (c)",
        str(preset.batch_size),
        f"{single.image / 2**20:.1f} (c)",
        f"{half.image / 2**20:.1f} (c)",
        memory(single),
        memory(half),
        measured(peak),
        f"{largest_batch(parameters, half)} (c)",
        measured(None if speed is None else speed.training),
        measured(None if speed is None else speed.sampling),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs="*", default=[], choices=sorted(PRESETS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    where = platform.machine()
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    print(f"(c) computed, (m) measured on {where}, {torch.get_num_threads()} threads\n")
    print(f"| {' | '.join(_HEAD)} |\n|{'---|' * len(_HEAD)}")
    for name in PRESETS:
        speed = None
        if name in arguments.measure:
            speed = measure(name, arguments.seconds, device)
        print(_row(name, speed), flush=True)


if __name__ == "__main__":
    main()
