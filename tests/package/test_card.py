from __future__ import annotations

from typing import Any

import pytest
import yaml

from bussynth.package.card import license_text, license_url, render_card

FACTS: dict[str, Any] = {
    "name": "demo",
    "version": "1.0.0",
    "license": "CC-BY-4.0",
    "description": "Images.",
    "url": None,
    "publisher": "Example",
    "created_at": "2026-01-02T03:04:05Z",
    "tool_version": "0.1.0",
    "images": 3,
    "height": 16,
    "width": 20,
    "conditions": {"pathology": {"benign": 3}},
    "boxes": "for 1 of 3 images",
    "masks": "no",
    "verdict": "NO EVIDENCE ABOVE FLOOR",
    "reasons": ("Floor 0.93.",),
    "aggregate": {"copies": {"recall": 0.99123, "interval": [0.97, 1.0], "ok": True}},
    "accepted_inconclusive": False,
    "derived": None,
    "key_id": "ab" * 32,
}


def front_matter(card: str) -> dict[str, Any]:
    _, text, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(text))


def test_front_matter_is_what_dataset_hubs_read() -> None:
    matter = front_matter(render_card(FACTS))
    assert matter["license"] == "cc-by-4.0"
    assert "synthetic" in matter["tags"]
    assert matter["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train-*.parquet"}
    ]


@pytest.mark.parametrize(
    ("images", "size"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**6, "100K<n<1M")],
)
def test_size_category(images: int, size: str) -> None:
    assert front_matter(render_card(FACTS | {"images": images}))["size_categories"] == [size]


def test_card_says_what_was_audited_and_never_that_it_is_anonymous() -> None:
    card = render_card(FACTS)
    for text in ("NO EVIDENCE ABOVE FLOOR", "Floor 0.93.", "| copies / recall | 0.9912 |"):
        assert text in card
    for text in ("| copies / interval | 0.97, 1 |", "| copies / ok | yes |", "Forbidden use"):
        assert text in card
    assert "anonym" not in card.lower()
    assert "could not decide" not in card


def test_inconclusive_is_said_plainly() -> None:
    card = render_card(FACTS | {"verdict": "INCONCLUSIVE", "accepted_inconclusive": True})
    assert "**could not decide**" in card
    assert "released the package nevertheless" in card


def test_values_cannot_write_markdown_or_html() -> None:
    evil = "<script>alert(1)</script> [x](http://evil) | `c` **b** --- {{ 7*7 }}"
    card = render_card(FACTS | {"description": evil, "publisher": evil, "reasons": (evil,)})
    assert "<script" not in card.replace("\\<script", "")
    assert "[x](" not in card.replace("\\[x\\](", "")
    assert "49" not in card
    assert "\\| \\`c\\`" in card
    table = [line for line in card.splitlines() if line.startswith("| Publisher")]
    assert table[0].replace("\\|", "").count("|") == 3
    assert front_matter(card)["pretty_name"] == "demo"


def test_line_that_would_open_a_list_is_escaped() -> None:
    assert "\n1\\. A\n" in render_card(FACTS | {"description": "1. A"})
    assert "\n\\- A\n" in render_card(FACTS | {"description": "- A"})


def test_long_aggregates_are_cut_and_the_rest_is_counted() -> None:
    card = render_card(FACTS | {"aggregate": {f"f{i:03d}": i for i in range(70)}})
    assert "10 more figures" in card
    assert "| f059 | 59 |" in card
    assert "f060" not in card


def test_nested_aggregates() -> None:
    card = render_card(FACTS | {"aggregate": {"a": [{"b": None}, {"b": [1, 2, 3]}]}})
    assert "| a / 1 / b | not available |" in card
    assert "| a / 2 / b | 1, 2, 3 |" in card


def test_named_records_take_one_line() -> None:
    record = {
        "name": "flip",
        "recall": 0.99,
        "p_value": None,
        "ci": {"low": 0.9, "high": 1.0, "confidence": 0.95},
    }
    card = render_card(FACTS | {"aggregate": {"planted": [record], "settings": {"seed": 77}}})
    assert (
        "| planted / flip | recall 0.99; p value not available; ci 0.9 to 1 at confidence 0.95 |"
        in card
    )
    assert "77" not in card


def test_licences() -> None:
    assert license_url("CC-BY-4.0") == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert license_url("LicenseRef-ours") is None
    assert "SPDX-License-Identifier: LicenseRef-ours" in license_text("LicenseRef-ours", "X")
    matter = front_matter(render_card(FACTS | {"license": "LicenseRef-ours"}))
    assert (matter["license"], matter["license_name"]) == ("other", "licenseref-ours")
