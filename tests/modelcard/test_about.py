from __future__ import annotations

from pathlib import Path

import pytest

from bussynth.errors import UsageError
from bussynth.modelcard.about import About, read_about


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "about.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_keys(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'name = "a"\nlicense = "CC-BY-4.0"\ndata_license = "b"\ndatasets = ["BUS-BRA"]\n'
        'citation = """@article{x,\n  year = 2024\n}"""\nintended_use = "c"\n'
        'limitations = "d"\ntext = "e"\n',
    )
    about = read_about(path)
    assert about.datasets == ["BUS-BRA"]
    assert about.citation == "@article{x,\n  year = 2024\n}"


def test_unknown_keys_are_named_with_a_suggestion_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_about(write(tmp_path, 'licence = "MIT"\ncitations = "x"\n'))
    assert caught.value.problems == (
        "unknown key 'licence'; did you mean \"license\"?",
        "unknown key 'citations'; did you mean \"citation\"?",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('license = "CC BY 4.0"', "SPDX"),
        ('name = "a\\nb"', "line break"),
        ('text = "fine\\nnot \\u202e fine"', "text, line 2"),
        ('limitations = " "', "limitations"),
        ('datasets = "BUS-BRA"', "datasets"),
        ('datasets = [""]', "datasets: is empty"),
        ("name = 3", "name"),
        ("name = ", "not valid TOML"),
    ],
)
def test_bad_values(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_about(write(tmp_path, text))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read"):
        read_about(tmp_path / "no.toml")


def test_nothing_is_needed() -> None:
    assert About().license is None
