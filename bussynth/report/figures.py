"""Which figures a report has, drawn from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from bussynth.report.card_tables import agreed, clearest, score_name, tail_name
from bussynth.report.charts import Mark, Rates, Strip, dumbbells, ribbon, strips
from bussynth.report.formats import label_name
from bussynth.report.plots import Band, curves, forest, panels
from bussynth.report.questions import GROUPS

__all__ = ["draw_figures"]

Row = Mapping[str, Any]


def draw_figures(report: Row) -> dict[str, Markup]:
    """Draw the figures for which the report holds numbers.

    Args:
        report: A report that may leave the site.

    Returns:
        SVG elements by name: ``contrast``, ``disclosure``, ``membership``, ``white_box``,
        ``criteria``, ``recall``, ``floor``, ``dose``; absent where there is nothing to draw.
    """
    tests = {test["name"]: test for test in report["tests"]}
    drawn = {
        "contrast": _contrast(tests.get("contrast")),
        "disclosure": _disclosure(tests.get("disclosure")),
        "membership": _membership(tests.get("membership"), "membership"),
        "white_box": _membership(tests.get("white_box"), "white-box"),
        "criteria": _criteria(tests),
        "recall": _recall(report),
        "floor": _floor(report),
        "dose": _dose(report),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _ends(interval: Row | None) -> tuple[float | None, float | None]:
    return (interval["low"], interval["high"]) if interval else (None, None)


def _contrast(test: Row | None) -> Markup | None:
    shares = [] if test is None else test["details"].get("shares", [])
    known = [entry for entry in shares if entry["estimate"] is not None]
    if not known:
        return None
    spaces = list(dict.fromkeys(entry["space"] for entry in known))
    tails = sorted({entry["tail"] for entry in known}, reverse=True)[:4]
    marks = [
        [
            Mark(
                tails.index(entry["tail"]),
                entry["estimate"],
                *_ends(
                    entry["interval"]
                    if entry["tail"] == tails[0] and not agreed(entry["interval"])
                    else None
                ),
            )
            for entry in known
            if entry["space"] == space and entry["tail"] in tails
        ]
        for space in spaces
    ]
    return strips(
        spaces,
        [Strip("share nearest to a training patient", marks, 0.5, "no preference")],
        [tail_name(tail) for tail in tails],
        name="contrast",
        label="Share of synthetic images whose nearest patient is a training patient, in each "
        "space, for all images and for the closest ones. One half means no preference. The "
        "numbers are in the table.",
    )


def _disclosure(test: Row | None) -> Markup | None:
    if test is None or test["estimate"] is None:
        return None
    details = test["details"]
    by_space: dict[str, list[Row]] = {}
    for point in details["curve"]:
        if None not in (point["risk"], point["lower"], point["upper"]):
            by_space.setdefault(point["space"], []).append(point)
    worst = by_space.pop(details["worst"]["space"], [])
    if len(worst) < 2:
        return None
    x = [point["quantile"] for point in worst]
    others = [
        [point["risk"] for point in points]
        for points in by_space.values()
        if [point["quantile"] for point in points] == x
    ]
    return ribbon(
        x,
        [point["risk"] for point in worst],
        [point["lower"] for point in worst],
        [point["upper"] for point in worst],
        others,
        name="disclosure",
        label="Excess share of training patients with a close synthetic image, with its bounds, "
        "for several meanings of close. Zero means no excess. The numbers are in the table.",
        axes_labels=("share of control patients that come as near by chance", "excess of training"),
        declared=details["quantile"],
    )


def _membership(test: Row | None, name: str) -> Markup | None:
    if test is None or test["estimate"] is None:
        return None
    rows = [row for row in test["details"]["rows"] if row["auc"] is not None]
    scores = list(dict.fromkeys(row["score"] for row in rows if row["group"] == "all"))
    groups = ["all", *dict.fromkeys(row["group"] for row in rows if row["group"] != "all")][:4]
    ranks: list[list[Mark]] = []
    found: list[list[Mark]] = []
    for score in scores:
        mine = [row for row in rows if row["score"] == score and row["group"] in groups]
        ranks.append(
            [
                Mark(groups.index(row["group"]), row["auc"],
                     *(_ends(row["interval"]) if row["group"] == "all" else (None, None)))
                for row in mine
            ]
        )  # fmt: skip
        found.append(
            [
                Mark(groups.index(row["group"]), entry["tpr"],
                     *(_ends(entry["interval"]) if row["group"] == "all" else (None, None)))
                for row in mine
                for entry in row["recognised"]
                if entry["fpr"] == _FALSE_ALARMS and entry["tpr"] is not None
            ]
        )  # fmt: skip
    strip = [Strip("ranks a training patient higher", ranks, 0.5, "guess")]
    if any(found):
        strip.append(Strip("recognised at 10 % false alarms", found, _FALSE_ALARMS, "guess"))
    return strips(
        [score_name(score) for score in scores],
        strip,
        [GROUPS.get(group, group) for group in groups],
        name=name,
        label="How well each attack ranks training patients above control patients, and the share "
        "of training patients recognised at ten per cent false alarms, for all patients and for "
        "difficult groups. The numbers are in the tables.",
    )


_FALSE_ALARMS = 0.1


def _criteria(tests: Mapping[str, Row]) -> Markup | None:
    groups = []
    for name, title, by in (
        ("singling_out", "Singling out: images that point at one patient", "space"),
        ("linkability", "Linkability: pairs of images linked", "space"),
        ("inference", "Inference: labels guessed right", "attribute"),
    ):
        test = tests.get(name)
        rows = [] if test is None else clearest(test["details"].get("rows") or (), by)
        if rows:
            rates = [
                Rates(label_name(row[by]), row["train"], row["control"], row["baseline"])
                for row in rows
            ]
            groups.append((title, rates))
    if not groups:
        return None
    return dumbbells(
        groups,
        name="criteria",
        label="Singling out, linkability and inference: the rate among training patients, among "
        "control patients, and of a guess. The numbers are in the tables.",
        base="a guess, or two different patients",
    )


def _planted(report: Row) -> dict[str, list[Row]]:
    families: dict[str, list[Row]] = {}
    for entry in report["controls"]["planted"]:
        if entry["planted"]:
            families.setdefault(entry["family"], []).append(entry)
    return families


def _recall(report: Row) -> Markup | None:
    """The required classes, and those of a single step, which have no curve."""
    families = _planted(report)
    chosen = [
        entry
        for entries in families.values()
        for entry in entries
        if entry["decisive"] or len(entries) == 1
    ]
    if not chosen:
        return None
    required = report["settings"]["min_recall"]["value"]
    return forest(
        [
            Band(
                label=entry["name"],
                value=entry["recall"],
                low=entry["interval"]["low"],
                high=entry["interval"]["high"],
                strong=entry["decisive"],
            )
            for entry in sorted(chosen, key=lambda entry: not entry["decisive"])
        ],
        name="recall",
        label="Share of planted copies that were found, for each kind, with its interval. The "
        "numbers are in the table.",
        axis="share of planted copies found",
        line=required,
        line_label=f"required: {100 * required:.4g} %",
    )


def _floor(report: Row) -> Markup | None:
    groups: list[tuple[str, list[Band]]] = []
    best: list[list[float]] = []
    for family, entries in _planted(report).items():
        if len(entries) < 2:
            continue
        ordered = sorted(entries, key=lambda entry: entry["severity"])
        groups.append(
            (
                family,
                [
                    Band(
                        label=_severity(entry),
                        value=entry["recall"],
                        low=entry["interval"]["low"],
                        high=entry["interval"]["high"],
                    )
                    for entry in ordered
                ],
            )
        )
        best.append([_best(entry) for entry in ordered])
    if not groups:
        return None
    return panels(
        groups,
        name="floor",
        label="Detection floor: the share of planted copies found falls as they are altered more, "
        "one small curve for each kind of alteration. The numbers are in the table.",
        line=report["settings"]["min_recall"]["value"],
        others=best,
        legend=(
            "all searches that count, together",
            "best single search, even if it does not count",
        ),
    )


def _best(entry: Row) -> float:
    by_channel: Sequence[int] = list((entry.get("by_channel") or {}).values())
    return max(by_channel, default=0) / int(entry["planted"])


_SHORTER = (
    ("of the side", ""),
    ("quality ", ""),
    (" degrees", "°"),
    (" looks", ""),
    (" look", ""),
    ("at strength ", ""),
    (" for 60 dB", ""),
    ("of text, calipers and logo", "and logo"),
    ("of text and calipers", "and calipers"),
    ("of text", "text"),
    ("sliders of 6 dB", "sliders"),
)
"""What of a severity is said by its family, or too long for an axis."""


def _severity(entry: Row) -> str:
    """Shorten "blur 1 % of the side" to what fits below an axis: "1 %"."""
    label = str(entry["name"]).removeprefix(str(entry["family"])).strip() or "plain"
    for long, short in _SHORTER:
        label = label.replace(long, short)
    return label.strip()


def _dose(report: Row) -> Markup | None:
    doses = [entry for entry in report["controls"]["dose_response"] if entry["copies"] > 0]
    if not doses:
        return None
    power = report["settings"]["dose_power"]["value"]
    return curves(
        [entry["copies"] for entry in doses],
        [
            ("copy search", [entry["by_copies"] for entry in doses]),
            ("training against control", [entry["by_contrast"] for entry in doses]),
        ],
        name="dose",
        label="How often the audit raised an alarm against the number of copies hidden among the "
        "synthetic images. The numbers are in the table.",
        axis="copies hidden among the synthetic images",
        level=power,
        level_label=f"power {100 * power:.4g} %",
    )
