from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from bussynth.auditing.metrics import metrics_csv
from bussynth.report.shareable import shareable

Reports = Callable[[str], dict[str, Any]]
SECRET = "0.1234"
STAYS = ("radius", "ratios", "smallest", "tail_start", "tail_power", "histograms", "bin_edges",
         "assignment_sha256")  # fmt: skip


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _keys(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _keys(entry)


def test_distances_rows_and_digests_stay(make_report: Reports) -> None:
    report = make_report("FAIL")
    assert SECRET in json.dumps(report)
    kept = shareable(report)
    text = json.dumps(kept)
    assert SECRET not in text
    assert "hidden" not in text
    assert not set(STAYS) & set(_keys(kept))
    assert kept["inputs"]["synthetic"]["digest"] in text
    for role in ("train", "control"):
        assert report["inputs"][role]["digest"] not in text


def test_metrics_hold_no_distance(make_report: Reports) -> None:
    assert SECRET not in metrics_csv(make_report("FAIL"))


def test_new_fields_stay_until_somebody_lists_them(make_report: Reports) -> None:
    report = make_report("FAIL")
    report["tests"][4]["details"]["rows"][0]["nearest"] = 0.777
    report["tests"][4]["details"]["rows"][0]["score"] = {"row": 0.777}
    report["channels"][0]["rows"] = [1, 2]
    report["counts"]["list"] = [[0.777]]
    report["new"] = 0.777
    assert "0.777" not in json.dumps(shareable(report))
    assert "rows" not in shareable(report)["channels"][0]


def test_rounding_keeps_certainty_apart(make_report: Reports) -> None:
    report = make_report("FAIL")
    report["tests"][0]["estimate"] = 0.99999
    report["tests"][1]["estimate"] = 0.333333333
    report["tests"][2]["p_value"] = 0.000123456
    tests = shareable(report)["tests"]
    assert [tests[0]["estimate"], tests[1]["estimate"]] == [0.9999, 0.3333]
    assert tests[2]["p_value"] == 0.0001235


def test_aggregate_holds_nothing_more(make_report: Reports) -> None:
    """Every field of the part that is exported stands in the page that may be shown."""
    report = make_report("NO EVIDENCE ABOVE FLOOR")
    kept, aggregate = shareable(report), report["aggregate"]

    def inside(part: Any, whole: Any, path: str = "") -> None:
        if isinstance(part, dict):
            for key, entry in part.items():
                assert key in whole, f"{path}.{key}"
                inside(entry, whole[key], f"{path}.{key}")
        elif isinstance(part, list):
            assert len(part) <= len(whole), path
            for entry, other in zip(part, whole, strict=False):
                inside(entry, other, f"{path}[]")

    for name in ("verdict", "mode", "reasons", "spaces", "tests"):
        inside(aggregate[name], kept[name], name)
    controls = {**aggregate["controls"], "planted": []}
    inside(controls, kept["controls"], "controls")
    for entry, other in zip(
        aggregate["controls"]["planted"], kept["controls"]["planted"], strict=True
    ):
        shown = {**other, "demonstrated": other["lower"]}
        inside(entry, shown, "planted")
    inside(aggregate["inputs"], kept["counts"], "inputs")
    assert set(aggregate["settings"]) == set(kept["settings"])
    assert set(aggregate) == {
        "schema", "verdict", "mode", "reasons", "inputs", "spaces", "tests", "controls", "settings",
    }  # fmt: skip
