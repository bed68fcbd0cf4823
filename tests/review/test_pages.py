from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bussynth.cohort import Cohort
from bussynth.errors import DataError, UsageError
from bussynth.review.config import ReviewConfig
from bussynth.review.folder import ReviewFolder
from bussynth.review.material import Preview, read_previews, write_previews
from bussynth.review.pages import check_pages, write_pages
from bussynth.review.sheets import arrange, layout_digest

SMALL = ReviewConfig(per_page=3)


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="review-data">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.fixture
def pages(cohort: Path) -> Path:
    write_pages(cohort, config=SMALL)
    return cohort / "review" / "pages"


def test_every_image_is_on_one_page_with_its_picture(cohort: Path, pages: Path) -> None:
    assert sorted(file.name for file in pages.glob("*.html")) == [
        "index.html", "page-0001.html", "page-0002.html", "page-0003.html",
    ]  # fmt: skip
    by_id = {row.id: row.picture for row in read_previews(cohort / "review" / "previews.parquet")}
    shown = []
    for file in sorted(pages.glob("page-*.html")):
        page = file.read_text(encoding="utf-8")
        ids = embedded(page)["ids"]
        sources = [a["src"] for tag, a in _Tags(page).seen if tag == "img"]
        assert len(sources) == len(ids)
        for name, source in zip(ids, sources, strict=True):
            assert (pages / str(source)).read_bytes() == by_id[name]
        shown += ids
    assert sorted(shown) == sorted(by_id)
    # Blanked and flagged ones first.
    assert shown[:2] == ["row-0000", "row-0004"]


def test_pages_load_nothing_and_run_one_script(pages: Path) -> None:
    for file in pages.glob("*.html"):
        page = file.read_text(encoding="utf-8")
        tags = _Tags(page).seen
        policy = next(a["content"] for tag, a in tags if "http-equiv" in a)
        assert policy is not None
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
        for name in ("style", "script"):
            (text,) = re.findall(f"<{name}>(.*?)</{name}>", page, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{name}-src 'sha256-{digest}'" in policy
        for tag, attributes in tags:
            assert "style" not in attributes, tag
            assert not [name for name in attributes if name.startswith("on")], tag
            for key in ("src", "href", "action", "data", "srcset"):
                value = attributes.get(key) or ""
                assert re.fullmatch(r"[a-z0-9/.-]*", value), value
                assert ".." not in value
        assert "url(" not in page
        assert "@import" not in page


def test_what_the_record_says_is_shown_and_escaped(pages: Path) -> None:
    index = (pages / "index.html").read_text(encoding="utf-8")
    assert "ZZCANARY&lt;b&gt;&amp;" in index
    assert "<b>&<" not in index
    text = html.unescape(re.sub(r"<[^>]+>", " ", index))
    words = " ".join(text.split())
    assert "8 files kept, with 8 images" in words
    assert "1 files in quarantine" in words
    assert "quarantined no-region No ultrasound region is described. 1" in words
    assert "text 2 with something blanked 2 none of these 6" in words


def test_data_cannot_end_their_script(cohort: Path, preview: Callable[..., Preview]) -> None:
    pictures = cohort / "review" / "previews.parquet"
    evil = "</script><script>alert(1)</script>"
    rows = [preview(number, id=f"{evil}{number}") for number in range(2)]
    write_previews(pictures, rows)
    record = cohort / "cohort.json"
    record.rename(cohort / "deidentification.json")
    made = write_pages(cohort)
    page = made.index.with_name("page-0001.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 2
    assert evil not in page
    assert embedded(page)["ids"] == [row.id for row in rows]


def test_files_beside_a_record_are_shown_too(files: Path) -> None:
    made = write_pages(files)
    assert (made.images, made.pages, made.decisions["kept"]) == (3, 1, 3)
    assert "engine" in made.index.read_text(encoding="utf-8")
    # The pages are no part of what is reviewed.
    assert made.digest == ReviewFolder.open(files).digest()


def test_order_and_layout(preview: Callable[..., Preview]) -> None:
    rows = [
        preview(1, id="d"),
        preview(2, id="c", flags=("doppler",)),
        preview(3, id="b", blanked=((0, 0, 40, 40),)),
        preview(5, id="a", flags=("text", "calipers"), blanked=((0, 0, 4, 4),)),
    ]
    risk = arrange(rows, ReviewConfig(per_page=3))
    assert [tile.preview.id for sheet in risk for tile in sheet.tiles] == ["a", "b", "c", "d"]
    assert [tile.row for tile in risk[0].tiles] == [3, 2, 1]
    assert ([sheet.risky for sheet in risk], [sheet.number for sheet in risk]) == ([3, 0], [1, 2])
    assert risk[0].tiles[1].blanked_share == pytest.approx(1600 / 4800)
    by_id = arrange(rows[::-1], ReviewConfig(per_page=3, order="id"))
    assert [tile.preview.id for tile in by_id[0].tiles] == ["a", "b", "c"]
    assert layout_digest(risk) == layout_digest(by_id)
    assert layout_digest(risk) != layout_digest(arrange(rows, ReviewConfig(per_page=2)))


def test_the_place_of_the_pages(cohort: Path, tmp_path: Path) -> None:
    for place in (cohort, cohort / "review", cohort / "pages", cohort / "data"):
        with pytest.raises(UsageError):
            check_pages(cohort, place, force=True)
    outside = tmp_path / "out"
    write_pages(cohort, outside)
    with pytest.raises(UsageError, match="--force"):
        write_pages(cohort, outside)
    write_pages(cohort, outside, config=SMALL, force=True)
    assert len(list(outside.glob("page-*.html"))) == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").touch()
    with pytest.raises(UsageError):
        check_pages(cohort, tmp_path / "other", force=True)


def test_nothing_is_written_without_a_picture_of_every_image(
    cohort: Path, new_cohort: Callable[..., Cohort], tmp_path: Path
) -> None:
    (cohort / "review" / "previews.parquet").unlink()
    with pytest.raises(DataError, match="nothing to review"):
        write_pages(cohort)
    assert not (cohort / "review" / "pages").exists()
