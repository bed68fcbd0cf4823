"""Tables of what simulated audits found, in markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from audits.statistics.intervals import clopper_pearson

__all__ = ["Record", "table"]

Record = dict[str, Any]
"""One simulated audit, see ``benchmarks.calibration.simulate``."""


def _share(hits: int, trials: int) -> str:
    if not trials:
        return "-"
    interval = clopper_pearson(hits, trials)
    return f"{hits / trials:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _against(hits: int, trials: int, level: float) -> str:
    """Whether a share of false alarms is compatible with its level."""
    if not trials:
        return "-"
    interval = clopper_pearson(hits, trials)
    if interval.low > level:
        return "ABOVE"
    return "below" if interval.high < level else "yes"


def _rejections(records: Sequence[Record], alpha: float) -> Iterator[str]:
    copies = records[0]["copies"]
    n = len(records)
    for name in records[0]["tests"]:
        tests = [record["tests"][name] for record in records if name in record["tests"]]
        single = [test["p"] for test in tests if test["p"] is not None]
        adjusted = [test["adjusted"] for test in tests if test["adjusted"] is not None]
        raw = sum(p <= alpha for p in single)
        verdict = _against(raw, len(single), alpha) if copies == 0 else ""
        yield (
            f"| {copies} | {name} | {len(single)} | {_share(raw, len(single))} | {verdict} | "
            f"{_share(sum(p <= alpha for p in adjusted), n) if adjusted else '-'} | "
            f"{_share(sum(test['fired'] for test in tests), len(tests))} |"
        )
    adjusted_any = sum(
        any((test["adjusted"] or 1.0) <= alpha for test in record["tests"].values())
        for record in records
    )
    failed = sum(record["verdict"] == "FAIL" for record in records)
    verdict = _against(adjusted_any, n, alpha) if copies == 0 else ""
    yield (
        f"| {copies} | **any p-value** | {n} | | {verdict} | {_share(adjusted_any, n)} | "
        f"FAIL {_share(failed, n)} |"
    )


def _excess_disclosure(record: Record) -> float:
    return float(record["copies"] / record["n_train"])


def _closest_share(record: Record) -> float:
    other = record["n_synthetic"] - record["copies"]
    captured = record["copies"] * record["n_patients"] / record["n_train"] + other
    return float(captured / (captured + other))


TRUTHS: dict[str, Callable[[Record], float]] = {
    "contrast": _closest_share,
    "disclosure": _excess_disclosure,
}


def _coverage(records: Sequence[Record], name: str) -> str | None:
    """How often an interval, and each of its sides, holds the truth."""
    used = [r for r in records if (r["tests"].get(name) or {}).get("interval")]
    sides = [
        (r["tests"][name]["interval"], r["tests"][name]["estimate"], TRUTHS[name](r)) for r in used
    ]
    if not sides:
        return None
    # An open side is reported as None.
    above = sum(high is None or truth <= high + 1e-9 for (_, high), _, truth in sides)
    below = sum(low is None or truth >= low - 1e-9 for (low, _), _, truth in sides)
    estimates = [estimate for _, estimate, _ in sides if estimate is not None]
    mean = f"{np.mean(estimates):.3f}" if estimates else "-"
    return (
        f"| {records[0]['copies']} | {name} | {np.mean([t for _, _, t in sides]):.3f} | {mean} | "
        f"{_share(above, len(sides))} | {_share(below, len(sides))} |"
    )


def table(records: Sequence[Record]) -> str:
    """Turn records into markdown.

    Args:
        records: What ``simulate`` returned, in any order.

    Returns:
        Tables of rejections, verdicts and coverage; shares with Clopper-Pearson 95 % intervals.
    """
    ordered = sorted(records, key=lambda record: str(record["key"]))
    levels = [
        [record for record in ordered if record["copies"] == copies]
        for copies in sorted({record["copies"] for record in ordered})
    ]
    first = ordered[0]
    alpha, confidence = first["alpha"], first["confidence"]
    lines = [
        f"{first['n_synthetic']} synthetic images; {first['n_train']} train and "
        f"{first['n_patients'] - first['n_train']} control patients with one to three images; "
        f"alpha {alpha:g}. Shares with exact 95 % intervals.",
        "",
        "| copies | test | estimable | p ≤ alpha | level kept | Holm-adjusted ≤ alpha | fired |",
        "|---|---|---|---|---|---|---|",
    ]
    for records_of_level in levels:
        lines += _rejections(records_of_level, alpha)
    lines += [
        "",
        "| copies | simulations | verdicts | some image flagged |",
        "|---|---|---|---|",
    ]
    for level in levels:
        states = Counter(record["verdict"] for record in level)
        counted = ", ".join(f"{state} {states[state]}" for state in sorted(states))
        flagged = _share(sum(record["flagged"] > 0 for record in level), len(level))
        lines.append(f"| {level[0]['copies']} | {len(level)} | {counted} | {flagged} |")
    lines += [
        "",
        f"| copies | null comparison | estimable | p ≤ {alpha:g} | level kept |",
        "|---|---|---|---|---|",
    ]
    for level in levels:
        for name in first["nulls"]:
            found = [p for record in level if (p := record["nulls"][name]) is not None]
            raw = sum(p <= alpha for p in found)
            lines.append(
                f"| {level[0]['copies']} | {name} | {len(found)} | {_share(raw, len(found))} | "
                f"{_against(raw, len(found), alpha)} |"
            )
    lines += [
        "",
        f"Nominal coverage: each side of disclosure at least {confidence:g}; both sides of "
        f"contrast together {confidence:g}, each {0.5 + confidence / 2:g}, approximate.",
        "",
        "| copies | interval | truth | mean estimate | truth ≤ upper end | truth ≥ lower end |",
        "|---|---|---|---|---|---|",
    ]
    rows = [_coverage(level, name) for level in levels for name in TRUTHS]
    return "\n".join([*lines, *(row for row in rows if row is not None)])
