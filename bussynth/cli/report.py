"""``bussynth report``: render an audit anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb

__all__ = ["report"]


@verb("report", force=True)
def report(
    path: Annotated[Path, typer.Argument(help="The report.json of an audit.")],
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(help="The HTML file.", show_default="report.html beside it"),
    ] = None,
) -> Outcome:
    """Render the HTML report of an audit from its report.json.

    Example: bussynth report audit/report.json --out report.html
    """
    from bussynth import atomic
    from bussynth.errors import UsageError
    from bussynth.report.render import read_grid, read_report, render_report

    target = out or path.with_suffix(".html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out is an HTML file; give {target} the ending .html.")
    if target.exists() and not run.force:
        raise UsageError(f"{target} exists; choose another name with --out, or use --force.")
    atomic.write_text(target, render_report(read_report(path), grid_png=read_grid(path)))
    return Outcome(data={"report": str(target)}, text=str(target))
