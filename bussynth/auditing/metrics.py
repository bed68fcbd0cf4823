"""``metrics.csv``: every number of the report in one table, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["metrics_csv"]

_COLUMNS = ("part", "name", "estimate", "low", "high", "confidence", "p_value", "fired", "n")
_FORMULA = ("=", "+", "-", "@")


def metrics_csv(report: Mapping[str, Any]) -> str:
    """List the numbers of a report.

    Args:
        report: Content of ``report.json``.

    Returns:
        CSV with a header; shares lie in 0..1, empty cells mean "not estimable" or "not given".
        A text that a spreadsheet would run as a formula is preceded by an apostrophe.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _rows(report):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # Line breaks and tabs first: a spreadsheet may drop them and then see the formula.
    line = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return "'" + line if line.startswith(_FORMULA) else line


def _rows(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"part": "verdict", "name": report["verdict"]}
    for test in report["tests"]:
        n = "; ".join(f"{key} {count}" for key, count in test["n"].items())
        yield {"part": "test", **_measured(test), "fired": test["fired"], "n": n}
        for share in test["details"].get("shares", ()):
            name = f"closest {share['tail']:.4g}, {share['space']}"
            yield {
                "part": "closest share",
                **_measured(share),
                "name": name,
                "n": f"images {share['n_images']}; patients {share['n_patients']}",
            }
    controls = report["controls"]
    for recall in controls["planted"]:
        yield {
            "part": "planted copies",
            "name": recall["name"],
            "estimate": recall["recall"],
            **_interval(recall["interval"]),
            "n": recall["planted"],
        }
    for dose in controls["dose_response"]:
        for key in ("copies", "contrast", "either"):
            yield {
                "part": "dose response",
                "name": f"{dose['copies']} planted, found by {key}",
                "estimate": dose[f"by_{key}"],
                "n": dose["repeats"],
            }
    for key, copies in controls["limit_of_detection"].items():
        yield {"part": "limit of detection", "name": key, "estimate": copies}
    for null in controls["null"]:
        yield {
            "part": "null comparison",
            "name": null["name"],
            "p_value": null["p_value"],
            "fired": null["fired"],
            "n": null["n_images"],
        }


def _measured(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": entry.get("name"),
        "estimate": entry["estimate"],
        **_interval(entry["interval"]),
        "p_value": entry["p_value"],
    }


def _interval(interval: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(interval) if interval else {}
