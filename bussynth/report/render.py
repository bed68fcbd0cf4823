"""Rendering of ``report.json`` into HTML pages: nothing is loaded, nothing runs.

There are two pages. The one that may leave the site is rendered from
:func:`bussynth.report.shareable.shareable` and can show nothing else. The internal one shows the
same and in addition what is behind the numbers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bussynth.errors import BussynthError, DataError
from bussynth.report import formats
from bussynth.report.advice import advice
from bussynth.report.annex import Annex
from bussynth.report.cards import build_cards, weak_note
from bussynth.report.figures import draw_figures
from bussynth.report.questions import FAMILIES
from bussynth.report.shareable import shareable
from bussynth.report.standards import evidence
from bussynth.report.wording import VERDICTS, limits

__all__ = ["SCHEMA", "read_grid", "read_report", "render_internal", "render_report"]

SCHEMA = "bussynth-audit/2"
_OLDER = ("bussynth-audit/1",)
_MAX_BYTES = 64 * 2**20
_NEEDED = {
    "verdict": str,
    "mode": str,
    "reasons": list,
    "failures": list,
    "limits": list,
    "statements": list,
    "adjusted_p_values": dict,
    "spaces": list,
    "channels": list,
    "tests": list,
    "controls": dict,
    "settings": dict,
    "inputs": dict,
    "counts": dict,
    "comparison": dict,
    "environment": dict,
}
_TEMPLATES = Path(__file__).parent / "templates"


def read_report(path: Path | str) -> dict[str, Any]:
    """Read the ``report.json`` of an audit.

    Raises:
        DataError: The file is missing, no JSON, or no audit report of this version.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} is larger than 64 MiB; it is no audit report.")
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON.") from error
    _check(report)
    return dict(report)


def read_grid(path: Path | str) -> bytes | None:
    """Read the sample grid that lies beside a ``report.json``, if there is one."""
    file = Path(path).parent / "samples.png"
    return file.read_bytes() if file.is_file() else None


def render_report(report: Mapping[str, Any], *, grid_png: bytes | None = None) -> str:
    """Render the page that may leave the site: summary numbers only.

    The same report gives the same bytes with the same version of matplotlib.

    Args:
        report: Content of ``report.json``.
        grid_png: PNG of some synthetic images, or None.

    Returns:
        The page. It loads nothing, holds no script, and every value of the report is escaped.

    Raises:
        DataError: The report lacks fields or is of another version.
        MissingDependencyError: matplotlib is not installed.
    """
    return _render("report.html.j2", report, grid_png, None)


def render_internal(
    report: Mapping[str, Any], annex: Annex, *, grid_png: bytes | None = None
) -> str:
    """Render the page that must stay inside the site.

    Args:
        report: Content of ``report.json``.
        annex: What is behind the numbers (:func:`bussynth.report.annex.build_annex`).
        grid_png: As :func:`render_report`.

    Returns:
        The page of :func:`render_report` with pictures of patients, row numbers and distances;
        on paper it says on every page that it is internal.

    Raises:
        DataError: As :func:`render_report`.
        MissingDependencyError: As :func:`render_report`.
    """
    return _render("internal.html.j2", report, grid_png, annex)


def _render(
    template: str, report: Mapping[str, Any], grid_png: bytes | None, annex: Annex | None
) -> str:
    _check(report)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "share": formats.share,
        "p": formats.p_value,
        "number": formats.number,
        "count": formats.count,
        "label": formats.label_name,
    }
    environment.filters |= filters
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    # Nothing but the shape of the report can go wrong in here.
    try:
        # In the order of the file, so that the page is the same whether or not it was read back.
        kept = shareable(json.loads(json.dumps(report, sort_keys=True)))
        kept = {"ledger": None, "registration": None, "model": None} | kept
        cards = build_cards(kept)
        return environment.get_template(template).render(
            report=kept,
            style=Markup(style),
            verdict=VERDICTS[kept["verdict"]],
            headline=_headline(kept),
            cards=cards,
            weak=weak_note(cards, kept),
            last_criterion=_last_criterion(kept),
            planted=any(entry["planted"] for entry in kept["controls"]["planted"]),
            best_search=_best_search,
            needed=lambda limit: _needed(limit, kept["controls"]["dose_response"]),
            looked_at=_looked_at(kept),
            evidence=evidence(cards),
            advice=advice(kept),
            cannot_show=limits(kept),
            figures=draw_figures(kept),
            grid_png=None if grid_png is None else base64.b64encode(grid_png).decode("ascii"),
            annex=annex,
        )
    except BussynthError:
        raise
    except (jinja2.UndefinedError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError("The audit report lacks fields or holds wrong ones.") from error


def _check(report: Any) -> None:
    found = report.get("schema") if isinstance(report, Mapping) else None
    if found in _OLDER:
        environment = report.get("environment")
        version = environment.get("bussynth") if isinstance(environment, Mapping) else None
        wrote = f"bussynth {version}" if isinstance(version, str) else "the version that wrote it"
        raise DataError(
            f"The report has the schema {found!r}; this version renders {SCHEMA!r}. Render it "
            f"with {wrote}, or run the audit again."
        )
    if found != SCHEMA:
        raise DataError(
            f"This is no audit report of schema {SCHEMA!r}; use the version that wrote it."
        )
    problems = [
        f"{key}: is missing or not a {kind.__name__}"
        for key, kind in _NEEDED.items()
        if not isinstance(report.get(key), kind)
    ]
    if not problems and report["verdict"] not in VERDICTS:
        problems.append(f"verdict: is none of {', '.join(VERDICTS)}")
    if problems:
        raise DataError("The audit report lacks fields or holds wrong ones.", problems)


def _headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """The number beside the verdict: a bound on the share of patients disclosed."""
    test = next((test for test in report["tests"] if test["name"] == "disclosure"), None)
    details = test["details"] if test else {}
    worst = details.get("worst")
    if test is None or test["estimate"] is None or not worst or worst["upper"] is None:
        reason = details.get("reason") or "too few images or patients"
        return {"bound": None, "reason": f"{reason}."}
    return {
        "bound": max(0.0, worst["upper"]),
        "patients": round(max(0.0, worst["upper"]) * worst["n_train"]),
        "of": worst["n_train"],
        "estimate": max(0.0, worst["risk"]),
        "confidence": details["confidence"],
        "no_copy": _no_copy(report),
    }


def _no_copy(report: Mapping[str, Any]) -> bool:
    """Whether searches that count looked for copies and flagged nothing at all."""
    details = {test["name"]: test["details"] for test in report["tests"]}
    same, near = details.get("identity") or {}, details.get("copies") or {}
    found = (same.get("images"), near.get("train_images"), near.get("control_images"))
    return found == (0, 0, 0) and bool(near.get("deciding"))


def _last_criterion(report: Mapping[str, Any]) -> str | None:
    """The test below which the figure of the three criteria stands."""
    names = [test["name"] for test in report["tests"]]
    found = [name for name in ("singling_out", "linkability", "inference") if name in names]
    return found[-1] if found else None


def _best_search(entry: Mapping[str, Any]) -> str:
    """The search that finds most of a planted class by itself."""
    found = entry.get("by_channel") or {}
    if not found:
        return "–"
    best = max(found, key=lambda name: (found[name], name))
    return f"{found[best]}: {best}" if found[best] else "none"


def _needed(limit: int | None, doses: Sequence[Mapping[str, Any]]) -> str:
    """The fewest copies that sufficed, or that the most that were tried did not."""
    tried = max((dose["copies"] for dose in doses), default=0)
    return f"more than the {formats.count(tried)} tried" if limit is None else formats.count(limit)


def _looked_at(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Spaces and searches in one table: a space is searched for copies too."""
    rows: dict[str, dict[str, Any]] = {}
    for space in report["spaces"]:
        dimension = (space["description"] or {}).get("dimension")
        what = FAMILIES.get(space["family"], space["family"])
        if dimension:
            what += f" ({formats.count(dimension)} numbers an image)"
        rows[space["name"]] = {
            "name": space["name"],
            "what": what,
            "tags": [_admission(space["admitted"], "comparisons")],
            "reasons": list(space["reasons"]),
            "train": "–",
            "control": "–",
            "alarms": "–",
            "few": "",
        }
    learned = {space["name"] for space in report["spaces"] if space["family"] == "learned"}
    for channel in report["channels"]:
        what = "copies: " + ", ".join(str(column) for column in channel["columns"])
        row = rows.setdefault(
            channel["name"],
            {"name": channel["name"], "what": what, "tags": [], "reasons": [], "few": ""},
        )
        found, thresholds = channel["findings"], channel["thresholds"]
        row["tags"].append(_admission(channel["admitted"], "copy search"))
        row["reasons"] += [r for r in channel["reasons"] if r not in row["reasons"]]
        row |= {
            "train": formats.count(found["train_images"]),
            "control": formats.count(found["control_images"]),
            "alarms": _alarms(thresholds)
            + (" control images it did not learn from" if channel["name"] in learned else "")
            + ("; line made stricter" if thresholds["tightened"] else ""),
            "few": _alarms(thresholds) if channel["name"] in learned else "",
        }
    return list(rows.values())


def _alarms(thresholds: Mapping[str, Any]) -> str:
    return f"{formats.count(thresholds['control_fired'])} of " + formats.count(
        thresholds["control_images"]
    )


def _admission(admitted: bool, what: str) -> tuple[str, str]:
    return ("ok", f"{what}: passed") if admitted else ("none", f"{what}: not passed")
