from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.auditing.patients import read_patients
from bussynth.auditing.sources import FolderImages
from bussynth.errors import DataError

Worlds = dict[str, Callable[..., Any]]


@pytest.fixture
def folders(worlds: Worlds, tmp_path: Path) -> list[FolderImages]:
    images = worlds["images"](4, 1)
    return [
        FolderImages.open(worlds["folder"](tmp_path / role, part, "f"), role)
        for role, part in (("train", images[:2]), ("control", images[2:]))
    ]


def _table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "patients.csv"
    path.write_text(text, encoding="utf-8")
    return path


FULL = (
    "patient,file\np1,train/f000.png\np2,train\\f001.png\np3,control/f000.png\n"
    "p4,./control/f001.png\n"
)


def test_patients_in_the_order_of_the_images(folders: list[FolderImages], tmp_path: Path) -> None:
    found = read_patients(_table(tmp_path, "\ufeff" + FULL + "p5,old/f9.png\n"), folders)
    assert found.keys == (("p1", "p2"), ("p3", "p4"))
    assert found.notes == ("1 rows of the patient table match no image",)
    assert "p1" not in repr(found)


def test_one_folder_needs_no_prefix(folders: list[FolderImages], tmp_path: Path) -> None:
    table = _table(tmp_path, "file,patient\nf001.png,b\nf000.png,a\n")
    assert read_patients(table, folders[:1]).keys == (("a", "b"),)


def test_same_name_in_two_folders_is_ambiguous(folders: list[FolderImages], tmp_path: Path) -> None:
    table = _table(tmp_path, "file,patient\nf001.png,b\nf000.png,a\n")
    with pytest.raises(DataError, match="same name") as caught:
        read_patients(table, folders)
    assert len(caught.value.problems) == 4


def test_all_problems_at_once_and_no_value(folders: list[FolderImages], tmp_path: Path) -> None:
    text = "file,patient\ntrain/f000.png,DOE\ntrain/f000.png,JANE\ntrain/f001.png,\n"
    with pytest.raises(DataError) as caught:
        read_patients(_table(tmp_path, text), folders)
    message = str(caught.value)
    assert "row 2 of the table" in message
    assert "row 3 of the table" in message
    assert "image 2 of 2 of control: has no row" in message
    assert not any(word in message for word in ("DOE", "JANE", "f000", "f001"))


@pytest.mark.parametrize("text", ["", "file\nx\n", "file,patient,file\n", "Datei;Patient\n"])
def test_wrong_columns(folders: list[FolderImages], tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="column"):
        read_patients(_table(tmp_path, text), folders)


def test_unreadable_tables(folders: list[FolderImages], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Cannot read"):
        read_patients(tmp_path / "absent.csv", folders)
    (tmp_path / "bad.csv").write_bytes(b"file,patient\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_patients(tmp_path / "bad.csv", folders)
