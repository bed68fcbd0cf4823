"""Smooth parametric prior: which conditions and lesion boxes to ask the generator for.

A prior that stores its training boxes leaks them, however good the generator. This one keeps a
handful of rounded parameters: probabilities of combinations of conditions that enough patients
share, the values of each column given the pathology for the rest, and one Gaussian of four
coordinates for the boxes of each pathology. Every patient weighs the same, whatever the number of
images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bussynth.errors import IntegrityError
from bussynth.generator.box_model import BoxModel, fit_boxes

__all__ = ["UNKNOWN", "ConditionPrior"]

_SMOOTHING: Final = 0.5  # pseudo-patients for each value of a column (Jeffreys)
#: A column that is not stated; no vocabulary value is a question mark.
UNKNOWN: Final = "?"

Cell = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ConditionPrior:
    """Distribution of conditions and boxes of a training set.

    Attributes:
        vocabulary: Values of each column.
        image_size: Height and width, for the scale of drawn boxes.
        cells: Probability of each combination of values that enough patients share, by the
            values in alphabetical order of the columns.
        values: For the remaining probability: by column, by pathology, the probabilities of
            "not stated" and of the values. The pathology column has one entry.
        boxes: Box model by pathology; "any" is the pooled one. Empty if there were too few.
    """

    vocabulary: Mapping[str, Sequence[str]]
    image_size: tuple[int, int]
    cells: Mapping[Cell, float]
    values: Mapping[str, Mapping[str, tuple[float, ...]]]
    boxes: Mapping[str, BoxModel] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        conditions: Sequence[Mapping[str, Any]],
        patients: Sequence[str],
        vocabulary: Mapping[str, Sequence[str]],
        image_size: tuple[int, int],
        min_patients: int = 5,
    ) -> ConditionPrior:
        """Fit to the training rows.

        Args:
            conditions: Values by column and ``lesion_box`` of each image.
            patients: Patient of each image.
            vocabulary: Values of each column.
            image_size: Height and width in pixels.
            min_patients: Combinations and box models with fewer patients are pooled.
        """
        columns = sorted(vocabulary)
        images = Counter(patients)
        weights = np.array([1 / images[patient] for patient in patients])
        keys = [tuple(row.get(c) or UNKNOWN for c in columns) for row in conditions]

        mass: Counter[Cell] = Counter()
        members: dict[Cell, set[str]] = {}
        for key, weight, patient in zip(keys, weights, patients, strict=True):
            mass[key] += weight
            members.setdefault(key, set()).add(patient)
        total = weights.sum()
        cells = {
            key: round(float(mass[key] / total), 3)
            for key in sorted(mass)
            if len(members[key]) >= min_patients
        }
        values = {
            column: _column(
                columns.index(column),
                columns,
                keys,
                weights,
                patients,
                vocabulary[column],
                min_patients,
            )
            for column in columns
        }
        return cls(
            vocabulary={column: tuple(vocabulary[column]) for column in columns},
            image_size=image_size,
            cells={key: share for key, share in cells.items() if share > 0},
            values=values,
            boxes=fit_boxes(conditions, patients, image_size, min_patients),
        )

    def draw(
        self, rng: np.random.Generator, fixed: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Draw the conditions of one image.

        Args:
            rng: Source of randomness.
            fixed: Columns held fixed, and ``lesion_box`` if that is; already checked.

        Returns:
            A value or None for every column, and ``lesion_box``: x0, y0, x1, y1 in pixels, or
            None for a normal image or where no box prior exists.
        """
        fixed = dict(fixed or {})
        box = fixed.get("lesion_box")
        wanted = {
            i: fixed[c] or UNKNOWN for i, c in enumerate(sorted(self.vocabulary)) if c in fixed
        }
        key = self._draw_cell(rng, wanted, lesion=box is not None)
        row: dict[str, Any] = {
            column: None if value == UNKNOWN else value
            for column, value in zip(sorted(self.vocabulary), key, strict=True)
        }
        row["lesion_box"] = tuple(box) if box is not None else self._draw_box(rng, row)
        return row

    def _draw_cell(self, rng: np.random.Generator, wanted: Mapping[int, str], lesion: bool) -> Cell:
        columns = sorted(self.vocabulary)
        where = columns.index("pathology") if "pathology" in columns else -1

        def allowed(key: Cell) -> bool:
            lesion_fits = not (lesion and where >= 0 and key[where] == "normal")
            return lesion_fits and all(key[i] == value for i, value in wanted.items())

        open_cells = [(key, share) for key, share in self.cells.items() if allowed(key)]
        rest = max(0.0, 1 - sum(self.cells.values())) * self._rest_share(columns, wanted)
        weights = np.array([share for _, share in open_cells] + [rest])
        if open_cells and weights.sum() > 0:
            pick = int(rng.choice(len(weights), p=weights / weights.sum()))
            if pick < len(open_cells):
                return open_cells[pick][0]
        # Columns one by one, given the pathology: for combinations no group of patients shares.
        drawn: dict[int, str] = dict(wanted)
        for i in sorted(range(len(columns)), key=lambda i: i != where):
            if i not in drawn:
                pathology = drawn.get(where, UNKNOWN)
                options = [UNKNOWN, *self.vocabulary[columns[i]]]
                shares = np.array(self._shares(columns[i], pathology))
                if i == where and lesion and "normal" in options:
                    shares[options.index("normal")] = 0
                if shares.sum() <= 0:
                    shares = np.ones(len(options))
                drawn[i] = options[int(rng.choice(len(options), p=shares / shares.sum()))]
        return tuple(drawn[i] for i in range(len(columns)))

    def _rest_share(self, columns: Sequence[str], wanted: Mapping[int, str]) -> float:
        share = 1.0
        for i, value in wanted.items():
            options = [UNKNOWN, *self.vocabulary[columns[i]]]
            pathology = next((v for j, v in wanted.items() if columns[j] == "pathology"), UNKNOWN)
            share *= self._shares(columns[i], pathology)[options.index(value)]
        return share

    def _shares(self, column: str, pathology: str) -> tuple[float, ...]:
        table = self.values[column]
        return table.get(pathology) or table["any"]

    def _draw_box(
        self, rng: np.random.Generator, row: Mapping[str, Any]
    ) -> tuple[float, float, float, float] | None:
        pathology = row.get("pathology")
        model = self.boxes.get(pathology or "any") or self.boxes.get("any")
        if pathology == "normal" or model is None:
            return None
        x0, y0, x1, y1 = model.draw(rng)
        height, width = self.image_size
        return x0 * width, y0 * height, x1 * width, y1 * height

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "vocabulary": {column: list(values) for column, values in self.vocabulary.items()},
            "image_size": list(self.image_size),
            "cells": [[list(key), share] for key, share in self.cells.items()],
            "values": {
                column: {pathology: list(shares) for pathology, shares in table.items()}
                for column, table in self.values.items()
            },
            "boxes": {
                pathology: {
                    "mean": list(model.mean),
                    "covariance": [list(row) for row in model.covariance],
                }
                for pathology, model in self.boxes.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ConditionPrior:
        """Inverse of :meth:`to_dict`.

        Raises:
            IntegrityError: The data are no prior.
        """
        try:
            height, width = (int(v) for v in data["image_size"])
            prior = cls(
                vocabulary={c: tuple(map(str, v)) for c, v in data["vocabulary"].items()},
                image_size=(height, width),
                cells={tuple(map(str, key)): float(share) for key, share in data["cells"]},
                values={
                    column: {p: tuple(map(float, shares)) for p, shares in table.items()}
                    for column, table in data["values"].items()
                },
                boxes={
                    pathology: BoxModel(
                        mean=tuple(map(float, model["mean"])),
                        covariance=tuple(tuple(map(float, row)) for row in model["covariance"]),
                    )
                    for pathology, model in data["boxes"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IntegrityError("The prior of the model cannot be read.") from error
        if not prior._sound():
            raise IntegrityError("The prior of the model does not fit its vocabulary.")
        return prior

    def _sound(self) -> bool:
        """Whether tables and vocabulary fit together."""
        options = [{UNKNOWN, *self.vocabulary[column]} for column in sorted(self.vocabulary)]
        if set(self.values) != set(self.vocabulary):
            return False
        for column, table in self.values.items():
            sizes = {len(shares) for shares in table.values()}
            if "any" not in table or sizes != {len(self.vocabulary[column]) + 1}:
                return False
            if not all(0 <= share <= 1 for shares in table.values() for share in shares):
                return False
        return (
            all(len(key) == len(options) for key in self.cells)
            and all(
                value in known
                for key in self.cells
                for value, known in zip(key, options, strict=True)
            )
            and all(0 <= share <= 1 for share in self.cells.values())
            and all(model.sound() for model in self.boxes.values())
        )


def _column(
    index: int,
    columns: Sequence[str],
    keys: Sequence[Cell],
    weights: npt.NDArray[np.float64],
    patients: Sequence[str],
    values: Sequence[str],
    min_patients: int,
) -> dict[str, tuple[float, ...]]:
    """Smoothed shares of "not stated" and the values of a column, overall and by pathology.

    A value that too few patients share counts as one that nobody has, and a pathology of too few
    patients gets no shares of its own: a share next to the smoothing would tell of one patient.
    """
    where = columns.index("pathology") if "pathology" in columns else -1
    options = [UNKNOWN, *values]
    # "Not stated" gets no pseudo-patients: it appears only where it appeared.
    prior = np.array([0.0] + [_SMOOTHING] * len(values))

    def shares(chosen: Sequence[bool]) -> tuple[float, ...]:
        counts, sharing = prior.copy(), [set[str]() for _ in options]
        for key, weight, patient, use in zip(keys, weights, patients, chosen, strict=True):
            if use:
                counts[options.index(key[index])] += weight
                sharing[options.index(key[index])].add(patient)
        rare = [len(group) < min_patients for group in sharing]
        counts[rare] = prior[rare]
        return tuple(round(float(v), 3) for v in counts / counts.sum())

    table = {"any": shares([True] * len(keys))}
    if where >= 0 and index != where:
        for pathology in sorted({key[where] for key in keys} - {UNKNOWN}):
            chosen = [key[where] == pathology for key in keys]
            having = {patient for patient, use in zip(patients, chosen, strict=True) if use}
            if len(having) >= min_patients:
                table[pathology] = shares(chosen)
    return table
