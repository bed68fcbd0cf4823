from __future__ import annotations

import pytest

from bussynth.package.names import is_plain_word, name_problem, names_problems, shown, text_problem

BAD_NAMES = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "a/../x",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\\b",
    "..\\x",
    "C:\\x",
    "C:/x",
    "c:x",
    "\\\\srv\\share",
    "//srv/share",
    "file:stream",
    "CON",
    "nul.txt",
    "data/COM1.parquet",
    "lpt9",
    "a.",
    "a ",
    " a",
    "a/.hidden",
    ".git/config",
    "a\x00b",
    "a\nb",
    "a\x1b[31m",
    "a\u202ecod.exe",
    "a\u200bb",
    "caf\u00e9",
    "cafe\u0301",
    "COM\u00b9",
    "~root",
    "-rf",
    "a*b",
    "a|b",
    "a" * 129,
    "/".join("abcdefghi"),
    "/".join(["a" * 100] * 6),
    None,
    7,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name(name: object) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert problem.isprintable()
    assert problem.isascii() or "…" in problem


@pytest.mark.parametrize(
    "name", ["README.md", "data/train-00000-of-00001.parquet", "a/b/c/d/e/f/g/h", "contact.md"]
)
def test_good_name(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "a"], "twice"),
        (["data/A.parquet", "data/a.parquet"], "beside"),
        (["data", "data/a"], "inside another"),
        (["Data", "data/a"], "inside another"),
        (["a", "../b"], "relative"),
    ],
)
def test_names_against_each_other(names: list[str], reason: str) -> None:
    assert [reason in problem for problem in names_problems(names)] == [True]


def test_all_bad_names_are_reported_at_once() -> None:
    assert len(names_problems(BAD_NAMES)) == len(BAD_NAMES)
    assert names_problems(["a", "b/c", "b/d"]) == []
    assert names_problems([]) == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "a\nb", "a\tb", "\x1b]0;x\x07", "\u202eabc", "a\u200bb", "\ue000"),
        *("\ud800", "a\u2028b", "e\u0301", "x" * 201, None, 3, ["a"]),
    ],
)
def test_bad_text(text: object) -> None:
    problem = text_problem(text, what="field")
    assert problem is not None
    assert problem.startswith("field: ")
    assert problem.isprintable()


def test_good_text() -> None:
    assert text_problem("Universitätsklinik, 100 % <b> 腫瘍", what="field") is None


def test_shown_is_safe_for_a_terminal() -> None:
    assert shown("\x1b[2Ja") == "'\\x1b[2Ja'"
    assert len(shown("x" * 1000)) < 100
    assert shown({"a": 1}) == "a dict"


def test_plain_words() -> None:
    assert is_plain_word("benign")
    assert not is_plain_word("../benign")
    assert not is_plain_word("")
