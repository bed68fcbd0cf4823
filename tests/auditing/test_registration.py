from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audits.settings import AuditSettings
from bussynth.auditing.config import AuditConfig
from bussynth.auditing.history import settings_digest
from bussynth.auditing.ledger import LEDGER_FILE, read_ledger
from bussynth.auditing.registration import check_register, register, settings_toml
from bussynth.auditing.run import audit
from bussynth.cohort import Cohort
from bussynth.config import load_toml
from bussynth.errors import UsageError

Worlds = dict[str, Callable[..., Any]]


@pytest.fixture
def copy(real: Cohort, tmp_path: Path) -> Cohort:
    """A cohort whose ledger is ours alone."""
    shutil.copytree(real.path, tmp_path / "cohort")
    (tmp_path / "cohort" / LEDGER_FILE).unlink(missing_ok=True)
    return Cohort.open(tmp_path / "cohort")


def test_the_file_gives_the_settings_back_and_explains_them(tmp_path: Path) -> None:
    settings = AuditSettings(seed=7, tails=(0.5, 0.001), duplicate_ratio=0.1 + 0.2)
    file = tmp_path / "audit.toml"
    file.write_text(settings_toml(settings, encoders=["sha256:e"], release_model=True))
    table = load_toml(file, ["audit"])["audit"]
    table = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    assert AuditConfig.from_dict(table).settings() == settings
    text = file.read_text()
    flowing = " ".join(line.removeprefix("# ") for line in text.splitlines())
    for entry in settings.describe().values():
        assert entry["help"] in flowing
        assert entry["reference"] in flowing
    assert "sha256:e" in text
    assert "--release-model" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_registering_writes_file_and_entry_and_no_look(copy: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "results" / "audit"
    done = register(out=out, real=copy, config=AuditConfig(alpha=0.01))
    assert done.file == tmp_path / "results" / "audit.toml"
    assert done.sha256 == hashlib.sha256(done.file.read_bytes()).hexdigest()
    (entry,) = read_ledger(copy.path / LEDGER_FILE).entries
    assert (entry.kind, entry.document, entry.synthetic) == ("registration", done.sha256, None)
    assert entry.settings == done.settings == settings_digest(AuditSettings(alpha=0.01))
    assert entry.control == copy.digest
    assert done.notes == ()
    assert not out.exists()
    json.dumps(done.to_dict())


def test_an_audit_knows_whether_it_kept_to_what_was_registered(
    copy: Cohort, worlds: Worlds, quick: AuditConfig, tmp_path: Path
) -> None:
    register(out=tmp_path / "audit", real=copy, config=quick)
    made = worlds["synthetic"](tmp_path / "s", worlds["images"](12, 9))
    kept = audit(made, real=copy, config=quick, out=tmp_path / "audit").to_dict()["ledger"]
    assert kept["registration"] == "pre-registered"
    assert kept["place"] == "real data"
    changed = AuditConfig(**{**quick.to_dict(), "seed": 5})
    other = audit(made, real=copy, config=changed).to_dict()["ledger"]
    assert other["registration"] == "different"
    assert any("before with 1 other choice of settings" in flag for flag in other["flags"])


def test_places_are_checked_before_anything_is_written(
    copy: Cohort, worlds: Worlds, tmp_path: Path
) -> None:
    assert check_register(out=tmp_path / "a.toml", real=copy) == tmp_path / "a.toml"
    with pytest.raises(UsageError, match="overlaps"):
        register(out=copy.path / "audit", real=copy)
    with pytest.raises(UsageError, match="Give either"):
        register(out=tmp_path / "a")
    with pytest.raises(UsageError, match="Encoders"):
        register(out=tmp_path / "a", real=copy, encoders=[tmp_path / "none.pt"])
    assert not (tmp_path / "a.toml").exists()
    assert not (copy.path / LEDGER_FILE).exists()
    (tmp_path / "a.toml").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        register(out=tmp_path / "a", real=copy)
    assert (tmp_path / "a.toml").read_text() == "mine"
    register(out=tmp_path / "a", real=copy, force=True)
    assert "audit" in tomllib.loads((tmp_path / "a.toml").read_text())


def test_folders_are_registered_beside_the_file(worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](4, 1)
    folders = {
        role: worlds["folder"](tmp_path / role, part)
        for role, part in (("train", images[:2]), ("control", images[2:]))
    }
    register(out=tmp_path / "audit", **folders)
    (entry,) = read_ledger(tmp_path / LEDGER_FILE).entries
    assert entry.kind == "registration"
