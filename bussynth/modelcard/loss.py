"""The loss of a training over its steps, from ``loss.jsonl``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bussynth.errors import IntegrityError
from bussynth.generator.checkpoint import LOSS_FILE
from bussynth.record import number, whole
from bussynth.report.drawing import BLUE, GRID, drawing

__all__ = ["LossCurve", "draw_losses", "read_losses"]

_MAX_BYTES: Final = 64 * 2**20
_VIEW: Final = re.compile(r'(<svg\b[^>]*\bviewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*)>')


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """Training loss.

    Attributes:
        steps: Steps taken at each entry, ascending.
        losses: Mean loss since the entry before.
    """

    steps: Sequence[int]
    losses: Sequence[float]


def read_losses(folder: Path, training: Any) -> LossCurve | None:
    """Read the loss of a finished training.

    Args:
        folder: Of the model.
        training: Its training record, a mapping.

    Returns:
        The curve, or None if the folder holds none.

    Raises:
        IntegrityError: The file is damaged or is of another training.
    """
    path = folder / LOSS_FILE
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        pairs = [(whole(row["step"]), number(row["loss"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read; remove it for a card without it.") from error
    steps = [step for step, _ in pairs if step is not None]
    losses = [loss for _, loss in pairs if loss is not None]
    if not pairs or len(steps) < len(pairs) or len(losses) < len(pairs):
        raise IntegrityError(f"{path} holds no losses; remove it for a card without it.")
    rising = all(one < other for one, other in pairwise(steps))
    if not rising or steps[0] < 1 or (steps[-1], losses[-1]) != _end(training):
        raise IntegrityError(f"{path} is not of the training that the model's record describes.")
    return LossCurve(steps=steps, losses=losses)


def _end(training: Any) -> tuple[int | None, float | None]:
    return whole(training.get("steps")), number(training.get("loss"))


def draw_losses(curve: LossCurve) -> str:
    """Draw a loss curve over a logarithmic axis of steps.

    Returns:
        An SVG file; the same bytes for the same curve and version of matplotlib.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    with drawing(7.0, 2.9) as (figure, render):
        axes = figure.add_subplot()
        marker = "o" if len(curve.steps) == 1 else ""
        axes.plot(curve.steps, curve.losses, color=BLUE, linewidth=1.4, marker=marker)
        axes.set_xscale("log")
        axes.set_xlabel("training step")
        axes.set_ylabel("training loss")
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        label = (
            f"Training loss over {curve.steps[-1]:,} steps, "
            f"from {curve.losses[0]:.3f} to {curve.losses[-1]:.3f}"
        )
        drawn = str(render("loss", label))
    # As a file of its own the figure needs a size and, on a dark page, a ground to stand on.
    ground = r'\1 width="\2pt" height="\3pt"><rect width="100%" height="100%" fill="#ffffff"/>'
    return _VIEW.sub(ground, drawn, count=1).rstrip() + "\n"
