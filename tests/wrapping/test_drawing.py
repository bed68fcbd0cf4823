"""From a model to a cohort, in pieces that survive a kill."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bussynth.config import RunOptions
from bussynth.errors import IntegrityError
from bussynth.ingest.geometry import Placement
from bussynth.wrapping.cohort import WrapResult, wrap_source
from bussynth.wrapping.config import WrapConfig
from bussynth.wrapping.sampler import FileSampler, check_sampler
from bussynth.wrapping.source import recognise

VOCABULARY = {"pathology": ["benign", "malignant"], "device": ["x", "y"]}


class Told(torch.nn.Module):
    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(noise + conditions.sum(1).view(-1, 1, 1, 1))


@pytest.fixture
def folder(tmp_path: Path, write_spec: Callable[..., Path]) -> Path:
    """A sampler of 8 x 12 pixels that heeds two conditions."""
    made = write_spec(tmp_path / "sampler", VOCABULARY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(Told()), made / "model.pt")
    return made


def wrap(folder: Path, name: str, batch_size: int | None = None, **options: Any) -> WrapResult:
    config = WrapConfig(**{"n": 150, "image_size": 12, "seed": 4} | options)
    run = RunOptions(device="cpu", batch_size=batch_size)
    return wrap_source(folder, folder.parent / name, config, options=run)


def test_rows_hold_what_was_asked_and_drawn(folder: Path) -> None:
    result = wrap(folder, "c", conditions={"device": "y"})
    rows = list(result.cohort)
    assert [row.id for row in rows] == [f"synthetic-{i:08d}" for i in range(150)]
    assert {row.conditions["device"] for row in rows} == {"y"}
    assert {row.conditions["pathology"] for row in rows} == {"benign", "malignant"}
    sampler = check_sampler(recognise(folder)).open(seed=4, device="cpu")
    (image,) = sampler.draw([70], [rows[70].conditions])
    assert (rows[70].image == Placement.fit((12, 8), 12).image(image)).all()
    provenance = result.cohort.provenance
    assert provenance["source"] == "torchscript"
    assert provenance["generator"] == check_sampler(recognise(folder)).digest
    assert provenance["request"] == {
        "n": 150, "seed": 4, "image_size": 12, "conditions": {"device": "y"},
    }  # fmt: skip
    assert provenance["trained_on"] is None
    assert provenance["versions"]["torch"] == torch.__version__
    assert result.cohort.vocabulary["pathology"] == ("benign", "malignant")


def test_batch_size_and_number_of_images_change_no_image(folder: Path) -> None:
    first = wrap(folder, "a").cohort
    assert wrap(folder, "b", batch_size=7).cohort.digest == first.digest
    fewer = wrap(folder, "c", n=10).cohort
    assert [row.png for row in fewer] == [row.png for row in first][:10]
    assert wrap(folder, "d", seed=5).cohort.digest != first.digest


def test_a_killed_run_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = wrap(folder, "whole").cohort.digest
    draw = FileSampler.draw
    drawn: list[int] = []

    def failing(self: FileSampler, rows: Any, conditions: Any) -> Any:
        if len(drawn) >= 64:
            raise KeyboardInterrupt
        drawn.extend(rows)
        return draw(self, rows, conditions)

    monkeypatch.setattr(FileSampler, "draw", failing)
    with pytest.raises(KeyboardInterrupt):
        wrap(folder, "c")
    assert not (folder.parent / "c").exists()

    def counting(self: FileSampler, rows: Any, conditions: Any) -> Any:
        drawn.extend(rows)
        return draw(self, rows, conditions)

    monkeypatch.setattr(FileSampler, "draw", counting)
    assert wrap(folder, "c").cohort.digest == expected
    assert drawn == list(range(150))
    assert {path.name for path in folder.parent.iterdir()} == {"sampler", "whole", "c"}


@pytest.fixture
def kill(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Path]]:
    """Kill a run before its cohort is written; returns the pieces that wait."""

    def killed(seed: int) -> list[Path]:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("bussynth.wrapping.cohort.drawn_rows", stop)
            with pytest.raises(KeyboardInterrupt):
                wrap(folder, "c", seed=seed)
        return sorted(folder.parent.glob(".c.wrapping-*/chunk-*.npy"))

    return killed


def test_pieces_of_another_request_are_not_taken(
    folder: Path, kill: Callable[[int], list[Path]]
) -> None:
    assert len(kill(8)) == 3
    expected = wrap(folder, "whole", seed=9).cohort.digest
    assert wrap(folder, "c", seed=9).cohort.digest == expected
    assert not list(folder.parent.glob(".c.wrapping-*"))


def test_a_damaged_piece_is_found(folder: Path, kill: Callable[[int], list[Path]]) -> None:
    piece = kill(8)[1]
    for damage in (b"", piece.read_bytes()[:-1], b"nonsense"):
        piece.write_bytes(damage)
        with pytest.raises(IntegrityError, match="is damaged; delete it"):
            wrap(folder, "c", seed=8)
    np.save(piece, np.zeros((64, 12, 11), np.uint8))
    with pytest.raises(IntegrityError, match="is damaged; delete it"):
        wrap(folder, "c", seed=8)
    piece.unlink()
    assert len(wrap(folder, "c", seed=8).cohort) == 150
