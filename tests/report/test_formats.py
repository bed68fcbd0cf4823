from __future__ import annotations

import pytest

from bussynth.report.formats import (
    amount,
    band,
    count,
    frequency,
    number,
    p_value,
    percent,
    points,
    share,
)


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
    assert percent(0.001) == "0.1\N{NO-BREAK SPACE}%"
    assert (count(None), count(12345)) == ("unknown", "12,345")
    assert [amount(n, "image") for n in (0, 1, 1000)] == ["0 images", "1 image", "1,000 images"]
    assert [points(v) for v in (0.0526, -0.032, -0.0001)] == [
        "5.3 points", "−3.2 points", "0.0 points",
    ]  # fmt: skip
    assert [frequency(p) for p in (0.115, 0.026, 0.004, 0.0004, 1.0)] == [
        "about 12 of 100 audits", "about 3 of 100 audits", "about 4 of 1,000 audits",
        "fewer than 1 of 1,000 audits", "nearly all audits",
    ]  # fmt: skip
    assert band(None) == "not estimable"
    text = band({"low": 0.1, "high": 0.2, "confidence": 0.95}).replace("\N{NO-BREAK SPACE}", " ")
    assert text == "10.0 % to 20.0 % (95 % confidence)"
