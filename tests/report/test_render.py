from __future__ import annotations

import html.parser
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.errors import DataError
from bussynth.images import encode_png
from bussynth.report.render import number, p_value, read_grid, read_report, render_report, share
from bussynth.report.wording import VERDICTS

Reports = Callable[[str], dict[str, Any]]
ALL = sorted(VERDICTS)
VOID = {"meta", "img", "br", "hr", "link", "input"}


PNG = encode_png(np.zeros((4, 4), np.uint8))


@pytest.fixture(scope="session")
def rendered() -> dict[str, str]:
    """Pages rendered once, by verdict: drawing takes a second."""
    return {}


@pytest.fixture
def render(make_report: Reports, rendered: dict[str, str]) -> Callable[[str], str]:
    def page(verdict: str) -> str:
        if verdict not in rendered:
            grid = None if verdict == "FAIL" else PNG
            rendered[verdict] = render_report(make_report(verdict), grid_png=grid)
        return rendered[verdict]

    return page


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bussynth.report.render.draw_figures", lambda report: {})


class Page(html.parser.HTMLParser):
    """Collects tags, attributes, ids and text; notices tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


@pytest.mark.parametrize("verdict", ALL)
def test_page_is_well_formed_and_names_the_verdict(
    render: Callable[[str], str], verdict: str
) -> None:
    page = Page(render(verdict))
    assert page.open == []
    assert f"VERDICT: {verdict}" in page.text
    assert VERDICTS[verdict].headline in page.text
    others = [VERDICTS[name].headline for name in ALL if name != verdict]
    assert not any(headline in page.text for headline in others)


@pytest.mark.parametrize("verdict", ALL)
def test_page_loads_nothing_and_runs_nothing(render: Callable[[str], str], verdict: str) -> None:
    text = render(verdict)
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "audio"}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "data", "srcset", "poster", "action"):
                assert (value or "").startswith(("data:image/png;base64,", "#")), (tag, value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert any(
        attributes.get("http-equiv") == "Content-Security-Policy"
        and (attributes.get("content") or "").startswith("default-src 'none'")
        for _, attributes in page.tags
    )


@pytest.mark.parametrize("verdict", ALL)
def test_ids_are_unique_and_figures_are_described(
    render: Callable[[str], str], verdict: str
) -> None:
    page = Page(render(verdict))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("role") == "img"
            assert attributes.get("aria-label")
        if tag == "img":
            assert attributes.get("alt")
    references = {
        value[1:] for _, attributes in page.tags if (value := attributes.get("xlink:href"))
    }
    assert references <= set(ids)
    assert sum(tag == "svg" for tag, _ in page.tags) == 6


@pytest.mark.parametrize("verdict", ALL)
def test_page_never_speaks_of_anonymity(render: Callable[[str], str], verdict: str) -> None:
    text = Page(render(verdict)).text.lower()
    for word in ("anonym", "de-identified", "gdpr-compliant", "guaranteed", "risk-free"):
        assert word not in text


def test_every_value_is_escaped(make_report: Reports) -> None:
    verdict = "INCONCLUSIVE"
    poison = "<script>alert(1)</script>\"' onload=x $\\frac{$"

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(entry, name) for name, entry in value.items()}
        if isinstance(value, list):
            return [poisoned(entry, key) for entry in value]
        if isinstance(value, str) and key not in ("schema", "verdict", "family"):
            return value + poison
        return value

    report = poisoned(make_report(verdict))
    report["comparison"]["split"]["by"] = [poison]
    for test, original in zip(report["tests"], make_report(verdict)["tests"], strict=True):
        test["name"] = original["name"]
    text = render_report(report)
    assert "<script" not in text
    assert not any(name.startswith("on") for _, found in Page(text).tags for name in found)
    assert "&lt;script&gt;" in text


def test_no_sample_images_and_a_reason_when_failed(render: Callable[[str], str]) -> None:
    assert "<img" not in render("FAIL")
    assert "would show that patient" in render("FAIL")
    assert "<img" in render("NO EVIDENCE ABOVE FLOOR")


def test_same_report_same_bytes(make_report: Reports, render: Callable[[str], str]) -> None:
    again = json.loads(json.dumps(make_report("FAIL"), sort_keys=True))
    assert render_report(again) == render("FAIL")


@pytest.mark.usefixtures("no_figures")
def test_remedies_follow_from_the_findings(make_report: Reports) -> None:
    fine = render_report(make_report("NO EVIDENCE ABOVE FLOOR"))
    assert "What to do" not in fine
    assert "blur 6 % (4 % found)" in fine
    report = make_report("INCONCLUSIVE")
    report["controls"]["planted"][0]["passed"] = False
    report["controls"]["null"][0]["fired"] = True
    report["controls"]["duplicates"]["near"] = 2
    page = render_report(report)
    for step in ("--patients", "bussynth split", "not found often enough", "must show nothing did",
                 "give that person one key"):  # fmt: skip
        assert step in page


def test_empty_report_renders(make_report: Reports) -> None:
    report = make_report("INCONCLUSIVE")
    report["controls"] |= {"planted": [], "dose_response": [], "null": []}
    report["controls"]["limit_of_detection"] = {"copies": None, "contrast": None, "either": None}
    for test in report["tests"]:
        test |= {"estimate": None, "interval": None, "p_value": None}
        test["details"] = {} if test["name"] == "disclosure" else test["details"]
    report["tests"][2]["details"]["shares"] = []
    page = render_report(report)
    assert "<svg" not in page
    assert "not estimable" in page


@pytest.mark.usefixtures("no_figures")
def test_unknown_test_is_shown_plainly(make_report: Reports) -> None:
    report = make_report("FAIL")
    report["tests"].append(
        {**report["tests"][2], "name": "membership", "question": "Was the patient in?"}
    )
    assert "Was the patient in?" in render_report(report)


def test_foreign_reports_are_refused(make_report: Reports, tmp_path: Path) -> None:
    report = make_report("FAIL")
    for change in ({"schema": "other/1"}, {"verdict": "PASS"}, {"tests": None}, {"controls": {}}):
        with pytest.raises(DataError):
            render_report({**report, **change})
    file = tmp_path / "report.json"
    with pytest.raises(DataError, match="Cannot read"):
        read_report(file)
    for text in ("", "{", "[]", "[" * 100_000, '"\ud800"'.encode("utf-8", "replace").decode()):
        file.write_text(text)
        with pytest.raises(DataError):
            read_report(file)
    file.write_text(json.dumps(report))
    assert read_report(file) == report
    assert read_grid(file) is None
    (tmp_path / "samples.png").write_bytes(b"png")
    assert read_grid(file) == b"png"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0 %"), (1.0, "100.0 %"), (0.99999, "99.9 %"), (0.00001, "below 0.1 %"),
        (-0.008, "−0.8 %"), (None, "not estimable"),
    ],
)  # fmt: skip
def test_share_never_rounds_to_certainty(value: float | None, text: str) -> None:
    assert share(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_other_formats() -> None:
    assert [p_value(v) for v in (None, 0.0004, 0.03, 0.0999, 1.0)] == [
        "not estimable", "below 0.001", "0.030", "0.10", "1.00",
    ]  # fmt: skip
    assert number([0.1, 3]) == "0.1, 3"
    assert number(1 / 3) == "0.3333"
