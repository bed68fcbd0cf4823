"""Which figures a report has, drawn from its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from bussynth.report.plots import Band, curves, forest, panels

__all__ = ["draw_figures"]


def draw_figures(report: Mapping[str, Any]) -> dict[str, Markup]:
    """Draw the figures for which the report holds numbers.

    Args:
        report: Content of ``report.json``.

    Returns:
        SVG elements by name: ``copies``, ``contrast``, ``disclosure``, ``recall``, ``floor``,
        ``dose``; absent where there is nothing to draw.
    """
    tests = {test["name"]: test for test in report["tests"]}
    drawn = {
        "copies": _copies(tests.get("copies")),
        "contrast": _contrast(tests.get("contrast")),
        "disclosure": _disclosure(tests.get("disclosure")),
        "recall": _recall(report),
        "floor": _floor(report),
        "dose": _dose(report),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _band(label: str, value: float, interval: Mapping[str, Any] | None, *, strong: bool) -> Band:
    low, high = (interval["low"], interval["high"]) if interval else (None, None)
    return Band(label=label, value=value, low=low, high=high, strong=strong)


def _copies(test: Mapping[str, Any] | None) -> Markup | None:
    if test is None or test["estimate"] is None:
        return None
    bands = [_band("synthetic images", test["estimate"], test["interval"], strong=True)]
    thresholds = test["details"]["thresholds"]
    total = thresholds["control_images"]
    if total:
        rate = thresholds["control_fired"] / total
        label = "control images (no copies)"
        bands.append(_band(label, rate, thresholds["control_rate"], strong=False))
    top = max(band.high if band.high is not None else band.value for band in bands)
    return forest(
        bands,
        name="copies",
        label="Share of synthetic images flagged as near-copies, with the share of control images "
        "flagged for comparison. The numbers are in the table.",
        axis="share flagged as near-copy",
        line=None,
        limits=(0.0, max(0.02, 1.1 * top)),
    )


def _contrast(test: Mapping[str, Any] | None) -> Markup | None:
    shares = [] if test is None else test["details"].get("shares", [])
    bands = [
        _band(f"{tail_name(entry['tail'])}, {entry['space']}", entry["estimate"],
              entry["interval"], strong=entry["tail"] == 1)
        for entry in sorted(shares, key=lambda entry: -entry["tail"])
        if entry["estimate"] is not None
    ]  # fmt: skip
    if not bands:
        return None
    return forest(
        bands,
        name="contrast",
        label="Share of synthetic images whose nearest patient is a training patient, for all "
        "images and for the closest ones. One half means no preference. The numbers are in the "
        "table.",
        axis="share nearest to a training patient",
        line=0.5,
        line_label="no preference",
    )


def tail_name(tail: float) -> str:
    """Name a tail: all images, or the closest so many per cent."""
    return "all images" if tail == 1 else f"closest {100 * tail:.4g} %"


def _disclosure(test: Mapping[str, Any] | None) -> Markup | None:
    if test is None or test["estimate"] is None:
        return None
    details = test["details"]
    bands = [
        _band("training patients", details["disclosed_train"] / details["n_train"], None,
              strong=True),
        _band("control patients (chance)", details["disclosed_control"] / details["n_control"],
              None, strong=False),
        _band("excess of training patients", test["estimate"], test["interval"], strong=True),
    ]  # fmt: skip
    ends = [end for band in bands for end in (band.value, band.low, band.high) if end is not None]
    return forest(
        bands,
        name="disclosure",
        label="Share of training and of control patients with a close synthetic image, and the "
        "excess of training patients with its interval. Zero means no excess.",
        axis="share of patients",
        line=0.0,
        line_label="no excess",
        limits=(min(0.0, *ends), max(0.05, *ends)),
    )


def _recall(report: Mapping[str, Any]) -> Markup | None:
    planted = [entry for entry in report["controls"]["planted"] if entry["planted"]]
    if not planted:
        return None
    required = report["settings"]["min_recall"]["value"]
    # The classes that decide first.
    ordered = sorted(planted, key=lambda entry: not entry["decisive"])
    return forest(
        [
            _band(entry["name"], entry["recall"], entry["interval"], strong=entry["decisive"])
            for entry in ordered
        ],
        name="recall",
        label="Share of planted copies that were found, for each kind, with its interval. The "
        "numbers are in the table.",
        axis="share of planted copies found",
        line=required,
        line_label=f"required: {100 * required:.4g} %",
    )


def _floor(report: Mapping[str, Any]) -> Markup | None:
    families: dict[str, list[Mapping[str, Any]]] = {}
    for entry in report["controls"]["planted"]:
        if entry["planted"]:
            families.setdefault(entry["family"], []).append(entry)
    groups = [
        (
            family,
            [
                _band(
                    _severity(entry),
                    entry["recall"],
                    entry["interval"],
                    strong=True,
                )
                for entry in sorted(entries, key=lambda entry: entry["severity"])
            ],
        )
        for family, entries in families.items()
        if len(entries) > 1
    ]
    if not groups:
        return None
    return panels(
        groups,
        name="floor",
        label="Detection floor: the share of planted copies found falls as they are altered more, "
        "one small curve for each kind of alteration.",
        line=report["settings"]["min_recall"]["value"],
    )


def _severity(entry: Mapping[str, Any]) -> str:
    """Shorten "blur 1 % of the side" to what fits below an axis: "1 %"."""
    label = str(entry["name"]).removeprefix(str(entry["family"])).strip() or str(entry["name"])
    return label.removesuffix(" of the side").removeprefix("quality ").replace(" degrees", "°")


def _dose(report: Mapping[str, Any]) -> Markup | None:
    doses = [entry for entry in report["controls"]["dose_response"] if entry["copies"] > 0]
    if not doses:
        return None
    power = report["settings"]["dose_power"]["value"]
    return curves(
        [entry["copies"] for entry in doses],
        [
            ("copy search", [entry["by_copies"] for entry in doses]),
            ("train against control", [entry["by_contrast"] for entry in doses]),
        ],
        name="dose",
        label="How often the audit raised an alarm against the number of copies hidden among the "
        "synthetic images. The numbers are in the table.",
        axis="copies hidden among the synthetic images",
        level=power,
        level_label=f"power {100 * power:.4g} %",
    )
