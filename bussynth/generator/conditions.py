"""Conditions of an image, from words and boxes to integer codes and a spatial map.

Every column of the vocabulary has one null token (code 0, "not stated"); its values follow from
code 1. ``normal`` is a value like any other, so a model can be asked for a normal image, which is
not the same as asking for anything. A lesion box has three states: unknown, none (a normal image)
and present; only a present box is drawn into the spatial map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from bussynth.config import suggest
from bussynth.errors import UsageError

__all__ = ["BOX_NONE", "BOX_PRESENT", "BOX_UNKNOWN", "ConditionBatch", "ConditionEncoder"]

BOX_UNKNOWN: Final = 0
BOX_NONE: Final = 1
BOX_PRESENT: Final = 2


@dataclass(frozen=True)
class ConditionBatch:
    """Encoded conditions of n images.

    Attributes:
        codes: int64 ``(n, columns)``; 0 is the null token.
        box_state: int64 ``(n,)``: unknown, none or present.
        boxes: float32 ``(n, 4)``, x0 y0 x1 y1 in pixels; zeros where no box is present.
        augment: float32 ``(n, labels)``, how training images were altered; None where nothing
            was, as when sampling.
    """

    codes: Tensor
    box_state: Tensor
    boxes: Tensor
    augment: Tensor | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Tensor | slice) -> ConditionBatch:
        augment = None if self.augment is None else self.augment[rows]
        return ConditionBatch(self.codes[rows], self.box_state[rows], self.boxes[rows], augment)

    def to(self, device: torch.device | str) -> ConditionBatch:
        """Copy to a device."""
        augment = None if self.augment is None else self.augment.to(device)
        return ConditionBatch(
            self.codes.to(device), self.box_state.to(device), self.boxes.to(device), augment
        )

    def null(self) -> ConditionBatch:
        """The same number of rows with nothing stated."""
        return ConditionBatch(
            torch.zeros_like(self.codes),
            torch.zeros_like(self.box_state),
            torch.zeros_like(self.boxes),
        )

    def mirrored(self, flip: Tensor, width: int) -> ConditionBatch:
        """Boxes mirrored left to right where ``flip`` (bool ``(n,)``) is true."""
        x0, y0, x1, y1 = self.boxes.unbind(1)
        mirrored = torch.stack((width - x1, y0, width - x0, y1), dim=1)
        use = (flip & (self.box_state == BOX_PRESENT)).unsqueeze(1)
        return replace(self, boxes=torch.where(use, mirrored, self.boxes))

    def hidden(self, uniform: Tensor, each: float, joint: float) -> ConditionBatch:
        """Hide conditions at random, row by row and condition by condition.

        Dropping single conditions lets the model be asked for any subset of them; dropping all
        of a row trains the unconditional model that guidance needs (Ho & Salimans 2022).

        Args:
            uniform: Uniform draws in [0, 1), ``(n, columns + 2)``: one for each column, one for
                the box, one for the row.
            each: Probability that one condition is hidden.
            joint: Probability that the whole row is.
        """
        row = uniform[:, -1:] < joint
        drop = (uniform[:, :-1] < each) | row
        box = drop[:, -1]
        return replace(
            self,
            codes=self.codes.masked_fill(drop[:, :-1], 0),
            box_state=self.box_state.masked_fill(box, BOX_UNKNOWN),
            boxes=self.boxes.masked_fill(box.unsqueeze(1), 0.0),
        )

    def box_map(self, height: int, width: int, factor: int) -> Tensor:
        """Boxes drawn as the covered share of each cell.

        Args:
            height: Rows of the map.
            width: Columns of the map.
            factor: Side of a cell in pixels.

        Returns:
            float32 ``(n, 1, height, width)`` in [0, 1]; its sum times ``factor**2`` is the area
            of the box in pixels.
        """

        def cover(low: Tensor, high: Tensor, cells: int) -> Tensor:
            start = torch.arange(cells, device=low.device, dtype=torch.float32) * factor
            inside = torch.minimum(high[:, None], start + factor) - torch.maximum(
                low[:, None], start
            )
            return inside.clamp(min=0) / factor

        x0, y0, x1, y1 = self.boxes.unbind(1)
        area = cover(y0, y1, height)[:, :, None] * cover(x0, x1, width)[:, None, :]
        present = (self.box_state == BOX_PRESENT).view(-1, 1, 1)
        return torch.where(present, area, 0.0).unsqueeze(1)


@dataclass(frozen=True)
class ConditionEncoder:
    """Turns conditions into codes.

    Attributes:
        vocabulary: Values of each column. Their order is part of the model; columns are taken in
            alphabetical order, which JSON files keep.
        image_size: Height and width in pixels, the bounds of lesion boxes.
    """

    vocabulary: Mapping[str, Sequence[str]]
    image_size: tuple[int, int]

    def known(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        """What of an image's conditions the vocabulary has words for; the rest is None."""
        return {
            column: value if (value := conditions.get(column)) in values else None
            for column, values in self.vocabulary.items()
        }

    def encode(self, conditions: Sequence[Mapping[str, Any]]) -> ConditionBatch:
        """Encode the conditions of n images.

        Args:
            conditions: For each image a value by column; a column absent or None is not stated.
                The key ``lesion_box`` holds x0, y0, x1, y1 in pixels or None. Without a box, a
                normal image has none and any other image an unknown one.

        Raises:
            UsageError: Unknown column or value (with a suggestion), a box outside the image, or a
                box in a normal image; all problems at once.
        """
        problems = self.problems(conditions)
        if problems:
            raise UsageError("These conditions cannot be asked of this model.", problems)
        codes, states, boxes = [], [], []
        index = [
            (column, {None: 0} | {value: code for code, value in enumerate(values, start=1)})
            for column, values in sorted(self.vocabulary.items())
        ]
        for row in conditions:
            codes.append([table[row.get(column)] for column, table in index])
            box = row.get("lesion_box")
            normal = row.get("pathology") == "normal"
            states.append(BOX_PRESENT if box is not None else BOX_NONE if normal else BOX_UNKNOWN)
            boxes.append([0.0] * 4 if box is None else [float(edge) for edge in box])
        return ConditionBatch(
            torch.tensor(codes, dtype=torch.int64).view(len(codes), len(index)),
            torch.tensor(states, dtype=torch.int64),
            torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        )

    def problems(self, conditions: Sequence[Mapping[str, Any]]) -> list[str]:
        """Everything that forbids encoding; empty if nothing does."""
        found: dict[str, int] = {}
        for i, row in enumerate(conditions):
            for text in self._row_problems(row):
                found.setdefault(text, i)
        return [f"row {i}: {text}" for text, i in found.items()]

    def _row_problems(self, row: Mapping[str, Any]) -> list[str]:
        problems = []
        for column, value in row.items():
            if column == "lesion_box":
                continue
            if column not in self.vocabulary:
                known = [*self.vocabulary, "lesion_box"]
                problems.append(
                    f"unknown condition {column!r}{suggest(column, known)} "
                    f"(known: {', '.join(known)})"
                )
            elif value is not None and value not in self.vocabulary[column]:
                values = self.vocabulary[column]
                problems.append(
                    f"{column}={value!r} is not in the vocabulary"
                    f"{suggest(str(value), values)} (known: {', '.join(values)})"
                )
        box = row.get("lesion_box")
        if box is not None:
            problems += self._box_problems(box, row.get("pathology"))
        return problems

    def _box_problems(self, box: Any, pathology: Any) -> list[str]:
        if pathology == "normal":
            return ["a normal image has no lesion box; leave lesion_box out"]
        if not isinstance(box, (Sequence, tuple)) or isinstance(box, str) or len(box) != 4:
            return ["lesion_box must be four numbers x0, y0, x1, y1"]
        if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in box):
            return ["lesion_box must be four finite numbers x0, y0, x1, y1"]
        x0, y0, x1, y1 = box
        height, width = self.image_size
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            return [f"lesion_box must satisfy 0 <= x0 < x1 <= {width}, 0 <= y0 < y1 <= {height}"]
        return []
