"""What is found when made-up patients are computed, for every fault that a network can have."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privacy.dp import clipping, gradient_check
from privacy.dp.check import Check
from privacy.dp.clipping import PatientSum
from privacy.dp.errors import DPInputError
from privacy.dp.gradient_check import Rows, check_gradients, extreme_patients, gradient_of
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.patient_gradient import patient_gradient
from privacy.dp.plan import DPPlan
from privacy.dp.training import private_steps

ROWS = 4


def patients(count: int = 3) -> list[Rows]:
    stream = torch.Generator().manual_seed(2)
    return [(torch.randn(ROWS, 1, 4, 4, generator=stream),) for _ in range(count)]


def losses(module: nn.Module, rows: Rows) -> Tensor:
    return torch.as_tensor(module(rows[0]).flatten(1).square().mean(dim=1))


def network(*inside: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), *inside, nn.SiLU(), nn.Flatten(), nn.Linear(64, 2)
    )


def checked(
    module: nn.Module, loss: Callable[[nn.Module, Rows], Tensor] = losses, threads: int = 2
) -> dict[str, Check]:
    return {one.name: one for one in check_gradients(module, loss, patients(), threads=threads)}


def test_a_sound_network_passes_and_is_not_changed() -> None:
    module = network(nn.GroupNorm(2, 4))
    nn.init.zeros_(module[-1].weight)  # a start that hides all layers before it
    before = [one.detach().clone() for one in module.parameters()]
    found = checked(module)
    assert [one.state for one in found.values()] == 4 * ["ok"], found
    assert list(found) == ["nothing is kept", "rows alone", "others", "reach"]
    assert all(map(torch.equal, before, module.parameters()))
    assert all(one.grad is None for one in module.parameters())
    rows = found["rows alone"].measured
    assert rows["float64"] < 1e-14
    assert 1e-9 < rows["float32"] < 1e-5
    assert found["others"].measured["compared"] == 14
    assert all(one.seconds > 0 for one in found.values())


class Counting(nn.Module):
    """Keeps the number of calls as a buffer, a tensor or a plain number."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("count", torch.zeros(()))
        self.seen, self.calls = torch.zeros(()), 0

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "buffer":
            self.count += 1
        elif self.how == "tensor":
            self.seen = self.seen + x.detach().sum()
        else:
            self.calls += 1
        return x


@pytest.mark.parametrize(
    ("how", "name"), [("buffer", "1.count"), ("tensor", "1.seen"), ("number", "1.calls")]
)
def test_what_a_network_keeps_is_found(how: str, name: str) -> None:
    found = checked(network(Counting(how)))
    (problem,) = found["nothing is kept"].problems
    assert problem.startswith(f"{name}: computing a patient changes it")
    assert found["others"].state == "ok", "it is kept, and not used"


def test_running_statistics_are_found_and_so_is_the_batch_that_they_are_of() -> None:
    found = checked(network(nn.BatchNorm2d(4)))
    assert {text.split(":")[0] for text in found["nothing is kept"].problems} == {
        "1.running_mean", "1.running_var", "1.num_batches_tracked",
    }  # fmt: skip
    assert "rows are mixed" in found["rows alone"].problems[0]


class Drawing(nn.Module):
    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + 0.1 * self.draw())


def numpy_draw() -> float:
    return float(np.random.rand())


@pytest.mark.parametrize(
    ("stream", "draw"),
    [
        ("torch", lambda: float(torch.rand(()))),
        ("numpy", numpy_draw),
        ("random", random.random),
    ],
)
def test_streams_that_patients_share_are_found(stream: str, draw: Callable[[], float]) -> None:
    found = checked(network(Drawing(draw)))
    (problem,) = found["nothing is kept"].problems
    assert problem.startswith(f"{stream}: computing a patient draws")
    assert "when computed again" in found["others"].warnings[0]
    assert found["others"].measured["compared"] == 0


class Mixing(nn.Module):
    """Every row gets something of the others."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0)


def test_rows_that_are_mixed_are_found() -> None:
    assert "rows are mixed" in checked(network(Mixing()))["rows alone"].problems[0]

    def contrast(module: nn.Module, rows: Rows) -> Tensor:
        out = module(rows[0])
        return torch.as_tensor((out @ out.T).square().mean(dim=1))

    assert "a loss that keep" in checked(network(), contrast)["rows alone"].problems[0]


class Remembering(nn.Module):
    """What was computed before comes into what is computed now."""

    def __init__(self) -> None:
        super().__init__()
        self.last: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        shift = self.last[-1] if self.last else torch.zeros(())
        self.last.append(x.detach().mean().clamp(-1, 1).nan_to_num())
        return x + shift


@pytest.mark.parametrize("threads", [1, 2])
def test_a_patient_who_depends_on_others_is_found(threads: int) -> None:
    found = checked(network(Remembering()), threads=threads)["others"]
    assert found.state == "problem"
    assert len(found.problems) == threads
    assert "after or beside other patients (1 at a time)" in found.problems[0]


class Unsafe(nn.Module):
    """Sound for one patient at a time, and not for two."""

    inside = 0

    def forward(self, x: Tensor) -> Tensor:
        import time

        Unsafe.inside += 1
        time.sleep(0.02)
        out = x * Unsafe.inside
        Unsafe.inside -= 1
        return out


def test_patients_at_the_same_time_are_tried() -> None:
    found = checked(network(Unsafe()), threads=3)["others"]
    (problem,) = found.problems
    assert "(3 at a time)" in problem


def test_weights_that_no_patient_moves_are_said() -> None:
    module = network()
    module.spare = nn.Parameter(torch.zeros(3))
    found = checked(module)["reach"]
    assert found.state == "warning"
    assert found.warnings == ("spare: no patient moves it, so it gets noise alone",)


def test_rounding_that_is_coarse_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_check, "_ROUNDING", 1e-20)
    found = checked(network())["rows alone"]
    assert found.state == "warning"
    assert "single precision" in found.warnings[0]


def wrong_number(module: nn.Module, rows: Rows) -> Tensor:
    return losses(module, rows)[:1]


def no_number(module: nn.Module, rows: Rows) -> Tensor:
    return losses(module, rows) * torch.nan


@pytest.mark.parametrize(
    ("loss", "message"), [(wrong_number, "one a row"), (no_number, "zero or no number")]
)
def test_losses_of_no_use_are_a_problem_and_no_end(
    loss: Callable[[nn.Module, Rows], Tensor], message: str
) -> None:
    assert message in checked(network(), loss)["rows alone"].problems[0]


def test_a_network_without_weights_cannot_be_tried() -> None:
    (found,) = check_gradients(nn.LazyLinear(2), losses, patients())
    assert found.state == "problem"


def test_extremes_leave_whole_numbers_alone() -> None:
    for name, rows in extreme_patients((torch.ones(2), torch.arange(2))).items():
        assert rows[1].tolist() == [0, 1], name
        assert not (rows[0].abs() < 1e29).any()


def test_a_patient_s_gradient_is_that_of_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is checked is what is trained, to the last bit."""
    plan = DPPlan(sampling_rate=1.0, expected_patients=4.0, steps=1, noise_multiplier=9.0,
                  images_per_patient=1, noise_multiplicity=ROWS)  # fmt: skip
    monkeypatch.setattr(clipping, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))
    given, module = patients(), network(nn.GroupNorm(2, 4))
    cap = Cap(epsilon=50.0, delta=1e-5, patients=1000)
    ledger = Ledger.create(tmp_path / "ledger", subject="s", cap=cap)
    released: list[Tensor] = []

    class Keep(torch.optim.SGD):
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            released.extend(torch.as_tensor(p.grad).clone() for p in module.parameters())

    total = PatientSum(list(module.parameters()), plan.clip_norm)
    for rows in given:
        total.add(gradient_of(module, losses, rows))
    total.release(plan.noise_multiplier, plan.expected_patients)
    expected = [torch.as_tensor(p.grad).clone() for p in module.parameters()]

    def of(patient: int, step: int) -> Tensor:
        return losses(module, given[patient])

    identity = ledger.register("training", plan.mechanism)
    optimizer = Keep(module.parameters(), lr=0.1)
    next(private_steps(module, of, len(given), plan, ledger, identity, optimizer))
    assert all(map(torch.equal, released, expected))


def test_a_gradient_needs_one_loss_a_row() -> None:
    weight = torch.ones(2, requires_grad=True)
    unused = torch.ones(1, requires_grad=True)
    found: Sequence[Tensor | None] = patient_gradient(weight * 3, [weight, unused], 2)
    assert found[0] is not None
    assert found[0].tolist() == [1.5, 1.5]
    assert found[1] is None
    with pytest.raises(DPInputError, match=r"expected shape \(3,\), one a row. Got \(2,\)"):
        patient_gradient(weight * 3, [weight], 3)
