"""Time of a private step beside a step without privacy, and beside other ways to be private.

    python -m benchmarks.dp_step [--turns N] [--patients N] [--threads N]

One network of preset small-64, whole and with low-rank updates of rank 8, on the same made-up rows.
All ways run in turn in one process with as many threads each; read the ratios.

- plain: one batch, one backward pass
- ours: each patient alone on a thread, clipped once, summed in double precision, noise of ChaCha20
- Opacus: its hooks, and its ghost clipping, on the rows as single examples. As they come, both
  misread the memory layout behind the attention of diffusers; they are timed as they come
- functorch: torch.func.vmap of the gradient over patients

Rows of a patient are two images times the draws of noise; Opacus and functorch clip rows or
patients as they can, so only the time compares.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.diffusion import Denoiser, edm_loss
from bussynth.generator.lora import inject
from bussynth.generator.network import Architecture
from bussynth.generator.presets import PRESETS
from bussynth.generator.training import build_denoiser
from privacy.dp.clipping import PatientSum
from privacy.dp.threads import Threads

__all__ = ["main"]

SIZE = (64, 64)
VOCABULARY = {"pathology": ("benign", "malignant"), "device": ("a", "b")}
IMAGES = 2
PLAIN = "plain"


class Rows:
    """Made-up rows, those of a patient together.

    Args:
        patients: How many.
        each: Rows a patient.
    """

    def __init__(self, patients: int, each: int) -> None:
        self.patients, self.each, n = patients, each, patients * each
        chance = torch.Generator().manual_seed(0)
        shape = n, 4, 32, 32
        self.clean = 0.5 * torch.randn(shape, generator=chance)
        self.noise = torch.randn(shape, generator=chance)
        self.sigma = torch.randn(n, generator=chance).exp()
        codes = torch.randint(0, 3, (n, len(VOCABULARY)), generator=chance)
        none = torch.zeros(n, dtype=torch.int64)
        self.conditions = ConditionBatch(codes, none, torch.zeros(n, 4))

    def losses(self, denoiser: Denoiser, rows: slice) -> Tensor:
        """Loss of each of some rows."""
        return edm_loss(
            denoiser,
            self.clean[rows].to(memory_format=torch.channels_last),
            self.noise[rows].to(memory_format=torch.channels_last),
            self.sigma[rows],
            self.conditions[rows],
        )


def network(*, adapted: bool) -> Denoiser:
    """The network of preset small-64, with low-rank updates or without."""
    denoiser = build_denoiser(Architecture.of(PRESETS["small-64"], SIZE, VOCABULARY), 0).train()
    if adapted:
        inject(denoiser, 8, 8.0, ("attention", "convolution", "projection"), 0)
    return denoiser


def trained(module: nn.Module) -> list[nn.Parameter]:
    """Parameters that are trained."""
    return [p for p in module.parameters() if p.requires_grad]


def plain(rows: Rows, *, adapted: bool) -> Callable[[], object]:
    """A step without privacy."""
    denoiser = network(adapted=adapted)
    optimizer = torch.optim.AdamW(trained(denoiser))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        rows.losses(denoiser, slice(None)).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def ours(rows: Rows, pool: Threads, *, adapted: bool) -> Callable[[], object]:
    """A step as :func:`privacy.dp.training.private_steps` takes it, without the ledger."""
    denoiser = network(adapted=adapted)
    parameters = trained(denoiser)
    optimizer, total = torch.optim.AdamW(parameters), PatientSum(parameters, 1.0)

    def gradients(patient: int) -> tuple[Tensor, ...]:
        own = slice(patient * rows.each, (patient + 1) * rows.each)
        return torch.autograd.grad(rows.losses(denoiser, own).mean(), parameters, allow_unused=True)

    def step() -> None:
        for found in pool.map(gradients, range(rows.patients)):
            if isinstance(found, Exception):
                raise found
            total.add(found)
        total.release(1.0, float(rows.patients))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def noise(rows: Rows, *, adapted: bool) -> Callable[[], object]:
    """The secret noise of one of our steps, which does not grow with the patients."""
    total = PatientSum(trained(network(adapted=adapted)), 1.0)
    return lambda: total.release(1.0, float(rows.patients))


def opacus(rows: Rows, mode: str, *, adapted: bool) -> Callable[[], object]:
    """A step of Opacus on single rows."""
    from opacus import GradSampleModule
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping

    denoiser = network(adapted=adapted)
    n = rows.patients * rows.each
    inner = torch.optim.AdamW(trained(denoiser))
    common = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "expected_batch_size": n}
    if mode == "hooks":
        wrapped = GradSampleModule(denoiser, loss_reduction="mean")
        optimizer = DPOptimizer(inner, loss_reduction="mean", **common)
    else:
        wrapped = GradSampleModuleFastGradientClipping(
            denoiser, max_grad_norm=1.0, use_ghost_clipping=True, loss_reduction="mean"
        )
        optimizer = DPOptimizerFastGradientClipping(inner, loss_reduction="mean", **common)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses = rows.losses(wrapped, slice(None))
        if mode == "hooks":
            losses.mean().backward()  # type: ignore[no-untyped-call]
        else:
            losses.mean().backward(retain_graph=True)  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            wrapped.disable_hooks()
            (wrapped.get_clipping_coef() * losses).sum().backward()
            wrapped.enable_hooks()
        optimizer.step()

    # edm_loss reads it from the denoiser it is given.
    wrapped.prediction = denoiser.prediction  # type: ignore[assignment]
    return step


def functorch(rows: Rows, *, adapted: bool) -> Callable[[], object]:
    """Gradients by patient through torch.func."""
    denoiser = network(adapted=adapted)
    names = [name for name, p in denoiser.named_parameters() if p.requires_grad]
    values = {name: p.detach() for name, p in denoiser.named_parameters()}
    parameters = [values[name] for name in names]
    total = PatientSum([nn.Parameter(value) for value in parameters], 1.0)
    shape = rows.patients, rows.each

    def by_patient(value: Tensor) -> Tensor:
        return value.view(*shape, *value.shape[1:])

    def loss(own: tuple[Tensor, ...], clean: Tensor, noise: Tensor, sigma: Tensor, codes: Tensor,
             state: Tensor, boxes: Tensor) -> Tensor:  # fmt: skip
        weights = values | dict(zip(names, own, strict=True))

        def call(*arguments: Tensor) -> Tensor:
            return torch.as_tensor(torch.func.functional_call(denoiser, weights, arguments))

        return edm_loss(call, clean, noise, sigma, ConditionBatch(codes, state, boxes)).mean()

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0, 0, 0, 0))

    def step() -> None:
        c = rows.conditions
        found = gradients(tuple(parameters), *map(by_patient, (
            rows.clean, rows.noise, rows.sigma, c.codes, c.box_state, c.boxes,
        )))  # fmt: skip
        for patient in range(rows.patients):
            total.add([value[patient] for value in found])
        total.release(1.0, float(rows.patients))

    return step


def main() -> None:
    """Time all ways in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--patients", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    with Threads(arguments.threads) as pool:
        for adapted in (False, True):
            for draws in (1, 4):
                rows = Rows(arguments.patients, IMAGES * draws)
                ways = {
                    PLAIN: plain(rows, adapted=adapted),
                    "ours": ours(rows, pool, adapted=adapted),
                    "of that, noise": noise(rows, adapted=adapted),
                    "Opacus, hooks": opacus(rows, "hooks", adapted=adapted),
                    "Opacus, ghost": opacus(rows, "ghost", adapted=adapted),
                    "functorch": functorch(rows, adapted=adapted),
                }
                what = "rank 8" if adapted else "all weights"
                print(f"{what}, {arguments.patients} patients, {IMAGES} images, {draws} draws")
                _compare(ways, arguments.turns)


def _compare(ways: dict[str, Callable[[], object]], turns: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, run in list(ways.items()):
            start = time.perf_counter()
            try:
                run()
            except Exception as error:
                print(f"  {name}: cannot, {type(error).__name__}")
                del ways[name]
                continue
            if turn:
                seconds[name].append(time.perf_counter() - start)
    for name in ways:
        ratios = [own / one for own, one in zip(seconds[name], seconds[PLAIN], strict=True)]
        print(
            f"  {name}: {statistics.median(seconds[name]):.2f} s, "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of plain"
        )


if __name__ == "__main__":
    main()
