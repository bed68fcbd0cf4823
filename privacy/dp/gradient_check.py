"""Gradients of made-up patients: does what one adds depend on that patient alone?

What a training rests on cannot be read off layers, so it is tried out on a copy of the network: the
gradient of a patient is the mean of the gradients of that patient's rows, and the same to the last
bit whoever else is computed before, after or at the same time; nothing of it stays in the network,
and nothing is drawn from a stream that patients share.

Works on any module, with a loss of rows and tensors to compute it of::

    def losses(module, rows):
        images, noise = rows
        return (module(images + noise) - images).square().mean(dim=(1, 2, 3))


    patients = [(torch.randn(8, 1, 16, 16), torch.randn(8, 1, 16, 16)) for _ in range(3)]
    for check in check_gradients(module, losses, patients):
        print(check.name, check.state, check.text, *check.problems)
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from privacy.dp.check import Check, timed
from privacy.dp.patient_gradient import patient_gradient
from privacy.dp.threads import Threads

__all__ = ["Gradient", "RowLosses", "Rows", "check_gradients", "extreme_patients", "gradient_of"]

#: What the rows of a patient are computed from: tensors whose first dimension counts rows.
Rows: TypeAlias = tuple[Tensor, ...]
#: Losses of rows, float (rows,), of a network and what the rows are computed from.
RowLosses: TypeAlias = Callable[[nn.Module, Rows], Tensor]
#: Gradient of each trained parameter, or None.
Gradient: TypeAlias = tuple[Tensor | None, ...]

# In double precision rows agree to about 1e-15; with a part in single precision, to 1e-7.
_ROUNDING: Final = 1e-9
_MIXING: Final = 1e-5
# Layers that start at zero would hide those before them.
_MOVED: Final = 0.01
_HUGE: Final = 1e30


def gradient_of(module: nn.Module, losses: RowLosses, patient: Rows) -> Gradient:
    """Gradient of a patient with respect to what is trained, as a private training computes it.

    Args:
        module: The network.
        losses: See :data:`RowLosses`.
        patient: Rows of the patient.

    Raises:
        DPInputError: There is not one loss a row.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return patient_gradient(losses(module, patient), trained, len(patient[0]))


def extreme_patients(patient: Rows) -> dict[str, Rows]:
    """A patient whose numbers are huge, infinite, or no numbers, by name."""

    def filled(change: Callable[[Tensor], Tensor]) -> Rows:
        return tuple(change(one) if one.is_floating_point() else one for one in patient)

    return {
        "huge": filled(lambda one: one * _HUGE),
        "infinite": filled(lambda one: torch.full_like(one, torch.inf)),
        "not a number": filled(lambda one: torch.full_like(one, torch.nan)),
    }


def check_gradients(
    module: nn.Module, losses: RowLosses, patients: Sequence[Rows], *, threads: int = 1
) -> Iterator[Check]:
    """Compute made-up patients on copies of a network; yields a check after the other.

    Args:
        module: In training mode; parameters that require a gradient are the trained ones. It is
            not changed.
        losses: See :data:`RowLosses`; without randomness of its own.
        patients: Two or more, with the same number of rows, which is two or more.
        threads: As many patients at a time are tried out as well, on the processor.
    """
    try:
        moved = _moved(module)
    except (RuntimeError, ValueError) as error:
        reason = f"{type(error).__name__}: the network cannot be copied, so nothing can be tried"
        yield Check(name="gradients", text="could not be computed", problems=(reason,))
        return
    yield timed("nothing is kept", lambda: _check_kept(moved, losses, patients))
    yield timed("rows alone", lambda: _check_rows(moved, losses, patients))
    yield timed("others", lambda: _check_others(moved, losses, patients, threads))
    yield timed("reach", lambda: _check_reach(moved, losses, patients))


def _moved(module: nn.Module) -> nn.Module:
    """A copy, a little off its start."""
    moved, stream = copy.deepcopy(module), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in moved.parameters():
            if parameter.requires_grad:
                step = torch.randn(parameter.shape, generator=stream)
                parameter.add_(step.to(parameter), alpha=_MOVED)
    return moved


def _check_kept(module: nn.Module, losses: RowLosses, patients: Sequence[Rows]) -> Check:
    """Whether a network is the same after patients were computed, and so is every stream."""
    used = copy.deepcopy(module)
    before, streams = _state(used), _streams(used)
    for patient in patients:
        gradient_of(used, losses, patient)
    problems = [
        f"{name}: computing a patient changes it, which is a look without noise; keep nothing of "
        "patients in the network"
        for name, value in _state(used).items()
        if name not in before or not _same(before[name], value)
    ]
    problems += [
        f"{name}: computing a patient draws from this stream, which all share; draw afresh for "
        "every patient, outside of the network"
        for name, value in _streams(used).items()
        if value != streams[name]
    ]
    return Check(
        name="nothing is kept",
        text=f"{len(before)} parameters, buffers and attributes, {len(streams)} random streams",
        problems=tuple(problems),
    )


def _state(module: nn.Module) -> dict[str, Tensor | float]:
    """Parameters, buffers and plain attributes that are tensors or numbers; copies."""
    kept: dict[str, Tensor | float] = {}
    for name, layer in module.named_modules():
        tensors = [*layer._parameters.items(), *layer._buffers.items(), *vars(layer).items()]
        for key, value in tensors:
            where = f"{name}.{key}" if name else key
            if isinstance(value, Tensor):
                kept[where] = value.detach().clone()
            elif isinstance(value, (int, float)) and key != "training":
                kept[where] = value
    return kept


def _same(one: Tensor | float, other: Tensor | float) -> bool:
    """Whether two values are equal to the last bit; no numbers equal each other."""
    a, b = torch.as_tensor(one), torch.as_tensor(other)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _streams(module: nn.Module) -> dict[str, object]:
    """Where the random streams are that a network could draw from without being told."""
    states: dict[str, object] = {
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state(legacy=False)),
        "random": random.getstate(),
    }
    for device in {one.device for one in module.parameters() if one.device.type == "cuda"}:
        states[str(device)] = torch.cuda.get_rng_state(device).tolist()
    return states


def _check_rows(module: nn.Module, losses: RowLosses, patients: Sequence[Rows]) -> Check:
    """Whether the gradient of a patient is the mean of those of the rows, one at a time."""
    exact = copy.deepcopy(module).double()
    names = [name for name, one in exact.named_parameters() if one.requires_grad]
    worst, where, single, rounding = 0.0, "", 0.0, 0.0
    for patient in patients[:2]:
        precise = tuple(one.double() if one.is_floating_point() else one for one in patient)
        whole = gradient_of(exact, losses, precise)
        size = _norm(whole)
        if not (size > 0 and np.isfinite(size)):
            raise ValueError("the gradient of a made-up patient is zero or no number")
        apart = _difference(whole, _mean_of_rows(exact, losses, precise))
        if _norm(apart) / size > worst:
            worst = _norm(apart) / size
            where = max(zip(map(_norm, ([one] for one in apart)), names, strict=True))[1]
        plain = gradient_of(module, losses, patient)
        rows = _mean_of_rows(module, losses, patient)
        single = max(single, _norm(_difference(plain, rows)) / size)
        rounding = max(rounding, _norm(_difference(plain, whole)) / size)
    problems, warnings = [], []
    if worst > _MIXING:
        problems.append(
            f"{where}: in a batch, rows get another gradient than alone (by {worst:.1g} of its "
            "norm), so that rows are mixed; use layers and a loss that keep them apart"
        )
    elif worst > _ROUNDING:
        warnings.append(
            f"{where}: something is computed in single precision whatever the weights are, so that "
            "no more can be shown"
        )
    return Check(
        name="rows alone",
        text=f"a patient is the mean of the rows to {worst:.1g} of the norm in float64, "
        f"{single:.1g} in float32",
        problems=tuple(problems),
        warnings=tuple(warnings),
        measured={"float64": worst, "float32": single, "float32_to_float64": rounding},
    )


def _mean_of_rows(module: nn.Module, losses: RowLosses, patient: Rows) -> Gradient:
    """Mean of the gradients of single rows."""
    count = len(patient[0])
    total: list[Tensor | None] = []
    for row in range(count):
        try:
            one = gradient_of(module, losses, tuple(part[row : row + 1] for part in patient))
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"a row cannot be computed alone, so rows are mixed; use layers and a loss that "
                f"keep them apart ({error})"
            ) from error
        total = list(one) if not total else [_add(a, b) for a, b in zip(total, one, strict=True)]
    return tuple(None if one is None else one / count for one in total)


def _add(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


def _difference(one: Gradient, other: Gradient) -> Gradient:
    def minus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return _add(None if a is None else a.double(), None if b is None else -b.double())

    return tuple(minus(a, b) for a, b in zip(one, other, strict=True))


def _norm(gradient: Sequence[Tensor | None]) -> float:
    squares = [float(one.double().square().sum()) for one in gradient if one is not None]
    return float(np.sqrt(sum(squares)))


def _check_others(
    module: nn.Module, losses: RowLosses, patients: Sequence[Rows], threads: int
) -> Check:
    """Whether a patient's gradient is the same to the last bit whoever else is computed."""
    one, *rest = patients
    others = [*rest, *extreme_patients(one).values()]

    def gradients(count: int, network: nn.Module, given: Sequence[Rows]) -> list[Gradient]:
        found = []
        with Threads(count) as pool:
            for result in pool.map(lambda rows: gradient_of(network, losses, rows), given):
                if isinstance(result, Exception):
                    raise result
                found.append(result)
        return found

    problems, warnings, compared = [], [], 0
    for count in sorted({1, threads}):
        (alone,) = gradients(count, copy.deepcopy(module), [one])
        (again,) = gradients(count, copy.deepcopy(module), [one])
        if not _equal(alone, again):
            warnings.append(
                "a patient alone is not the same to the last bit when computed again, so that "
                "what others do to it cannot be told from the rounding of this device"
            )
            continue
        order = [one, *(part for other in others for part in (other, one)), *others, one]
        found = gradients(count, copy.deepcopy(module), order)
        mine = [gradient for rows, gradient in zip(order, found, strict=True) if rows is one]
        compared += len(mine)
        wrong = sum(not _equal(alone, gradient) for gradient in mine)
        if wrong:
            problems.append(
                f"{wrong} of {len(mine)} times the gradient of a patient is another one after or "
                f"beside other patients ({count} at a time); keep nothing in the network from one "
                "call to the next"
            )
    at_a_time = " and ".join(map(str, sorted({1, threads})))
    text = f"{compared} times the same to the last bit, before, behind and between others"
    if problems or not compared:
        text = "not the same to the last bit"
    return Check(
        name="others",
        text=f"{text} ({at_a_time} at a time)",
        problems=tuple(problems),
        warnings=tuple(dict.fromkeys(warnings)),
        measured={"compared": compared},
    )


def _equal(one: Gradient, other: Gradient) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a is b if a is None or b is None else _same(a, b) for a, b in pairs)


def _check_reach(module: nn.Module, losses: RowLosses, patients: Sequence[Rows]) -> Check:
    """Whether there are trained parameters that no patient moves."""
    used = copy.deepcopy(module)
    reached: Mapping[str, bool] = {
        name: False for name, one in used.named_parameters() if one.requires_grad
    }
    for patient in patients:
        found = zip(reached.items(), gradient_of(used, losses, patient), strict=True)
        reached = {
            name: before or (one is not None and bool(one.any())) for (name, before), one in found
        }
    idle = [name for name, moved in reached.items() if not moved]
    return Check(
        name="reach",
        text=f"{len(reached) - len(idle)} of {len(reached)} trained parameters get a gradient",
        warnings=tuple(f"{name}: no patient moves it, so it gets noise alone" for name in idle),
        measured={"parameters": len(reached), "idle": len(idle)},
    )
