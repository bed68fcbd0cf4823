"""All rows of a test as tables: whatever a figure or a sentence says stands here in numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bussynth.report.formats import band, count, label_name, number, p_value, percent, share
from bussynth.report.questions import GROUPS

__all__ = [
    "Table",
    "agreed",
    "clearest",
    "score_name",
    "share_band",
    "strength",
    "tables_of",
    "tail_name",
]

Row: TypeAlias = Mapping[str, Any]

_EXCESS = (
    "Excess = (training − control) / (1 − control): of what control leaves, the part by which "
    "training goes beyond it. It is larger than the difference of the two."
)
_EXCESS_IN_GROUP = (
    f"{_EXCESS} Here it is divided further by the share of the training patients that are in a "
    "group, because an image that points at a patient of another group cannot succeed."
)


@dataclass(frozen=True)
class Table:
    """A table of a card.

    Attributes:
        title: What is in it.
        columns: Headings; those that end in ``#`` hold numbers and are set to the right.
        rows: Cells as text.
        note: What a column means, below the table; may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tail_name(tail: float) -> str:
    """Name a tail: all images, or the closest so many per cent."""
    # A narrow table must not tear the two apart.
    return "all images" if tail == 1 else f"closest\N{NO-BREAK SPACE}{percent(tail)}"


def score_name(score: str) -> str:
    """Name a score of a patient in plain words."""
    for start, text in (("nearness ", "nearest image"), ("calibrated ", "nearest, calibrated")):
        if score.startswith(start):
            return f"{text}, {score.removeprefix(start)}"
    return score


def agreed(interval: Row | None) -> bool:
    """Whether all images agree: resampling them then gives one value and no interval."""
    return interval is not None and bool(interval["low"] == interval["high"])


def share_band(interval: Row | None, *, with_confidence: bool = True) -> str:
    """Write the interval on a closest share."""
    if agreed(interval):
        return "none: all images agree"
    return band(interval, with_confidence=with_confidence)


def clearest(rows: Sequence[Mapping[str, Any]], by: str = "space") -> list[Mapping[str, Any]]:
    """Of each value of ``by`` the row where training and control differ most clearly.

    Args:
        rows: Rows with ``train``, ``control`` and ``p_value``.
        by: The key by which rows are grouped.

    Returns:
        One estimable row for each value, in order of appearance.
    """
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["train"] is None or row["control"] is None:
            continue
        key = row[by]
        if key not in best or strength(row) < strength(best[key]):
            best[key] = row
    return list(best.values())


def strength(row: Mapping[str, Any]) -> float:
    """How clearly training and control differ in a row: its p-value, 1 if not estimable."""
    return 1.0 if row["p_value"] is None else float(row["p_value"])


def tables_of(test: Row) -> tuple[Table, ...]:
    """Return the tables of a test, without those that would be empty.

    Args:
        test: One test of a report.
    """
    builder = _TABLES.get(test["name"])
    return () if builder is None else tuple(t for t in builder(test["details"]) if t.rows)


def _rows(rows: Sequence[Row] | None, cells: Callable[[Row], tuple[str, ...]]) -> Any:
    return tuple(cells(row) for row in rows or ())


def _reason(row: Row) -> str:
    return f"not estimable: {row['reason']}" if row.get("reason") else "not estimable"


def _estimate(row: Row, key: str) -> str:
    return _reason(row) if row[key] is None else share(row[key])


def _or_dash(row: Row, key: str) -> str:
    """A share, or a dash where the row says elsewhere why there is none."""
    return "–" if row[key] is None else share(row[key])


def _chance(row: Row) -> str:
    return "–" if row["p_value"] is None else p_value(row["p_value"])


def _contrast(details: Row) -> tuple[Table, ...]:
    return (
        Table(
            "All shares",
            ("Images looked at", "Space", "Images#", "Patients#", "Share", "Interval", "p, alone"),
            _rows(
                details.get("shares"),
                lambda r: (
                    tail_name(r["tail"]), r["space"], count(r["n_images"]), count(r["n_patients"]),
                    _estimate(r, "estimate"),
                    share_band(r["interval"], with_confidence=False) if r["interval"] else "–",
                    _chance(r),
                ),
            ),
        ),
    )  # fmt: skip


def _band(row: Row) -> str:
    return band(row["interval"], with_confidence=False) if row["interval"] else "–"


def _disclosure(details: Row) -> tuple[Table, ...]:
    return (
        Table(
            "All spaces",
            ("Space", "Training#", "Control#", "Excess", "At least", "At most", "p, alone"),
            _rows(
                details.get("rows"),
                lambda r: (
                    r["space"], f"{count(r['disclosed_train'])} of {count(r['n_train'])}",
                    f"{count(r['disclosed_control'])} of {count(r['n_control'])}",
                    _estimate(r, "risk"), _or_dash(r, "lower"), _or_dash(r, "upper"),
                    _chance(r),
                ),
            ),
            _EXCESS,
        ),
        Table(
            "The curve: other meanings of “close”",
            ("Space", "Control patients within#", "Excess", "At least", "At most"),
            _rows(
                details.get("curve"),
                lambda r: (
                    r["space"], percent(r["quantile"]), _or_dash(r, "risk"), _or_dash(r, "lower"),
                    _or_dash(r, "upper"),
                ),
            ),
            _EXCESS,
        ),
    )  # fmt: skip


def _membership(details: Row) -> tuple[Table, ...]:
    rows = details.get("rows") or ()
    return (
        Table(
            "All scores and groups: ranking",
            ("Score", "Patients", "Training#", "Control#", "Ranks right", "Interval", "p, alone"),
            _rows(
                rows,
                lambda r: (
                    score_name(r["score"]), GROUPS.get(r["group"], r["group"]),
                    count(r["n_train"]), count(r["n_control"]), _estimate(r, "auc"), _band(r),
                    _chance(r),
                ),
            ),
        ),
        Table(
            "All scores and groups: training patients recognised",
            ("Score", "Patients", "False alarms allowed#", "Recognised", "Interval",
             "False alarms among new patients"),
            tuple(
                (
                    score_name(row["score"]), GROUPS.get(row["group"], row["group"]),
                    percent(entry["fpr"]), _estimate(entry, "tpr"), _band(entry),
                    band(entry["fpr_interval"], with_confidence=False)
                    if entry["fpr_interval"] else "–",
                )
                for row in rows
                for entry in row["recognised"]
                if entry["tpr"] is not None
            ),
        ),
    )  # fmt: skip


def _rates(
    first: tuple[str, ...], cells: Callable[[Row], tuple[str, ...]], note: str = _EXCESS
) -> Any:
    def tables(details: Row) -> tuple[Table, ...]:
        columns = (*first, "Training", "Control", "Baseline", "Excess", "p, alone")
        return (
            Table(
                "All rows",
                columns,
                _rows(
                    details.get("rows"),
                    lambda r: (
                        *cells(r), _estimate(r, "train"), _or_dash(r, "control"),
                        _or_dash(r, "baseline"), _or_dash(r, "risk"), _chance(r),
                    ),
                ),
                note,
            ),
        )  # fmt: skip

    return tables


def _votes(row: Row) -> str:
    kind = "mean over labels" if row["balanced"] else "all patients alike"
    return f"{count(row['neighbours'])}, {kind}"


def _dp_bound(details: Row) -> tuple[Table, ...]:
    return (
        Table(
            "All attacks",
            ("Score", "Guesses#", "Right#", "Least epsilon", "p, alone"),
            _rows(
                details.get("attacks"),
                lambda r: (
                    score_name(r["score"]), count(r["guesses"]), count(r["correct"]),
                    number(r["epsilon_add_remove"]), _chance(r),
                ),
            ),
        ),
    )  # fmt: skip


_TABLES: Mapping[str, Callable[[Row], tuple[Table, ...]]] = {
    "contrast": _contrast,
    "disclosure": _disclosure,
    "membership": _membership,
    "white_box": _membership,
    "singling_out": _rates(
        ("Space", "Patients the description should fit#", "Group#"),
        lambda r: (r["space"], f"{number(r['expected'])}", count(r["n_group"])),
        _EXCESS_IN_GROUP,
    ),
    "linkability": _rates(
        ("Space", "Images retrieved#", "Pairs#"),
        lambda r: (r["space"], count(r["neighbours"]), count(r["n_pairs"])),
    ),
    "inference": _rates(
        ("Label", "Space", "Votes"),
        lambda r: (label_name(r["attribute"]), r["space"], _votes(r)),
    ),
    "dp_bound": _dp_bound,
}
