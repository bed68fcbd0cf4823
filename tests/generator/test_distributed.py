"""What can be told of several processes without starting them; test_training starts some."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist

from bussynth.errors import UsageError
from bussynth.generator.device import resolve_device
from bussynth.generator.distributed import World


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine of two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("WORLD_SIZE", "LOCAL_RANK", "RANK"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_each_process_has_a_gpu_of_its_own(gpus: pytest.MonkeyPatch) -> None:
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda")
    gpus.setenv("WORLD_SIZE", "4")
    gpus.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda:1")
    # What is asked for by number or as the CPU is what is taken.
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    assert resolve_device("cpu") == torch.device("cpu")
    gpus.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match="process 3 of this machine, which has 2 GPUs"):
        resolve_device("auto")


@pytest.mark.parametrize(
    ("device", "backend"), [("cuda:1", "nccl"), ("cpu", "gloo"), (None, "gloo")]
)
def test_processes_talk_as_the_device_does(
    gpus: pytest.MonkeyPatch, device: str | None, backend: str
) -> None:
    joined: list[tuple[str, timedelta]] = []
    current: list[Any] = []

    def join(backend: str, timeout: timedelta) -> None:
        joined.append((backend, timeout))

    gpus.setenv("WORLD_SIZE", "4")
    gpus.setattr(dist, "is_initialized", lambda: bool(joined))
    gpus.setattr(dist, "init_process_group", join)
    gpus.setattr(dist, "get_rank", lambda: 3)
    gpus.setattr(dist, "get_world_size", lambda: 4)
    gpus.setattr(torch.cuda, "set_device", current.append)
    asked = None if device is None else torch.device(device)
    for _ in range(2):
        assert World.current(asked) == World(3, 4)
    assert [name for name, _ in joined] == [backend]
    assert joined[0][1] >= timedelta(hours=12)
    assert current == ([asked] if backend == "nccl" else [])


def test_alone_nothing_is_exchanged() -> None:
    loss = torch.tensor(2.0)
    assert World().outcome(loss, True) == (loss, True)
    assert World().agree(3.0) == 3.0


def test_a_failure_of_one_is_a_failure_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def add_the_other(shared: torch.Tensor) -> None:
        shared += torch.tensor([4.0, 1.0])

    monkeypatch.setattr(dist, "all_reduce", add_the_other)
    loss, failed = World(0, 2).outcome(torch.tensor(2.0), False)
    assert (loss.item(), failed) == (3.0, True)
