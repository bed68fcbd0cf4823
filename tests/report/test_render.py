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
from bussynth.report.annex import build_annex, pick_pictures
from bussynth.report.render import read_grid, read_report, render_internal, render_report
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
    assert sum(tag == "svg" for tag, _ in page.tags) == 7


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
        if isinstance(value, str) and key not in ("schema", "verdict", "family", "group"):
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
    assert "missed by the near-copy search: blur 6 % (4\N{NO-BREAK SPACE}% found)" in fine
    assert "could not be planted in this run: lesion in another breast" in fine
    report = make_report("INCONCLUSIVE")
    report["controls"]["planted"][0]["passed"] = False
    report["controls"]["null"][0]["fired"] = True
    report["controls"]["duplicates"]["near"] = 2
    report["controls"]["self_check"]["mismatch_rate"] = 0.01
    report["spaces"][2]["admitted"] = report["channels"][0]["admitted"] = False
    report["tests"][1]["details"]["control_images"] = 2
    report["tests"][5]["estimate"] = None
    report["limits"] = ["The setting alpha is looser than its default, so it finds less."]
    page = Page(render_report(report)).text
    for step in ("--patients", "bussynth split", "not found often enough: exact", "nothing did",
                 "give that person one key", "two ways of computing", "--encoder",
                 "No copy search passed", "fired on control patients too", "(singling out)",
                 "default settings"):  # fmt: skip
        assert step.lower() in page.lower(), step


@pytest.mark.usefixtures("no_figures")
def test_too_few_planted_copies_are_named_as_the_cause(make_report: Reports) -> None:
    report = make_report("INCONCLUSIVE")
    for entry in report["controls"]["planted"]:
        entry |= {"planted": 40, "passed": False}
    page = render_report(report)
    assert "Only 40 copies were planted" in page
    assert "not found often enough" not in page


@pytest.mark.usefixtures("no_figures")
def test_headline_is_the_bound_on_patients(make_report: Reports) -> None:
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    text = " ".join(Page(render_report(report)).text.split())
    assert "at most 5.0 % of the training patients (about 15 of 300) have a synthetic" in text
    assert "best estimate 0.0 %. Close is not recognised: no copy was flagged." in text
    report["tests"][1]["details"]["control_images"] = 1
    assert "no copy was flagged" not in render_report(report)
    report["tests"][3] |= {"estimate": None, "interval": None, "p_value": None}
    report["tests"][3]["details"] |= {"worst": None, "rows": [], "curve": [], "reason": "too few"}
    text = " ".join(Page(render_report(report)).text.split())
    assert "not estimable how many training patients" in text


@pytest.mark.usefixtures("no_figures")
def test_mode_and_ledger_are_said(make_report: Reports) -> None:
    assert "Exploratory audit" in render_report(make_report("INCONCLUSIVE"))
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    page = render_report(report)
    assert "Exploratory audit" not in page
    assert '<li class="flag">Another set failed before.</li>' in page
    del report["ledger"], report["model"]
    report["registration"] = {"time": "2026-01-01", "sha256": "f" * 64, "file": "/home/jane/x"}
    page = render_report(report)
    assert "No run ledger was kept" in page
    assert "f" * 64 in page
    assert "jane" not in page


@pytest.mark.usefixtures("no_figures")
def test_a_test_that_only_fires_alone_is_a_weak_sign(make_report: Reports) -> None:
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    report["tests"][4] |= {"fired": True, "p_value": 0.02}
    page = render_report(report)
    assert "WEAK SIGN" in page
    assert "at most 5 of 100 audits. With 6 tests run together" in page
    assert "(p = 0.80 after allowing for all)" in page
    report["adjusted_p_values"]["membership"] = 0.04
    page = render_report(report)
    assert "weak sign" not in page.lower()
    assert "LEAKAGE SIGN" in page


@pytest.mark.usefixtures("no_figures")
def test_the_largest_of_many_is_not_overrated(make_report: Reports) -> None:
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    few = report["tests"][2]["details"]["shares"][1]
    few |= {"n_images": 40, "estimate": 1.0, "interval": {**few["interval"], "low": 1, "high": 1}}
    text = " ".join(Page(render_report(report)).text.split())
    assert "of the 40 closest in one of 3 spaces all 40 (chance alone, over all rows: p" in text
    assert "none: all images agree" in text
    assert "100.0 % to 100.0 %" not in text
    assert "the best of 6 scores" in text
    assert "among new patients the false alarms may be 7.0 % to 14.0 %" in text
    assert "the largest of 6 rows of such groups" in text


@pytest.mark.usefixtures("no_figures")
def test_excess_is_shown_with_its_steps(make_report: Reports) -> None:
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    guess = report["tests"][7]["details"]["rows"][0]
    guess |= {"attribute": "birads", "baseline": 0.35}
    text = " ".join(Page(render_report(report)).text.split())
    assert "Difference1.0 points Of those control leaves unlinked (71.0 %)1.0 %" in text
    assert "1.4 %; divided by 40.0 %, the share of the training patients" in text
    assert "patients: below the simple guess (35.0 %), so of no use to anybody." in text
    assert "“BI-RADS”" in text
    guess["baseline"] = None
    assert "of no use" not in render_report(report)


@pytest.mark.usefixtures("no_figures")
def test_limit_of_detection_names_what_found_the_copies(make_report: Reports) -> None:
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    limit = report["controls"]["limit_of_detection"]
    assert "the comparison of training with control needed 30." in render_report(report)
    limit |= {"contrast": None}
    assert "needed more than the 30 tried." in render_report(report)
    limit |= {"copies": None, "contrast": 30, "either": 30}
    assert "the copy search needed more than the 30 tried." in render_report(report)


@pytest.mark.usefixtures("no_figures")
def test_a_turned_copy_is_not_said_to_be_missed_altogether(make_report: Reports) -> None:
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    report["controls"]["planted"][2]["name"] = "upside down"
    assert "an otherwise unchanged one is caught by “Same picture”" in render_report(report)


@pytest.mark.usefixtures("no_figures")
def test_encoders_are_calibrated_by_what_they_did_not_learn_from(make_report: Reports) -> None:
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    page = render_report(report)
    assert "did not learn from" not in page
    report["channels"].append({**report["channels"][0], "name": "learned 1"})
    page = render_report(report)
    assert "1 of 480 control images it did not learn from" in page
    assert "hence “1\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}480” rather than 480" in page


def test_empty_report_renders(make_report: Reports) -> None:
    report = make_report("INCONCLUSIVE")
    report["spaces"] = report["channels"] = []
    report["controls"] |= {"planted": [], "dose_response": [], "null": [], "agreement": None}
    report["controls"]["limit_of_detection"] = {"copies": None, "contrast": None, "either": None}
    for test in report["tests"]:
        test |= {"estimate": None, "interval": None, "p_value": None}
        for key in ("rows", "shares", "curve", "attacks"):
            test["details"] |= {key: []} if key in test["details"] else {}
    report["tests"][3]["details"]["worst"] = None
    page = render_report(report)
    assert "<svg" not in page
    assert "not estimable" in page


@pytest.mark.usefixtures("no_figures")
def test_unknown_test_is_shown_plainly(make_report: Reports) -> None:
    report = make_report("FAIL")
    report["tests"].append(
        {**report["tests"][2], "name": "tomorrow", "question": "Was the patient in?",
         "details": {"row": 7654321}}
    )  # fmt: skip
    page = render_report(report)
    assert "Was the patient in?" in page
    assert "7654321" not in page


def test_internal_page_shows_what_the_other_must_not(
    make_report: Reports, private: dict[str, Any]
) -> None:
    report = make_report("FAIL")
    rng = np.random.default_rng(1)
    images = {
        role: rng.integers(0, 256, (20, 300, 200)).astype(np.uint8)
        for role in ("synthetic", "train", "control")
    }
    pictures = pick_pictures(private, images)
    assert set(pictures) == {
        ("synthetic", 3), ("train", 7), ("synthetic", 5), ("train", 9), ("control", 1),
        ("train", 2), ("control", 3), ("control", 4),
    }  # fmt: skip
    text = render_internal(report, build_annex(report, private, pictures))
    page = Page(text)
    assert page.open == []
    assert page.text.count("INTERNAL — must stay inside the site") == 1
    assert sum(tag == "img" for tag, _ in page.tags) == 8
    assert "training row 9" in page.text
    assert "11, 12" in page.text
    assert "0.1235" in page.text
    assert sum(tag == "svg" for tag, _ in page.tags) == 8
    alone = Page(render_report(report)).text
    for secret in ("row 9", "11, 12", "0.123", "INTERNAL", "Histogram"):
        assert secret not in alone
    # Pictures that were not given are left out, and the rest still stands.
    bare = render_internal(report, build_annex(report, private, {}))
    assert "<img" not in bare
    assert "1 more are in private.json" in bare


def test_many_pictures_keep_the_page_small(make_report: Reports, private: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (60, 256, 256)).astype(np.uint8)
    entry = private["copies"][0]
    private["copies"] = [{**entry, "synthetic": i, "train": i} for i in range(60)]
    pictures = pick_pictures(private, {"synthetic": noise, "train": noise})
    report = make_report("FAIL")
    text = render_internal(report, build_annex(report, private, pictures))
    assert len(text) < 1.5e6
    assert "20 more are in private.json" in text


def test_foreign_reports_are_refused(make_report: Reports, tmp_path: Path) -> None:
    report = make_report("FAIL")
    old = {"schema": "bussynth-audit/1", "environment": {"bussynth": "0.1.0"}}
    with pytest.raises(DataError, match=r"bussynth-audit/1.*bussynth 0\.1\.0, or run"):
        render_report({**report, **old})
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
