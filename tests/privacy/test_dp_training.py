"""Replay: what a training releases on data that differ in one patient, step by step.

After the idea of Re:cord-play (arXiv:2602.17454): draws and noise are fixed, the weights of both
runs follow one script, and each quantity released may differ by the clipping norm at most. The same
harness must notice every known way to get it wrong.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from privacy.dp import clipping, training
from privacy.dp.clipping import PatientSum
from privacy.dp.errors import BudgetError, DPInputError
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.plan import DPPlan
from privacy.dp.threads import Threads
from privacy.dp.training import private_steps

CAP = Cap(epsilon=50.0, delta=1e-5, patients=1000)
PLAN = DPPlan(
    sampling_rate=0.2,
    expected_patients=8.0,
    steps=6,
    noise_multiplier=2.0,
    clip_norm=0.5,
    images_per_patient=2,
    noise_multiplicity=3,
)
Patient = Tensor  # images of one patient, (n, 1, 4, 4)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(), nn.Linear(64, 1)
    )


def denoising(module: nn.Module, patients: Sequence[Patient], plan: DPPlan) -> training.Losses:
    """A loss like that of a diffusion model: several draws of noise for each image."""

    def losses(chosen: int, step: int) -> Tensor:
        images = patients[chosen]
        # What belongs to the patient alone may decide, and not the place among the others.
        key = hash((step, *images.flatten()[:8].tolist())) % 2**31
        random = torch.Generator().manual_seed(key)
        picked = images[torch.randint(len(images), (plan.images_per_patient,), generator=random)]
        rows = picked.repeat_interleave(plan.noise_multiplicity, dim=0)
        rows = rows + torch.randn(rows.shape, generator=random)
        return torch.as_tensor(module(rows).squeeze(1).square())

    return losses


class Replay(torch.optim.SGD):
    """Keeps what is released, and moves the weights by a script instead."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        super().__init__(parameters, lr=0.1)
        self.released: list[Tensor] = []
        self.script = torch.Generator().manual_seed(7)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        parameters = [p for group in self.param_groups for p in group["params"]]
        self.released.append(torch.cat([torch.as_tensor(p.grad).flatten() for p in parameters]))
        with torch.no_grad():
            for p in parameters:
                p += 0.1 * torch.randn(p.shape, generator=self.script)


def scripted(draws: Iterable[Sequence[int]]) -> Callable[..., list[int]]:
    """Draws of patients as they are told."""
    at = iter(draws)

    def draw(*_: object) -> list[int]:
        drawn = next(at, None)
        assert drawn is not None, "more steps than were planned"
        return list(drawn)

    return draw


def released(
    patients: Sequence[Patient],
    draws: Sequence[Sequence[int]],
    ledger: Ledger,
    plan: DPPlan = PLAN,
    threads: int = 1,
) -> list[Tensor]:
    """Run to the end, in several runs: the first stops, and those that fail are started again."""
    module = network()
    identity = ledger.register("replay", plan.mechanism)
    optimizer = Replay(list(module.parameters()))
    losses, script = denoising(module, patients, plan), scripted(draws)

    def taken() -> int:
        return next(one.taken for one in ledger.registered() if one.identity == identity)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "poisson_sample", script)
        patch.setattr(clipping, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))
        stop: int | None = 2
        while taken() < plan.steps:
            steps = private_steps(
                module, losses, len(patients), plan, ledger, identity, optimizer, threads=threads
            )
            with contextlib.suppress(OSError, RuntimeError):
                for _ in itertools.islice(steps, stop):
                    pass
            steps.close()
            stop = None
    assert taken() == len(optimizer.released) == plan.steps, "steps and charges differ"
    return optimizer.released


def ordinary(count: int = 9) -> list[Patient]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(1 + i % 3, 1, 4, 4, generator=random) for i in range(count)]


class Unreadable(Tensor):
    """Images whose file cannot be read."""

    def __len__(self) -> int:
        raise OSError("unreadable")

    def flatten(self, *_: int) -> Tensor:
        raise OSError("unreadable")


ADVERSARIES: dict[str, Patient] = {
    "usual": torch.full((2, 1, 4, 4), 0.5),
    "a thousand images": torch.full((1000, 1, 4, 4), 3.0),
    "huge": torch.full((2, 1, 4, 4), 1e6),
    "beyond float": torch.full((2, 1, 4, 4), 1e30),
    "not a number": torch.full((2, 1, 4, 4), math.nan),
    "infinite": torch.full((2, 1, 4, 4), math.inf),
    "one bad image": torch.cat([torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), math.nan)]),
    "no images": torch.empty(0, 1, 4, 4),
    "unreadable": torch.zeros(2, 1, 4, 4).as_subclass(Unreadable),
}
# Of the others; the adversary, "+", is in most steps: with others, alone, and not at all.
DRAWS: list[list[int | str]] = [[0, 3, "+"], ["+"], [], [1, 2, 4, 5, "+"], [7, 8], [0, "+"]]


def check_adding_one(adversary: Patient, ledger: Ledger, place: int = 9, threads: int = 1) -> None:
    """Everything released, with and without one patient, who comes at a place among the others."""
    others = ordinary()
    ordinary_draws = [[i for i in one if isinstance(i, int)] for one in DRAWS]
    without = released(others, ordinary_draws, ledger, threads=threads)

    def moved(one: int | str) -> int:
        return place if isinstance(one, str) else one + (one >= place)

    draws = [sorted(moved(one) for one in step) for step in DRAWS]
    everybody = [*others[:place], adversary, *others[place:]]
    with_one = released(everybody, draws, ledger, threads=threads)
    bound = PLAN.clip_norm / PLAN.expected_patients
    for draw, a, b in zip(draws, without, with_one, strict=True):
        assert a.isfinite().all()
        assert b.isfinite().all()
        assert (a - b).norm() <= bound * (1 + 1e-6), "a patient changes more than the clipping norm"
        if place not in draw:
            assert torch.equal(a, b), "a patient who was not drawn changes something"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger.sqlite", subject="s", cap=CAP)


@pytest.mark.parametrize(("place", "threads"), [(0, 1), (4, 3), (9, 1)])
@pytest.mark.parametrize("name", ADVERSARIES)
def test_adding_a_patient_changes_each_sum_by_the_clipping_norm_at_most(
    name: str, place: int, threads: int, ledger: Ledger
) -> None:
    check_adding_one(ADVERSARIES[name], ledger, place, threads)


def test_patients_on_threads_are_summed_in_order(ledger: Ledger) -> None:
    draws = [[0, 1, 2, 3, 4, 5, 6, 7, 8], [], [8], [1, 3], [0, 2, 4, 6, 8], [5]]
    alone = released(ordinary(), draws, ledger)
    for a, b in zip(alone, released(ordinary(), draws, ledger, threads=4), strict=True):
        assert torch.equal(a, b)


def test_threads_leave_torch_as_it_was() -> None:
    usual = torch.get_num_threads()
    with Threads(2) as pool:
        assert list(pool.map(lambda _: torch.get_num_threads(), range(5))) == 5 * [1]
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == usual
    with Threads(3) as pool:
        found = list(pool.map(lambda i: 6 // i, range(4)))
    assert isinstance(found[0], ZeroDivisionError)
    assert found[1:] == [6, 3, 2]


def test_who_adds_nothing_does_not_turn_the_rounding_of_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred patients at the edge of a kink, where the last digit decides on the sign."""
    plan = DPPlan(sampling_rate=1.0, expected_patients=8.0, steps=1, noise_multiplier=9.0,
                  images_per_patient=1, noise_multiplicity=1)  # fmt: skip
    monkeypatch.setattr(clipping, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))
    random = torch.Generator().manual_seed(0)
    given = torch.randn(200, 1, 64, generator=random)
    weight = torch.randn(64, generator=random)
    given[:, 0] -= (given[:, 0] @ weight)[:, None] * weight / weight.square().sum()

    def gradient(patients: Tensor) -> Tensor:
        module = nn.Linear(64, 1, bias=False)
        with torch.no_grad():
            module.weight.copy_(weight[None])
        optimizer = Replay(list(module.parameters()))
        identity = ledger.register("rounding", plan.mechanism)

        def losses(chosen: int, step: int) -> Tensor:
            return torch.as_tensor(1e3 * module(patients[chosen]).abs().squeeze(1))

        for _ in private_steps(module, losses, len(patients), plan, ledger, identity, optimizer):
            pass
        return optimizer.released[0]

    nobody = torch.zeros(1, 1, 64)
    assert torch.equal(gradient(given), gradient(torch.cat([nobody, given])))


def edited(patch: pytest.MonkeyPatch, *changes: tuple[str, str]) -> None:
    """Put other lines into the source of the training."""
    source = inspect.getsource(training.private_steps)
    for old, new in changes:
        assert source.count(old) == 1
        source = source.replace(old, new)
    made: dict[str, Any] = {}
    exec(source, vars(training), made)
    patch.setitem(globals(), "private_steps", made["private_steps"])


def clip_each_copy(patch: pytest.MonkeyPatch) -> None:
    """Rows are clipped one by one, as in the code of arXiv:2406.01355."""
    edited(
        patch,
        (
            "return patient_gradient(losses(patient, step), parameters, plan.rows)",
            "return [patient_gradient(losses(patient, step)[row, None], parameters, 1)\n"
            "                for row in range(plan.rows)]",
        ),
        ("total.add(found)", "[total.add(one) for one in found]"),
    )


def scale_by_population(patch: pytest.MonkeyPatch) -> None:
    """The mean is over what the data hold, as in Opacus' make_private (issues 571 and 819)."""
    edited(patch, ("plan.expected_patients)", "population * plan.sampling_rate)"))


def skip_empty_steps(patch: pytest.MonkeyPatch) -> None:
    """A step without patients releases nothing."""
    call = "drawn = poisson_sample(population, plan.sampling_rate)\n"
    edited(patch, (call, f"{call}            if not drawn:\n                continue\n"))


def resume_without_charge(patch: pytest.MonkeyPatch) -> None:
    """The second run does not pay."""
    call = "ledger.charge(identity)"
    edited(patch, (f"step = {call}", f"step = 1 if registered.taken else {call}"))


def no_clipping(patch: pytest.MonkeyPatch) -> None:
    """The bound is not enforced."""
    patch.setattr(training, "PatientSum", lambda p, clip_norm: PatientSum(p, 1e9))


def stop_at_errors(patch: pytest.MonkeyPatch) -> None:
    """A patient who cannot be read ends the step before it is released."""
    edited(patch, ("                    failure = error", "                    raise"))


@pytest.mark.parametrize(
    ("mutate", "name"),
    [
        (clip_each_copy, "huge"),
        (scale_by_population, "usual"),
        (skip_empty_steps, "usual"),
        (resume_without_charge, "usual"),
        (no_clipping, "huge"),
        (stop_at_errors, "unreadable"),
    ],
)
def test_the_replay_notices_known_bugs(
    mutate: Callable[[pytest.MonkeyPatch], None],
    name: str,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        check_adding_one(ADVERSARIES[name], ledger)


def test_nothing_is_released_before_it_is_charged(ledger: Ledger) -> None:
    module = network()
    identity = ledger.register("training", PLAN.mechanism)

    def crash(chosen: int, step: int) -> Tensor:
        raise KeyboardInterrupt

    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    plan_draws_all = 1000
    with pytest.raises(KeyboardInterrupt):
        next(private_steps(module, crash, plan_draws_all, PLAN, ledger, identity, optimizer))
    (one,) = ledger.registered()
    assert one.taken == 1
    assert all(p.requires_grad for p in module.parameters()), "the module is as it was"


def test_a_plan_that_was_not_registered_is_refused(ledger: Ledger) -> None:
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    identity = ledger.register("training", PLAN.mechanism)
    less = DPPlan(sampling_rate=0.2, expected_patients=8.0, steps=6, noise_multiplier=0.1)
    losses = denoising(module, ordinary(), PLAN)
    for plan, name in ((less, identity), (PLAN, "f" * 16)):
        with pytest.raises(DPInputError, match="no such mechanism"):
            next(private_steps(module, losses, 9, plan, ledger, name, optimizer))
    assert ledger.registered()[0].taken == 0
    few = torch.optim.SGD([next(module.parameters())], lr=0.1)
    with pytest.raises(DPInputError, match="exactly the trainable"):
        next(private_steps(module, losses, 9, PLAN, ledger, identity, few))
    everybody = DPPlan(sampling_rate=1.0, expected_patients=8.0, steps=1, noise_multiplier=9.0)
    other = ledger.register("training", everybody.mechanism)

    def one_loss(chosen: int, step: int) -> Tensor:
        return torch.zeros(1, requires_grad=True)

    steps = private_steps(module, one_loss, 9, everybody, ledger, other, optimizer)
    with pytest.raises(DPInputError, match="one a row"):
        next(steps)


def test_training_learns_where_noise_is_small(tmp_path: Path) -> None:
    ledger = Ledger.create(
        tmp_path / "l", subject="s", cap=Cap(epsilon=1e6, delta=1e-5, patients=100)
    )
    plan = DPPlan(
        sampling_rate=0.5, expected_patients=8.0, steps=60, noise_multiplier=0.3, clip_norm=0.1,
        images_per_patient=1, noise_multiplicity=1,
    )  # fmt: skip
    torch.manual_seed(0)
    given = torch.randn(16, 4)
    wanted = given @ torch.tensor([1.0, -1.0, 0.5, 0.0])
    module = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)

    def losses(chosen: int, step: int) -> Tensor:
        return torch.as_tensor((module(given[chosen]) - wanted[chosen]).square())

    def error() -> float:
        return torch.stack([losses(i, 0) for i in range(16)]).mean().item()

    before = error()
    identity = ledger.register("training", plan.mechanism)
    steps = list(private_steps(module, losses, 16, plan, ledger, identity, optimizer))
    assert steps == list(range(1, 61))
    assert error() < 0.3 * before
    with pytest.raises(BudgetError):
        ledger.charge(identity)


def test_plans_out_of_range() -> None:
    for wrong in ({"steps": 0}, {"expected_patients": 0.0}, {"clip_norm": math.inf},
                  {"images_per_patient": 0}, {"noise_multiplicity": True}):  # fmt: skip
        fields = {"sampling_rate": 0.1, "expected_patients": 8.0, "steps": 5} | wrong
        with pytest.raises(DPInputError, match=next(iter(wrong))):
            DPPlan(noise_multiplier=1.0, **fields)  # type: ignore[arg-type]
    with pytest.raises(DPInputError, match="noise_multiplier"):
        DPPlan(sampling_rate=0.1, expected_patients=8.0, steps=5, noise_multiplier=0.0)
    assert PLAN.noise_to_signal(400) == pytest.approx(2.0 * 20 / 8)
