"""Rendering of ``report.json`` into one HTML page: nothing is loaded, nothing runs."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bussynth.errors import BussynthError, DataError
from bussynth.report.figures import draw_figures
from bussynth.report.wording import QUESTIONS, VERDICTS, advice, limits

__all__ = ["read_grid", "read_report", "render_report"]

SCHEMA = "bussynth-audit/1"
_MAX_BYTES = 64 * 2**20
_PERCENT = "\N{NO-BREAK SPACE}%"
_NEEDED = {
    "verdict": str,
    "reasons": list,
    "failures": list,
    "limits": list,
    "statements": list,
    "tests": list,
    "controls": dict,
    "settings": dict,
    "inputs": dict,
    "counts": dict,
    "comparison": dict,
    "environment": dict,
}


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
    """Render a report as one HTML page.

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
    _check(report)
    # In the order of the file, so that the page is the same whether or not it was read back.
    report = json.loads(json.dumps(report, sort_keys=True))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "p": p_value, "number": number}
    template = environment.get_template("report.html.j2")
    style = (Path(__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    grid = None if grid_png is None else base64.b64encode(grid_png).decode("ascii")
    # Nothing but the shape of the report can go wrong in here.
    try:
        return template.render(
            report=report,
            style=Markup(style),
            verdict=VERDICTS[report["verdict"]],
            questions=QUESTIONS,
            tests={test["name"]: test for test in report["tests"]},
            advice=advice(report),
            cannot_show=limits(report),
            figures=draw_figures(report),
            grid=grid,
        )
    except BussynthError:
        raise
    except (jinja2.UndefinedError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError("The audit report lacks fields or holds wrong ones.") from error


def _check(report: Any) -> None:
    if not isinstance(report, Mapping) or report.get("schema") != SCHEMA:
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


def share(value: float | None, digits: int = 1) -> str:
    """Write a share as a percentage, never rounding up to 100 % or down to 0 %."""
    if value is None:
        return "not estimable"
    step = 10.0**-digits
    percent = round(100 * value, digits)
    if value < 1 and percent >= 100:
        percent = 100 - step
    if value > 0 and percent <= 0:
        return f"below {step:.{digits}f}{_PERCENT}"
    return f"{percent:.{digits}f}{_PERCENT}".replace("-", "−")


def p_value(value: float | None) -> str:
    """Write a p-value with two significant digits."""
    if value is None:
        return "not estimable"
    if value < 0.001:
        return "below 0.001"
    return f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def number(value: Any) -> str:
    """Write a setting: lists with commas, numbers without needless digits."""
    if isinstance(value, list):
        return ", ".join(number(entry) for entry in value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return str(value)
