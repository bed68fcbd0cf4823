"""Each test as a card: a number, its interval, what to compare it with, one plain sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bussynth.report.card_tables import (
    Table,
    clearest,
    score_name,
    share_band,
    strength,
    tables_of,
    tail_name,
)
from bussynth.report.formats import (
    amount,
    band,
    count,
    frequency,
    label_name,
    number,
    p_value,
    percent,
    points,
    share,
)
from bussynth.report.questions import GROUPS, TESTS, TestText

__all__ = ["Card", "build_cards", "weak_note"]

Test: TypeAlias = Mapping[str, Any]
_Content: TypeAlias = "tuple[str, str, list[tuple[str, str]], tuple[Table, ...]]"


@dataclass(frozen=True, kw_only=True)
class Card:
    """One test as the page shows it.

    Attributes:
        name: The test.
        text: Its words.
        style: ``"bad"``, ``"weak"``, ``"ok"`` or ``"none"``.
        label: The outcome in two or three words.
        value: The number, short, for the overview.
        answer: One sentence.
        facts: Headings and texts.
        tables: All numbers.
    """

    name: str
    text: TestText
    style: str
    label: str
    value: str
    answer: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]


def build_cards(report: Mapping[str, Any]) -> list[Card]:
    """Build the card of every test, in the report's order.

    Args:
        report: A report that may leave the site (:func:`bussynth.report.shareable.shareable`).
    """
    return [_card(test, report) for test in report["tests"]]


def weak_note(cards: Sequence[Card], report: Mapping[str, Any]) -> str:
    """Say what a weak sign is and is not; empty where no test shows one.

    Args:
        cards: From :func:`build_cards`.
        report: The report they were built from.
    """
    adjusted = report["adjusted_p_values"]
    found = [p_value(adjusted[card.name]) for card in cards if card.style == "weak"]
    if not found:
        return ""
    level = number(100 * report["settings"]["alpha"]["value"])
    return (
        f"Weak sign: alone, chance gives this in at most {level} of 100 audits. With "
        f"{len(adjusted)} tests run together that is not enough to fail the audit (p = "
        f"{' and '.join(found)} after allowing for all). It is a reason to look, not a finding."
    )


def _card(test: Test, report: Mapping[str, Any]) -> Card:
    name = str(test["name"])
    fallback = TestText(short=name.replace("_", " "), question=test["question"], method="",
                        reading=())  # fmt: skip
    builder = _BUILDERS.get(name, _other) if test["estimate"] is not None else _missing
    value, answer, facts, tables = builder(test)
    style, label = _outcome(test, report)
    return Card(
        name=name,
        text=TESTS.get(name, fallback),
        style=style,
        label=label,
        value=value,
        answer=answer,
        facts=(*facts, *_chance(test, report)),
        tables=tables,
    )


def _outcome(test: Test, report: Mapping[str, Any]) -> tuple[str, str]:
    if test["estimate"] is None:
        return "none", "NOT ESTIMABLE"
    if test["name"] == "dp_bound":
        return "none", "A LOWER BOUND"
    adjusted = report["adjusted_p_values"].get(test["name"])
    weak = adjusted is not None and adjusted > report["settings"]["alpha"]["value"]
    if test["fired"] and weak and not _certain(test["details"]):
        return "weak", "WEAK SIGN"
    return ("bad", "LEAKAGE SIGN") if test["fired"] else ("ok", "NO SIGN")


def _chance(test: Test, report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How likely chance is, and the line: the same for all tests with a p-value."""
    if test["p_value"] is None or test["estimate"] is None:
        return []
    adjusted = report["adjusted_p_values"].get(test["name"])
    level = number(report["settings"]["alpha"]["value"])
    text = (
        f"Without any leakage {frequency(test['p_value'])} would show as much "
        f"({_p(test['p_value'])}, over all rows together)."
    )
    if adjusted is None:
        return [("Could it be chance?", text)]
    line = f"{p_value(adjusted)} ({level} or less fails the audit)"
    return [("Could it be chance?", text), ("After allowing for all tests", line)]


def _p(value: float) -> str:
    text = p_value(value)
    equals = "" if text.startswith("below") else "= "
    return f"p {equals}{text}".replace(" ", "\N{NO-BREAK SPACE}")


def _missing(test: Test) -> _Content:
    # Without a p-value no row is estimable, and the sentence says why.
    tables = () if test["p_value"] is None else tables_of(test)
    return "not estimable", test["sentence"], [], tables


def _other(test: Test) -> _Content:
    value = number(test["estimate"])
    facts = [("Result", value)]
    if test["interval"]:
        facts.append(("Interval", f"{number(test['interval']['low'])} to "
                                  f"{number(test['interval']['high'])}"))  # fmt: skip
    return value, test["sentence"], facts, ()


def _identity(test: Test) -> _Content:
    found, total = test["details"].get("images", 0), test["n"]["synthetic"]
    answer = (
        f"None of the {count(total)} synthetic images equals a real image."
        if not found
        else f"{count(found)} of {count(total)} synthetic images "
        f"{'equals' if found == 1 else 'equal'} a real image."
    )
    facts = [
        ("Result", f"{count(found)} of {count(total)} images ({share(test['estimate'])})"),
        (
            "Of these",
            f"{count(test['details'].get('equal_to_train'))} equal a training image, "
            f"{count(test['details'].get('equal_to_control'))} a control image",
        ),
        ("Line drawn at", "one image: any equal picture fails the audit"),
    ]
    return amount(found, "image"), answer, facts, ()


def _copies(test: Test) -> _Content:
    details = test["details"]
    found, total = details["train_images"], details["n_images"]
    answer = (
        f"None of the {count(total)} synthetic images is a near-copy of a training image."
        if not found
        else f"{count(found)} of {count(total)} synthetic images "
        f"{'is a near-copy' if found == 1 else 'are near-copies'} of images of "
        f"{amount(details['train_patients'], 'training patient')}."
    )
    facts = [
        ("Result", f"{count(found)} of {count(total)} images ({share(test['estimate'])})"),
        ("Interval", band(test["interval"])),
        ("Training patients copied", count(details["train_patients"])),
        (
            "Control: false alarms",
            f"{amount(details['control_images'], 'image')}, on "
            f"{amount(details['control_patients'], 'control patient')}, who cannot have been "
            "copied",
        ),
        ("Searches that passed", ", ".join(details.get("deciding") or ()) or "none"),
    ]
    if found:
        facts.append((
            "Explained by chance?",
            "no: at least one hit is nearer than chance brings among so many images"
            if _certain(details)
            else f"as many training patients among the patients hit: p = "
            f"{p_value(details['excess_p'])}",
        ))  # fmt: skip
    if "within_radius_of_train" in details:
        facts.append((
            "Exhaustive search",
            f"within its radius of a training image: "
            f"{amount(details['within_radius_of_train'], 'image')}; of a control image: "
            f"{amount(details['within_radius_of_control'], 'image')}. No pair was skipped. The "
            "radius is smaller than the least distance of a control image to any other patient’s "
            "image, duplicates apart.",
        ))  # fmt: skip
    return amount(found, "image"), answer, facts, ()


def _certain(details: Mapping[str, Any]) -> bool:
    """Whether a copy is beyond doubt and no control patient is hit as clearly."""
    spoilt = details.get("control_images") and details.get("control_beyond_doubt")
    return bool(details.get("beyond_doubt")) and not spoilt


def _contrast(test: Test) -> _Content:
    shares = [row for row in test["details"].get("shares", ()) if row["estimate"] is not None]
    facts = [
        ("Result, all images", f"{share(test['estimate'])} nearest to a training patient"),
        ("Interval", share_band(test["interval"])),
    ]
    if shares:
        top = max(shares, key=lambda row: row["estimate"])
        facts.append((
            f"Largest of {amount(len(shares), 'row')}",
            f"{share(top['estimate'])} of {amount(top['n_images'], 'image')} "
            f"({tail_name(top['tail'])}, {top['space']})",
        ))  # fmt: skip
    facts.append(("Without leakage", "one half: no preference for training patients"))
    answer = (
        f"{share(test['estimate'])} of all synthetic images lie nearest to a training patient, "
        f"where chance gives 50\N{NO-BREAK SPACE}%{_closest(test, shares)}."
    )
    return share(test["estimate"]), answer, facts, tables_of(test)


def _closest(test: Test, shares: Sequence[Mapping[str, Any]]) -> str:
    """The largest share of a tail, with what keeps it from being overrated."""
    tail = [row for row in shares if row["tail"] < 1]
    if not tail:
        return ""
    top = max(tail, key=lambda row: row["estimate"])
    spaces = len({row["space"] for row in shares})
    place = f" in one of {spaces} spaces" if spaces > 1 else ""
    images = count(top["n_images"])
    found = f"all {images}" if top["estimate"] == 1 else share(top["estimate"])
    chance = test["p_value"]
    alone = "" if chance is None else f" (chance alone, over all rows: {_p(chance)})"
    return f"; of the {images} closest{place} {found}{alone}"


def _disclosure(test: Test) -> _Content:
    worst = test["details"]["worst"]
    upper = worst["upper"]
    confidence = share(test["details"]["confidence"], 0)
    most = "" if upper is None else f"at most {share(max(0.0, upper))}"
    bound = most and f"; with {confidence} confidence {most}"
    answer = (
        "Share of the training patients who have a synthetic image closer than chance explains: "
        f"best estimate {share(max(0.0, worst['risk']))}{bound}."
    )
    facts = [
        (
            "Training patients",
            f"{count(worst['disclosed_train'])} of {count(worst['n_train'])} have a close "
            "synthetic image",
        ),
        (
            "Control: chance",
            f"{count(worst['disclosed_control'])} of {count(worst['n_control'])} control patients",
        ),
        ("Excess over chance", share(worst["risk"])),
        (
            "At most",
            "not estimable"
            if upper is None
            else f"{share(max(0.0, upper))} ({confidence} confidence, for all spaces at once)",
        ),
        ("“Close” means", f"as near as {share(test['details']['quantile'], 0)} of the control "
                          "patients come by chance"),
        ("Space", f"{worst['space']}, the one with the largest bound"),
    ]  # fmt: skip
    return most or "not bounded", answer, facts, tables_of(test)


def _membership(test: Test) -> _Content:
    rows = [r for r in test["details"].get("rows", ()) if r["auc"] is not None]
    everyone = [row for row in rows if row["group"] == "all"]
    top = max(everyone, key=lambda row: row["auc"])
    groups = [row for row in rows if row["group"] != "all"]
    answer = (
        f"The strongest attack ranks a training patient above a control patient in "
        f"{share(top['auc'])} of the cases; guessing gives 50\N{NO-BREAK SPACE}%."
    )
    best, alone = "", ""
    if len(everyone) > 1:
        best = f", the best of {len(everyone)} scores; the p-value allows for the choice"
        alone = ", of this score alone: it does not allow for the choice"
    facts = [("Ranks right", f"{share(top['auc'])} ({score_name(top['score'])}){best}"),
             ("Interval", f"{band(top['interval'])}{alone}")]  # fmt: skip
    for entry in top["recognised"]:
        text = f"not estimable: {entry['reason']}"
        if entry["tpr"] is not None:
            text = f"{share(entry['tpr'])}, {band(entry['interval'], with_confidence=False)}"
            if entry["fpr_interval"]:
                text += (
                    "; among new patients the false alarms may be "
                    f"{band(entry['fpr_interval'], with_confidence=False)}"
                )
        facts.append((f"Recognised at {percent(entry['fpr'])} false alarms", text))
    if groups:
        most = max(groups, key=lambda row: row["auc"])
        name = GROUPS.get(most["group"], most["group"])
        facts.append((
            "Most exposed group",
            f"{name}: ranks right {share(most['auc'])}, "
            f"{band(most['interval'], with_confidence=False)} ({count(most['n_train'])} training, "
            f"{count(most['n_control'])} control patients); the largest of "
            f"{amount(len(groups), 'row')} of such groups",
        ))  # fmt: skip
    facts.append(("Without leakage", "ranks right 50\N{NO-BREAK SPACE}%; recognised as often as "
                                     "falsely accused"))  # fmt: skip
    return f"ranks right {share(top['auc'])}", answer, facts, tables_of(test)


def _compared(
    test: Test, sentence: Callable[[Mapping[str, Any]], str], base: str, left: str
) -> _Content:
    """The three criteria of WP216: one rate for training, one for control, a baseline.

    Args:
        test: The test.
        sentence: The answer, from the row that is shown.
        base: What the baseline is.
        left: What the excess is a share of: the rest that control leaves.
    """
    row = min(clearest(test["details"]["rows"], "space"), key=strength)
    facts = [
        ("Training", share(row["train"])),
        ("Control", share(row["control"])),
        (base, share(row["baseline"])),
        ("Difference", points(row["train"] - row["control"])),
        (f"{left} ({share(1 - row['control'])})", _excess(row)),
        ("Shown here", "the row in which the two differ most clearly; all rows are in the table"),
    ]
    value = f"{share(row['train'])} / {share(row['control'])}"
    return value, sentence(row), facts, tables_of(test)


def _excess(row: Mapping[str, Any]) -> str:
    """The excess over control, in the steps by which it is found."""
    group = row.get("n_group")
    if not group or row["risk"] is None or row["control"] >= 1:
        return share(row["risk"])
    whole = (row["train"] - row["control"]) / (1 - row["control"])
    return (
        f"{share(whole)}; divided by {share(group / row['n_train'])}, the share of the training "
        f"patients that are in a group of {count(group)}: {share(row['risk'])}"
    )


def _singling_out(test: Test) -> _Content:
    return _compared(
        test,
        lambda row: (
            f"{share(row['train'])} of the synthetic images point at exactly one of "
            f"{count(row['n_group'])} training patients, and {share(row['control'])} at exactly "
            f"one of {count(row['n_group'])} control patients."
        ),
        "A guess",
        "Of those that single out no control patient",
    )


def _linkability(test: Test) -> _Content:
    return _compared(
        test,
        lambda row: (
            f"{share(row['train'])} of the pairs of images of one training patient lead to "
            f"the same synthetic image, and {share(row['control'])} of those of one control "
            "patient."
        ),
        "Two different patients",
        "Of those control leaves unlinked",
    )


def _inference(test: Test) -> _Content:
    return _compared(test, _guessed, "Simple guess", "Of those control leaves wrong")


def _guessed(row: Mapping[str, Any]) -> str:
    base = row["baseline"]
    below = base is not None and row["train"] < base
    useless = f": below the simple guess ({share(base)}), so of no use to anybody" if below else ""
    return (
        f"The label “{label_name(row['attribute'])}” is guessed right for {share(row['train'])} "
        f"of the training and {share(row['control'])} of the control patients{useless}."
    )


def _dp_bound(test: Test) -> _Content:
    details = test["details"]
    epsilon = f"{test['estimate']:.2f}"
    facts = [
        ("Adding or removing a patient", f"epsilon at least {epsilon}"),
        ("Replacing a patient", "not estimable" if details["epsilon_replace"] is None
         else f"epsilon at least {details['epsilon_replace']:.2f}"),
        ("At delta", number(details["delta"])),
        ("Rests on", f"{count(details['bits'])} pairs of patients, "
                     f"{share(details['confidence'], 0)} confidence"),
    ]  # fmt: skip
    if epsilon == "0.00":
        answer = "Nothing was found that refutes a promise; that does not confirm one."
        return "none", answer, facts, tables_of(test)
    answer = (
        f"A promise with an epsilon below {epsilon} would be false; any other may be true or false."
    )
    return f"at least {epsilon}", answer, facts, tables_of(test)


_BUILDERS: Mapping[str, Callable[[Test], _Content]] = {
    "identity": _identity,
    "copies": _copies,
    "contrast": _contrast,
    "disclosure": _disclosure,
    "membership": _membership,
    "white_box": _membership,
    "singling_out": _singling_out,
    "linkability": _linkability,
    "inference": _inference,
    "dp_bound": _dp_bound,
}
