from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from audits.settings import AuditSettings
from bussynth.auditing.config import AuditConfig
from bussynth.errors import UsageError


def test_defaults_are_those_of_the_audit() -> None:
    assert AuditSettings(**AuditConfig().to_dict()) == AuditSettings()
    assert AuditConfig().changed() == {}


def test_every_field_is_explained_and_bounded_like_the_audit() -> None:
    settings = {field.name: field.metadata for field in dataclasses.fields(AuditSettings)}
    for field in dataclasses.fields(AuditConfig):
        for key in ("help", "min", "max"):
            assert field.metadata[key] == settings[field.name][key]
    with pytest.raises(UsageError, match="alpha"):
        AuditConfig(alpha=0.9)


def test_every_setting_can_be_set_and_registered() -> None:
    names = {field.name for field in dataclasses.fields(AuditSettings)}
    assert {field.name for field in dataclasses.fields(AuditConfig)} == names
    assert AuditConfig(alpha=0.01).settings() == AuditSettings(alpha=0.01)
    with pytest.raises(UsageError, match="settings") as caught:
        AuditConfig(tails=(2.0,)).settings()
    assert "tails" in caught.value.problems[0]


def test_changes_are_listed_but_not_the_seed() -> None:
    assert AuditConfig(seed=1, min_control_patients=3).changed() == {
        "min_control_patients": (AuditSettings().min_control_patients, 3)
    }


def test_the_command_line_loads_it_without_heavy_imports() -> None:
    code = (
        "import sys, bussynth.auditing.config; "
        "sys.exit(bool({'numpy', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
