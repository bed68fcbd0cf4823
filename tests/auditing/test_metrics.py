from __future__ import annotations

import csv
import io

import pytest

from bussynth.auditing.metrics import metrics_csv


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r+", "\n-", " @", "\x00="])
def test_no_cell_begins_a_formula(start: str) -> None:
    evil = f"{start}HYPERLINK(1)"
    report = {
        "verdict": evil,
        "tests": [],
        "controls": {
            "planted": [],
            "dose_response": [],
            "limit_of_detection": {evil: None},
            "null": [
                {"name": evil, "p_value": -0.5, "fired": False, "n_images": 3},
            ],
        },
    }
    rows = list(csv.reader(io.StringIO(metrics_csv(report), newline="")))
    cells = [cell for row in rows for cell in row]
    assert sum(cell == f"'{start[-1]}HYPERLINK(1)" for cell in cells) == 3
    assert not any(cell.startswith(("=", "+", "-", "@")) and cell != "-0.5" for cell in cells)
    # Numbers stay numbers, negative ones too.
    assert "-0.5" in cells
