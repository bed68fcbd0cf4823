from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bussynth.errors import DataError, IntegrityError
from bussynth.review.material import (
    PREVIEWS_SCHEMA,
    Decision,
    Preview,
    read_decisions,
    read_previews,
    write_decisions,
    write_previews,
)

Previews = Callable[..., Preview]
DECISION = Decision(file="0" * 32, decision="kept", reason="clean", why="Only tissue.",
                    images=("row-1",), frames=2, frame_size=(100, 200))  # fmt: skip


def test_previews_come_back_as_written(tmp_path: Path, preview: Previews) -> None:
    rows = [preview(number) for number in range(40)]
    file = tmp_path / "review" / "previews.parquet"
    assert write_previews(file, iter(rows)) == 40
    assert list(read_previews(file)) == rows
    light = list(read_previews(file, pictures=False))
    assert [row.id for row in light] == [row.id for row in rows]
    assert {row.picture for row in light} == {b""}
    assert [path.name for path in file.parent.iterdir()] == ["previews.parquet"]


def test_previews_stream(tmp_path: Path, preview: Previews) -> None:
    file = tmp_path / "previews.parquet"
    write_previews(file, (preview(number) for number in range(100)))
    groups = pq.ParquetFile(file).metadata
    assert groups.num_row_groups > 5
    assert write_previews(file, []) == 0
    assert list(read_previews(file)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"id": "with space"},
        {"id": "x" * 257},
        {"picture": b"GIF89a"},
        {"picture": b"\x89PNG\r\n\x1a\n" + bytes(8 * 2**20)},
        {"left": 100},
        {"bottom": 121},
        {"top": -1},
        {"frame_rows": 0, "bottom": 0},
        {"blanked": ((0, 0, 81, 5),)},
        {"blanked": ((5, 5, 5, 9),)},
        {"flags": ("<script>",)},
        {"frame": -1},
    ],
)
def test_bad_previews_are_refused(tmp_path: Path, preview: Previews, changes: Any) -> None:
    file = tmp_path / "previews.parquet"
    with pytest.raises(DataError) as caught:
        write_previews(file, [preview(1), preview(2, **changes)])
    assert all(problem.startswith("row 2: ") for problem in caught.value.problems)
    assert list(tmp_path.iterdir()) == []


def test_damaged_previews_are_refused(tmp_path: Path, preview: Previews) -> None:
    file = tmp_path / "previews.parquet"
    with pytest.raises(DataError, match="missing"):
        list(read_previews(file))
    write_previews(file, [preview(1)])
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["flags"]), file)
    with pytest.raises(IntegrityError, match="other columns"):
        list(read_previews(file))
    for column, values in (("blanked", [[[1, 2, 3]]]), ("right", [2000])):
        changed = table.to_pydict() | {column: values}
        pq.write_table(table.from_pydict(changed, schema=PREVIEWS_SCHEMA), file)
        with pytest.raises(IntegrityError, match="Row 1"):
            list(read_previews(file))
    file.write_bytes(b"PAR1 no")
    with pytest.raises(IntegrityError, match="damaged"):
        list(read_previews(file))


def test_decisions_come_back_as_written(tmp_path: Path) -> None:
    unread = Decision(file="1" * 32, decision="left-out", reason="not-dicom", why="No DICOM.")
    file = tmp_path / "review" / "decisions.jsonl"
    assert write_decisions(file, [DECISION, unread]) == 2
    assert list(read_decisions(file)) == [DECISION, unread]
    assert json.loads(file.read_text().splitlines()[1])["frame_size"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "name.dcm"},
        {"decision": "maybe"},
        {"decision": "quarantined"},
        {"reason": ""},
        {"why": "two\nlines"},
        {"frames": -1},
        {"images": ("a b",)},
    ],
)
def test_bad_decisions_are_refused(tmp_path: Path, changes: Any) -> None:
    fields = {name: getattr(DECISION, name) for name in DECISION.to_dict()}
    with pytest.raises(DataError) as caught:
        write_decisions(tmp_path / "d.jsonl", [Decision(**fields | changes)])
    assert caught.value.problems[0].startswith("row 1: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        json.dumps(DECISION.to_dict() | {"more": 1}),
        json.dumps(DECISION.to_dict() | {"frames": True}),
        json.dumps(DECISION.to_dict() | {"frame_size": [1]}),
        json.dumps(DECISION.to_dict() | {"images": [1]}),
        json.dumps(DECISION.to_dict() | {"file": "x"}),
    ],
)
def test_damaged_decisions_are_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "decisions.jsonl"
    write_decisions(file, [DECISION])
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(IntegrityError, match=r"[Ll]ine 2"):
        list(read_decisions(file))
