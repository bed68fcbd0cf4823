"""What a site tells of its machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from bussynth.dicom.site import read_site_rules
from bussynth.errors import UsageError
from privacy.deidentify.regions import Rectangle, SiteRule

RULE = """
[[region]]
maker = "ACME"
model = "US-1"
rows = 600
columns = 800
keep = [100, 60, 700, 560]
"""


def read(tmp_path: Path, text: str | bytes) -> tuple[SiteRule, ...]:
    path = tmp_path / "rules.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_site_rules(path)


def test_rules(tmp_path: Path) -> None:
    second = RULE.replace("600\n", "601\n").replace("[100, 60, 700, 560]", "[0, 0, 800, 601]")
    assert read(tmp_path, RULE + second) == (
        SiteRule("ACME", "US-1", 600, 800, Rectangle(100, 60, 700, 560)),
        SiteRule("ACME", "US-1", 601, 800, Rectangle(0, 0, 800, 601)),
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("maker", "makers", "region 1: unknown key 'makers'; did you mean \"maker\"?"),
        ('maker = "ACME"', "", "region 1: missing key 'maker'"),
        ("keep = [100, 60, 700, 560]", "", "region 1: missing key 'keep'"),
        ('"ACME"', "1", "region 1: maker and model are strings"),
        ('"ACME"', '"  "', "region 1: keep is empty or reaches out of the frame, or a name"),
        ("600\n", '"600"\n', "region 1: rows and columns are whole numbers"),
        ("600\n", "600.0\n", "region 1: rows and columns are whole numbers"),
        ("600\n", "true\n", "region 1: rows and columns are whole numbers"),
        ("600\n", "-600\n", "region 1: rows and columns are whole numbers"),
        ("60, 700, 560", "60, 700", "region 1: keep is four whole numbers"),
        ("60, 700, 560", "60, 700, 560, 1", "region 1: keep is four whole numbers"),
        ("100, 60", "-1, 60", "region 1: keep is four whole numbers"),
        ("100, 60", "true, 60", "region 1: keep is four whole numbers"),
        ("100, 60", "0.5, 60", "region 1: keep is four whole numbers"),
        ("[100, 60, 700, 560]", '"all"', "region 1: keep is four whole numbers"),
        ("700", "801", "region 1: keep is empty or reaches out of the frame, or a name"),
        ("700", "100", "region 1: keep is empty or reaches out of the frame, or a name"),
        ("560", "601", "region 1: keep is empty or reaches out of the frame, or a name"),
        ("600\n", "0\n", "region 1: keep is empty or reaches out of the frame, or a name"),
        ("[[region]]", "[region]", "write one [[region]] for each machine"),
        ("[[region]]", "[[regions]]", "unknown key 'regions'; did you mean \"region\"?"),
    ],
)
def test_rules_that_are_none(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert RULE.count(old) >= 1
    with pytest.raises(UsageError, match=r"site rules are not valid\.") as caught:
        read(tmp_path, RULE.replace(old, new))
    assert any(one.startswith(problem) for one in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("text", ["", "region = []", "region = 3", "region = [1]"])
def test_no_rules_at_all(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    wanted = "region 1: not a table" if "[1]" in text else "write one [[region]] for each machine"
    assert caught.value.problems == (wanted,)


def test_one_machine_has_one_rule(tmp_path: Path) -> None:
    other = RULE.replace("ACME", "acme").replace("100, 60", "90, 60")
    with pytest.raises(UsageError) as caught:
        read(tmp_path, RULE + other)
    assert caught.value.problems == ("two rules are for one maker, model and size of frames",)


def test_one_machine_has_one_rule_however_it_is_written(tmp_path: Path) -> None:
    # Blanks around a name do not matter to a file, so they must not here.
    with pytest.raises(UsageError):
        read(tmp_path, RULE + RULE.replace("ACME", " ACME "))


def test_all_problems_are_listed(tmp_path: Path) -> None:
    text = RULE.replace("keep", "kept") + RULE.replace("800", '"x"') + "other = 1\n[more]\n"
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert caught.value.problems == (
        "unknown key 'more'",
        "region 1: unknown key 'kept'; did you mean \"keep\"?",
        "region 1: missing key 'keep'",
        "region 2: unknown key 'other'",
    )


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"[[region", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"#" * (2**20 + 1), "larger than 1 MiB"),
    ],
)
def test_files_that_are_none(tmp_path: Path, data: bytes, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        read(tmp_path, data)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_site_rules(path)
