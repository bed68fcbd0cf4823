from __future__ import annotations

import xml.etree.ElementTree as ET

from bussynth.report.charts import Mark, Rates, Strip, dumbbells, histogram, ribbon, strips
from bussynth.report.plots import Band, curves, forest, panels


def _text(svg: str) -> str:
    return " ".join(ET.fromstring(svg).itertext())


def _bands(n: int) -> list[Band]:
    return [Band(label=f"row {i}", value=i / 10, low=0.0, high=0.9) for i in range(n)]


def test_forest_is_xml_with_text_and_a_label() -> None:
    svg = forest(_bands(3), name="f", label="A & B", axis="share", line=0.5, line_label="half")
    root = ET.fromstring(svg)
    assert root.get("aria-label") == "A & B"
    assert all(word in _text(svg) for word in ("row 0", "row 2", "half", "share", "100 %"))
    assert root.get("width") is None
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_figures_of_one_page_share_no_ids() -> None:
    def ids(name: str) -> set[str]:
        svg = forest(_bands(2), name=name, label="x", axis="x", line=0.5)
        return {found for entry in ET.fromstring(svg).iter() if (found := entry.get("id"))}

    assert ids("one")
    assert not ids("one") & ids("two")


def test_labels_are_no_markup_and_no_mathematics() -> None:
    label = "<b>$x^2$</b>"
    band = Band(label=label, value=0.5)
    assert label in _text(forest([band], name="a", label="x", axis="$a$", line=None))
    assert label in _text(panels([(label, [band, band])], name="b", label="x", line=0.5))
    svg = curves([1, 10], [(label, [0.0, 1.0])], name="c", label="x", axis="n", level=0.8)
    assert label in _text(svg)


def test_same_numbers_same_bytes() -> None:
    first, second = (
        curves([1, 3], [("a", [0, 1]), ("b", [1, 0])], name="c", label="x", axis="n", level=None)
        for _ in range(2)
    )
    assert first == second


def test_single_points_draw() -> None:
    assert forest(_bands(1), name="a", label="x", axis="x", line=None)
    assert curves([1], [("a", [0.5])], name="b", label="x", axis="n", level=0.8)
    assert panels([("p", _bands(1))], name="c", label="x", line=None)


def test_attack_figures_say_in_text_what_they_show() -> None:
    label = "<b>$x$</b>"
    marks = [[Mark(0, 0.5, 0.4, 0.6), Mark(1, 0.7)], []]
    svg = strips(
        [label, "b"], [Strip("s", marks, 0.5, "guess")], ["all", "few"], name="s", label="x"
    )
    assert all(word in _text(svg) for word in (label, "guess", "all", "few"))
    rows = [Rates(label, 0.2, 0.1, 0.05), Rates("none", 0.0, 0.0, None)]
    svg = dumbbells([("Linked", rows)], name="d", label="x", base="a guess")
    assert all(word in _text(svg) for word in (label, "Linked", "training", "control", "a guess"))
    svg = ribbon(
        [0.01, 0.1], [0.0, 0.1], [-0.1, 0.0], [0.2, 0.3], [[0.0, 0.0]], name="r", label="x",
        axes_labels=("a", "b"), declared=0.05,
    )  # fmt: skip
    assert all(word in _text(svg) for word in ("1 %", "10 %", "declared", "other spaces"))
    svg = histogram([0, 1, 2, 3], [0, 2, 1], [0, 0, 4], name="h", label="x")
    assert all(word in _text(svg) for word in ("training", "control", "distance"))


def test_panels_compare_two_curves() -> None:
    bands = _bands(2)
    svg = panels(
        [("p", bands)], name="p", label="x", line=0.9, others=[[0.0, 0.1]], legend=("all", "best"),
    )  # fmt: skip
    assert all(word in _text(svg) for word in ("all", "best"))
