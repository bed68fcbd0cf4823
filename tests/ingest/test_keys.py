from __future__ import annotations

from pathlib import Path

import pytest

from bussynth.errors import UsageError
from bussynth.ingest.keys import check_site_key, default_site_key_path, open_site_key


def test_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_site_key_path() == tmp_path / "bussynth" / "site.key"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative/data"):
        monkeypatch.setenv("XDG_DATA_HOME", value)
        wanted = tmp_path / "home" / ".local" / "share" / "bussynth" / "site.key"
        assert default_site_key_path() == wanted


def test_first_use_creates_and_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert check_site_key(None, tmp_path / "cohort") == []
    assert not list(tmp_path.iterdir())
    first = open_site_key(None, tmp_path / "cohort")
    second = open_site_key(None, tmp_path / "cohort")
    assert (first.created, second.created) == (True, False)
    assert first.key.fingerprint == second.key.fingerprint


def test_not_in_any_cohort(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inside a cohort folder"):
        open_site_key(tmp_path / "cohort" / "data" / "site.key", tmp_path / "cohort")
    other = tmp_path / "other"
    other.mkdir()
    (other / "cohort.json").write_text("{}")
    with pytest.raises(UsageError, match="inside a cohort folder"):
        open_site_key(other / "keys" / "site.key", tmp_path / "cohort")
    (tmp_path / "link").symlink_to(other)
    with pytest.raises(UsageError, match="inside a cohort folder"):
        open_site_key(tmp_path / "link" / "site.key", tmp_path / "cohort")
    assert sorted(file.name for file in other.iterdir()) == ["cohort.json"]


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    open_site_key(path, tmp_path / "cohort")
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        open_site_key(path, tmp_path / "cohort")
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="cannot be read"):
        open_site_key(path, tmp_path / "cohort")
