from __future__ import annotations

from pathlib import Path

import pytest

from bussynth.errors import DataError
from bussynth.ingest.table import Table, read_table


def read(tmp_path: Path, data: str | bytes, **options: str) -> Table:
    path = tmp_path / "t.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_table(path, **options)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_delimiter_is_found(tmp_path: Path, mark: str) -> None:
    table = read(tmp_path, f'id{mark}box\n007{mark}"[1,2;3|4]"\n')
    assert table.columns == ("id", "box")
    assert table.rows == ({"id": "007", "box": "[1,2;3|4]"},)


def test_cells_stay_text_and_are_stripped(tmp_path: Path) -> None:
    table = read(tmp_path, "\ufeff id ,n\r\n 007 ,1.0\r\n\r\n8,\r\n")
    assert table.rows == ({"id": "007", "n": "1.0"}, {"id": "8", "n": ""})


def test_quoted_line_breaks_count_as_one_row(tmp_path: Path) -> None:
    table = read(tmp_path, 'id,note\n1,"two\nlines"\n2,x\n')
    assert [row["id"] for row in table.rows] == ["1", "2"]


def test_single_column_and_declared_delimiter(tmp_path: Path) -> None:
    assert read(tmp_path, "id\n1\n").columns == ("id",)
    assert read(tmp_path, "a;b,c\n1;2,3\n", delimiter=";").columns == ("a", "b,c")


def test_encodings(tmp_path: Path) -> None:
    data = "id\nMüller\n".encode("cp1252")
    with pytest.raises(DataError, match=r"line 2\. .*cp1252") as caught:
        read(tmp_path, data)
    assert "ller" not in str(caught.value)
    assert read(tmp_path, data, encoding="cp1252").rows[0]["id"] == "Müller"
    assert read(tmp_path, "id\n7\n".encode("utf-16"), encoding="utf-16").rows[0]["id"] == "7"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"id,x\n", "no rows"),
        (b"id,x\n\n\n", "no rows"),
        (b"id,x\n1,\x002\n", "NUL"),
        (b'id,x\n1,"2\n', "quote is not closed"),
        (b'id,x\n1,"2"3\n', "not valid CSV"),
        (b"id,\n1,2\n", "column 2 has no name"),
        (b"id,id\n1,2\n", "columns 1 and 2 have the same name"),
        (b"id,x\n1," + b"9" * 200_000, "too long"),
    ],
)
def test_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, data)


def test_all_ragged_rows_are_listed_without_their_cells(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "id,x\nZZ1\nZZ2,3\nZZ3,4,5\n")
    assert [problem[:20] for problem in caught.value.problems] == [
        "row 1 of the table: ",
        "row 3 of the table: ",
    ]
    assert "ZZ" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path)


def test_missing_columns_have_suggestions(tmp_path: Path) -> None:
    table = read(tmp_path, "Pathology,x\n1,2\n")
    assert table.missing(["x", "pathology"]) == [
        "the table has no column 'pathology'; did you mean \"Pathology\"?"
    ]
