"""Time per image of sampling, beside other ways of doing it.

    python -m benchmarks.sampling [--turns N] [--images N] [--device cpu]

One network each, of the same channels and layers, with random weights, since weights do not change
the time. All ways run in turn in one process; read the ratios.

- ours: on Haar bands, 12 evaluations, no guidance
- the same network on pixels, without the Haar step
- pipelines of diffusers on pixels: DDPM and DDIM, 50 steps
- BUSGen's setting (arXiv:2501.06869): single-step DPM-Solver of order 3, 50 evaluations, guidance,
  hence two network passes each, on the same network on pixels
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.device import autocast, resolve_device
from bussynth.generator.network import Architecture
from bussynth.generator.presets import PRESETS
from bussynth.generator.sampler import sample
from bussynth.generator.training import build_denoiser
from bussynth.generator.transform import Haar

__all__ = ["main"]

SIZE = 64
VOCABULARY = {"pathology": ("normal", "benign", "malignant"), "device": ("a", "b")}
OURS = "ours: Haar, 12 evaluations"


def ours(factor: int, steps: int, images: int, device: torch.device) -> Callable[[], object]:
    """Our sampler on bands of a factor; 1 is pixels."""
    preset = PRESETS["small-64"]
    architecture = replace(Architecture.of(preset, (SIZE, SIZE), VOCABULARY), factor=factor)
    denoiser = build_denoiser(architecture, 0).to(device).eval()
    noise = torch.randn(images, factor**2, *architecture.latent_size)
    placed = noise.to(device, memory_format=torch.channels_last)
    box = {"pathology": "benign", "lesion_box": (10, 10, 30, 30)}
    conditions = ConditionEncoder(VOCABULARY, (SIZE, SIZE)).encode([box] * images).to(device)
    guidance = torch.ones(images, device=device)

    @torch.inference_mode()
    def run() -> object:
        with autocast(device):
            latents = sample(denoiser, placed, conditions, guidance, steps)
        return Haar(factor).decode(latents.float()).cpu()

    return run


def pipeline(kind: str, images: int, device: torch.device) -> Callable[[], object]:
    """An unconditional pipeline of diffusers at 50 steps."""
    from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler

    unet = _unet().to(device)
    made = (
        DDPMPipeline(unet, DDPMScheduler())
        if kind == "DDPM"
        else DDIMPipeline(unet, DDIMScheduler())
    )
    made.set_progress_bar_config(disable=True)
    return lambda: made(batch_size=images, num_inference_steps=50, output_type="np")


def _unet() -> torch.nn.Module:
    from diffusers import UNet2DModel

    preset = PRESETS["small-64"]
    unet = UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=preset.channels,
        layers_per_block=preset.layers,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in preset.attention),
        up_block_types=tuple(
            "AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(preset.attention)
        ),
        attention_head_dim=32,
        norm_num_groups=16,
    )
    return unet.eval()


def busgen(images: int, device: torch.device) -> Callable[[], object]:
    """Single-step DPM-Solver of order 3 with guidance, 50 evaluations of two passes each."""
    from diffusers import DPMSolverSinglestepScheduler

    preset = PRESETS["small-64"]
    architecture = replace(Architecture.of(preset, (SIZE, SIZE), VOCABULARY), factor=1)
    network = build_denoiser(architecture, 0).to(device).eval().network
    noise = torch.randn(images, 1, SIZE, SIZE, device=device)
    placed = noise.to(memory_format=torch.channels_last)
    conditions = ConditionEncoder(VOCABULARY, (SIZE, SIZE)).encode([{}] * images).to(device)

    def predict(x: Tensor, t: Tensor, told: ConditionBatch) -> Tensor:
        prediction: Tensor = network(x, t.expand(len(x)) / 1000, told)
        return prediction

    @torch.inference_mode()
    def run() -> object:
        scheduler = DPMSolverSinglestepScheduler(
            num_train_timesteps=500,
            beta_start=1e-4,
            beta_end=0.028,
            solver_order=3,
            lower_order_final=True,
        )
        scheduler.set_timesteps(50)
        x = placed
        with autocast(device):
            for t in scheduler.timesteps:
                free = predict(x, t.to(device), conditions.null())
                told = predict(x, t.to(device), conditions)
                x = scheduler.step(free + 2.8 * (told - free), t, x).prev_sample
        return x.cpu()

    return run


def main() -> None:
    """Time all ways in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device, n = resolve_device(arguments.device), arguments.images
    ways: dict[str, Callable[[], object]] = {
        OURS: ours(2, 12, n, device),
        "(a) the same network on pixels, 12 evaluations": ours(1, 12, n, device),
        "(b) diffusers DDPM, 50 steps": pipeline("DDPM", n, device),
        "(b) diffusers DDIM, 50 steps": pipeline("DDIM", n, device),
        "(c) BUSGen's setting: 100 passes": busgen(n, device),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(arguments.turns + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
    print(f"{n} images of {SIZE} pixels, {device}, {torch.get_num_threads()} threads\n")
    print("| way | ms an image | times ours (range of turns) |\n|---|---|---|")
    for name, own in seconds.items():
        ratios = sorted(a / b for a, b in zip(own, seconds[OURS], strict=True))
        print(
            f"| {name} | {1000 * statistics.median(own) / n:.0f} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )


if __name__ == "__main__":
    main()
