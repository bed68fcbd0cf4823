from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from bussynth.report.contact_sheet import SheetGroup, SheetImage, render_contact_sheet

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 16), dtype=np.uint8)


def _group(number: int = 1, images: int = 2, pixels: np.ndarray = PIXELS) -> SheetGroup:
    made = tuple(SheetImage(10 * number + i, pixels, (f"split: s{i}",)) for i in range(images))
    return SheetGroup(f"Group {number}", ("across patients", "contradicting birads"), 0.123, made)


def _pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for png in found]


def test_the_page_shows_pixels_rows_and_problems_and_says_that_it_stays() -> None:
    page = render_contact_sheet([_group()])
    assert "must stay inside the site" in page
    assert "across patients, contradicting birads" in page
    assert "ratio 0.12" in page
    assert "row 10" in page
    assert "row 11" in page
    assert "split: s1" in page
    assert "1 group found" in page
    pictures = _pictures(page)
    assert len(pictures) == 2
    assert all((picture == PIXELS).all() for picture in pictures)


def test_the_page_loads_and_runs_nothing_and_escapes() -> None:
    evil = SheetImage(0, PIXELS, ('<img src="http://x">',))
    page = render_contact_sheet([SheetGroup("Group 1", ("<b>",), 0.0, (evil, evil))])
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert set(re.findall(r'<img alt="Row 0" src="(data:image/png);base64', page)) == {
        "data:image/png"
    }
    assert page.count("<img") == 2


def test_long_lists_are_cut_with_a_count_of_the_rest() -> None:
    page = render_contact_sheet([_group(number) for number in range(1, 204)])
    assert page.count("<section") == 200
    assert "203 groups found; 200 are shown, 3 are left out" in page
    page = render_contact_sheet([_group(images=15)])
    assert len(_pictures(page)) == 12
    assert "and 3 more" in page


def test_large_images_are_shown_small() -> None:
    page = render_contact_sheet([_group(pixels=np.zeros((1024, 512), np.uint8))])
    assert {picture.shape for picture in _pictures(page)} == {(256, 128)}


def test_no_group_is_said() -> None:
    page = render_contact_sheet([])
    assert "0 groups found" in page
    assert "Nothing to show" in page


def test_pairs_that_meet_no_rule_are_shown_apart() -> None:
    pair = SheetGroup("Pair 1", (), 0.61, _group().images)
    page = render_contact_sheet([], [pair])
    assert page.index("Nothing to show") < page.index("do not meet the rule") < page.index("Pair 1")
    assert "not counted" in page
    assert "do not meet the rule" not in render_contact_sheet([_group()])
