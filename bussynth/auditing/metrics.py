"""``metrics.csv``: every number of the report in one table, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
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
        Summary numbers only: no distance, no threshold, no row.
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
        details = _DETAILS.get(test["name"])
        if details is not None:
            yield from details(test["name"].replace("_", " "), test["details"])
    for space in report.get("spaces", ()):
        yield {"part": "space admitted", "name": space["name"], "estimate": int(space["admitted"])}
    for channel in report.get("channels", ()):
        yield from _channel(channel)
    yield from _controls(report["controls"])


def _channel(channel: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    name, found, lines = channel["name"], channel["findings"], channel["thresholds"]
    yield {"part": "copy search admitted", "name": name, "estimate": int(channel["admitted"])}
    for key in ("train_images", "train_patients", "control_images", "control_patients"):
        label = f"{name}, {key.replace('_', ' ')}"
        yield {"part": "copies", "name": label, "estimate": found[key], "n": found["n_images"]}
    total = lines["control_images"]
    yield {
        "part": "false alarms of control images",
        "name": name,
        "estimate": lines["control_fired"] / total if total else None,
        **_interval(lines["control_rate"] if total else None),
        "n": total,
    }


def _controls(controls: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for recall in controls["planted"]:
        made = recall["planted"]
        yield {
            "part": "planted copies",
            "name": recall["name"],
            "estimate": recall["recall"] if made else None,
            **_interval(recall["interval"] if made else None),
            "n": made,
        }
        for channel, found in (recall.get("by_channel") or {}).items():
            if made:
                label = f"{recall['name']}, by {channel}"
                estimate = found / made
                yield {"part": "planted copies", "name": label, "estimate": estimate, "n": made}
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
    agreement = controls.get("agreement")
    if agreement:
        yield {
            "part": "agreement of encoders",
            "name": "rank correlation",
            "estimate": agreement["correlation"],
            **_interval(agreement["interval"]),
            "n": agreement["patients"],
        }
    for key, found in (controls.get("duplicates") or {}).items():
        yield {"part": "duplicates", "name": key.replace("_", " "), "estimate": found}


def _shares(part: str, details: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for share in details.get("shares", ()):
        n = f"images {share['n_images']}; patients {share['n_patients']}"
        name = f"closest {share['tail']:.4g}, {share['space']}"
        yield {"part": "closest share", **_measured(share), "name": name, "n": n}


def _disclosed(part: str, details: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    confidence = details.get("confidence")
    for row in details.get("rows", ()):
        n = f"train {row['n_train']}; control {row['n_control']}"
        yield {
            "part": part, "name": row["space"], "estimate": row["risk"], "low": row["lower"],
            "high": row["upper"], "confidence": confidence, "p_value": row["p_value"], "n": n,
        }  # fmt: skip
    for point in details.get("curve", ()):
        yield {
            "part": "disclosure curve", "name": f"{point['space']}, at {point['quantile']:.4g}",
            "estimate": point["risk"], "low": point["lower"], "high": point["upper"],
            "confidence": confidence,
        }  # fmt: skip


def _ranked(part: str, details: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in details.get("rows", ()):
        label = f"{row['score']}, {row['group']}"
        n = f"train {row['n_train']}; control {row['n_control']}"
        yield {
            "part": part, "name": f"{label}, AUC", "estimate": row["auc"],
            **_interval(row["interval"]), "p_value": row["p_value"], "n": n,
        }  # fmt: skip
        for entry in row["recognised"]:
            yield {
                "part": part, "name": f"{label}, TPR at FPR {entry['fpr']:.4g}",
                "estimate": entry["tpr"], **_interval(entry["interval"]), "n": n,
            }  # fmt: skip


_KEYS = ("attribute", "space", "expected", "neighbours", "balanced")
"""What tells the rows of one comparison apart."""


def _compared(part: str, details: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in details.get("rows", ()):
        label = ", ".join(f"{key} {row[key]}" for key in _KEYS if key in row)
        n = f"train {row['n_train']}; control {row['n_control']}"
        for key in ("train", "control", "baseline"):
            yield {"part": part, "name": f"{label}, {key}", "estimate": row[key], "n": n}
        yield {
            "part": part, "name": f"{label}, excess", "estimate": row["risk"],
            "p_value": row["p_value"], "n": n,
        }  # fmt: skip


def _epsilon(part: str, details: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in details.get("attacks", ()):
        yield {
            "part": part, "name": f"{entry['score']}, {entry['guesses']} guesses",
            "estimate": entry["epsilon_add_remove"], "p_value": entry["p_value"],
            "confidence": details.get("confidence"), "n": entry["guesses"],
        }  # fmt: skip


_DETAILS: Mapping[str, Callable[[str, Mapping[str, Any]], Iterator[dict[str, Any]]]] = {
    "contrast": _shares,
    "disclosure": _disclosed,
    "membership": _ranked,
    "white_box": _ranked,
    "singling_out": _compared,
    "linkability": _compared,
    "inference": _compared,
    "dp_bound": _epsilon,
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
