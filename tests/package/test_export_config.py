from __future__ import annotations

from typing import Any

import pytest

from bussynth.errors import UsageError
from bussynth.package import ExportConfig


def test_defaults() -> None:
    config = ExportConfig(name="demo")
    assert (config.version, config.license, config.accept_inconclusive) == (
        "1.0.0",
        "CC-BY-4.0",
        False,
    )
    assert ExportConfig.from_dict(config.to_dict()) == config


def test_name_may_be_left_to_the_folder() -> None:
    assert ExportConfig.from_dict({}).name is None


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "../x"},
        {"name": "a b"},
        {"name": "x" * 101},
        {"name": "nul"},
        {"version": "1"},
        {"version": "1.0.0-rc1"},
        {"version": "01.0.0"},
        {"license": ""},
        {"license": "my licence"},
        {"description": ""},
        {"description": "two\nlines"},
        {"description": "\x1b[2J"},
        {"publisher": "a\u202eb"},
        {"url": "javascript:alert(1)"},
        {"url": "https://a b"},
        {"url": "file:///etc/passwd"},
        {"accept_inconclusive": 1},
        {"declare_derived": ""},
        {"declare_derived": "two\nlines"},
        {"declare_derived": "x" * 1001},
        {"declare_derived": "Consented.", "accept_inconclusive": True},
    ],
    ids=str,
)
def test_bad_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(fields))):
        ExportConfig(**({"name": "demo"} | fields))
