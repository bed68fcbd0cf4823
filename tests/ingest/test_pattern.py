from __future__ import annotations

import pytest

from bussynth.errors import DataError, UsageError
from bussynth.ingest.pattern import Pattern

CELLS = {"ID": "bus_0001-l", "Case": "1", "empty": "", "study date": "2020"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Images/{ID}.png", "Images/bus_0001-l.png"),
        ("Masks/mask_{ID[4:]}.png", "Masks/mask_0001-l.png"),
        ("{ID[:3]}/{ID[-1:]}_{Case}.tif", "bus/l_1.tif"),
        ("{study date}/{Case}.png", "2020/1.png"),
        ("{ID}", "bus_0001-l"),
    ],
)
def test_fill(text: str, wanted: str) -> None:
    assert Pattern.parse(text).fill(CELLS, what="row 1") == wanted


def test_columns_and_folder() -> None:
    pattern = Pattern.parse("a/b/x_{ID}/{Case}_{ID[2:]}.png")
    assert pattern.columns == ("ID", "Case")
    assert pattern.folder == "a/b"
    assert Pattern.parse("{ID}.png").folder == ""


@pytest.mark.parametrize(
    "text",
    [
        "image.png",
        "{ID",
        "ID}.png",
        "{}.png",
        "{ID[4]}.png",
        "{ID[a:]}.png",
        "{{ID}}.png",
        "../{ID}.png",
        "/data/{ID}.png",
        "C:/{ID}.png",
        "a\\{ID}.png",
        "a//{ID}.png",
    ],
)
def test_bad_patterns(text: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        Pattern.parse(text)


@pytest.mark.parametrize(
    "cell",
    ["../secret", "a/../../b", "/etc/passwd", "C:\\x", "a\0b", "a\nb", "a//b", "./a", "\u202eb"],
)
def test_cells_cannot_leave_the_folder(cell: str) -> None:
    with pytest.raises(DataError, match="row 4: the file name") as caught:
        Pattern.parse("{ID}").fill({"ID": cell}, what="row 4")
    assert cell not in str(caught.value)


def test_empty_cell() -> None:
    with pytest.raises(DataError, match="row 4: column 'empty' is empty"):
        Pattern.parse("{ID}_{empty}.png").fill(CELLS, what="row 4")
