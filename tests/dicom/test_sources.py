"""Which files a run is about."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.dicom.sources import Source, check_source, find_sources
from bussynth.errors import DataError, UsageError
from privacy.pseudonym import SiteKey

CANARY = "ZZCANARY"
KEY, OTHER = SiteKey(bytes(range(32))), SiteKey(bytes(range(1, 33)))


def names(sources: list[Source], root: Path) -> list[str]:
    return [source.path.relative_to(root.resolve()).as_posix() for source in sources]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name in ("b/2", "a", "b/10", "B/x.dcm", "c.d/1", "c/1", "é", ".hidden"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def test_the_order_is_that_of_paths_whatever_the_file_system_says(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, notes = find_sources(source, KEY)
    wanted = [".hidden", "B/x.dcm", "a", "b/10", "b/2", "c.d/1", "c/1", "é"]
    assert names(found, source) == wanted
    assert [one.number for one in found] == list(range(1, 9))
    assert notes == []
    walk: Callable[..., Any] = os.walk

    def backwards(top: Any, onerror: Any = None) -> Any:
        for base, folders, files in walk(top, onerror=onerror):
            yield base, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert find_sources(source, KEY)[0] == found


def test_names_are_keyed_and_follow_the_path(source: Path, tmp_path: Path) -> None:
    found, _ = find_sources(source, KEY)
    keyed = [one.name for one in found]
    assert len(set(keyed)) == len(keyed)
    assert all(len(name) == 32 for name in keyed)
    assert not set(keyed) & {one.name for one in find_sources(source, OTHER)[0]}
    moved = source.rename(tmp_path / "elsewhere")
    (moved / "a").unlink()
    assert [one.name for one in find_sources(moved, KEY)[0]] == [*keyed[:2], *keyed[3:]]
    assert CANARY not in repr(Source(number=1, path=Path(CANARY), name="", size=1, changed=1))


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_are_no_text(source: Path) -> None:
    Path(os.fsdecode(os.fsencode(source) + b"/\xff\xfe\n")).write_bytes(b"")
    found, _ = find_sources(source, KEY)
    assert len(found) == 9
    assert found[-1].size == 0


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_links_inside_are_files_and_links_out_are_not(source: Path, tmp_path: Path) -> None:
    outside = tmp_path / CANARY
    outside.mkdir()
    (outside / "secret").write_bytes(b"")
    (source / "inside").symlink_to(source / "a")
    (source / "out").symlink_to(outside / "secret")
    (source / "folder").symlink_to(outside)
    (source / "own").symlink_to(source / "b")
    (source / "loop").symlink_to(source / "loop")
    (source / "nowhere").symlink_to(source / "gone")
    (source / "up").symlink_to("..")
    os.mkfifo(source / "pipe")
    found, notes = find_sources(source, KEY)
    assert set(names(found, source)) - {"inside"} == {
        *(".hidden", "B/x.dcm", "a", "b/10", "b/2", "c.d/1", "c/1", "é")
    }
    assert "inside" in names(found, source)
    assert [note.code for note in notes] == ["links"]
    assert str(notes[0]).startswith("6 ")
    assert CANARY not in str(notes[0])


def test_the_folder_itself_may_be_a_link(source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(source)
    assert find_sources(link, KEY) == find_sources(source, KEY)


def test_a_folder_that_cannot_be_read_is_an_error(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan: Callable[..., Any] = os.scandir
    (source / CANARY).mkdir()

    def refuse(path: Any) -> Any:
        if str(path).endswith(CANARY):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="1 folders below the source cannot be read") as caught:
        find_sources(source, KEY)
    assert CANARY not in str(caught.value)


def test_a_file_that_vanishes_is_not_followed(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def gone(self: Path, **options: Any) -> Any:
        if self.name == "a":
            raise FileNotFoundError(2, "No such file", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", gone)
    found, notes = find_sources(source, KEY)
    assert (len(found), str(notes[0])[:2]) == (7, "1 ")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"PK\x03\x04rest", "archive"),
        (b"\x1f\x8b\x08", "archive"),
        (b"Rar!\x1a", "archive"),
        (b"7z\xbc\xaf\x27", "archive"),
        (b"", "is a file"),
        (bytes(128) + b"DICM", "is a file"),
    ],
)
def test_a_file_is_no_source(tmp_path: Path, data: bytes, match: str) -> None:
    path = tmp_path / CANARY
    path.write_bytes(data)
    with pytest.raises(UsageError, match=match) as caught:
        find_sources(path, KEY)
    assert CANARY not in str(caught.value)


def test_nothing_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        check_source(tmp_path / CANARY)
    with pytest.raises(UsageError, match="not a folder"):
        check_source(Path("/dev/null"))
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no file"):
        find_sources(tmp_path / "empty", KEY)


def test_a_file_that_cannot_be_opened_is_an_error_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / CANARY
    path.write_bytes(b"")

    def refuse(self: Path, *_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot be read: Permission denied\.$"):
        check_source(path)
