"""The figures of the report: SVG with text that stays text, the same bytes for the same numbers.

Every figure has a table of its numbers beside it in the report, so none is the only source of
anything. Colours are those of Okabe and Ito, told apart by colour-blind readers; markers and line
styles repeat what the colours say.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from markupsafe import Markup

from bussynth.errors import MissingDependencyError

__all__ = ["Band", "curves", "forest", "panels"]

_Render: TypeAlias = Callable[[str, str], Markup]

_BLUE, _RED, _GREEN, _GREY = "#0072b2", "#d55e00", "#009e73", "#5b6470"
_STYLES = ((_BLUE, "o", "-"), (_RED, "s", "--"), (_GREEN, "^", ":"))
_RC = {
    "svg.hashsalt": "bussynth",
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.linewidth": 0.8,
    "xtick.color": "#333b45",
    "ytick.color": "#333b45",
    "axes.labelcolor": "#333b45",
    "path.simplify": False,
}
_FONTS = "system-ui, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif"
_PROLOGUE = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
# The style matplotlib writes is for all elements of the page once the figure is part of it.
_FOREIGN = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Band:
    """One row of a forest plot: a point with an interval.

    Attributes:
        label: What it is.
        value: The point.
        low: Lower end of the interval, or None.
        high: Upper end of the interval, or None.
        strong: Draw it in the leading colour; else in grey.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    strong: bool = True


def forest(
    bands: Sequence[Band],
    *,
    name: str,
    label: str,
    axis: str,
    line: float | None,
    line_label: str = "",
    limits: tuple[float, float] = (0.0, 1.0),
) -> Markup:
    """Draw points with intervals below each other and a line to compare with.

    Args:
        bands: The rows, from top to bottom, shares; at least one.
        name: Unique name of the figure on its page: letters and hyphens.
        label: What a reader who cannot see the figure is told.
        axis: Label of the horizontal axis.
        line: Where the vertical line stands, or None.
        line_label: What the line means.
        limits: Ends of the horizontal axis.

    Returns:
        The ``<svg>`` element.
    """
    with _drawing(7.0, 0.75 + 0.26 * len(bands)) as (figure, render):
        axes = figure.add_subplot()
        for strong, colour, marker, fill in (
            (True, _BLUE, "o", _BLUE),
            (False, _GREY, "D", "white"),
        ):
            rows = [row for row, band in enumerate(bands) if band.strong == strong]
            whole = [
                (row, band.low, band.high)
                for row, band in enumerate(bands)
                if band.strong == strong and band.low is not None and band.high is not None
            ]
            for row, low, high in whole:
                axes.plot([low, high], [row, row], "|-", color=colour, linewidth=2.2, markersize=7)
            axes.plot(
                [bands[row].value for row in rows], rows, marker, color=colour,
                markerfacecolor=fill, markersize=5.5, linestyle="none",
            )  # fmt: skip
        if line is not None:
            axes.axvline(line, color=_RED, linewidth=1.2, linestyle="--", zorder=0)
            axes.annotate(
                line_label,
                (line, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color="#a34700",
            )
        axes.set_yticks(range(len(bands)), [_safe(band.label) for band in bands])
        axes.set_ylim(len(bands) - 0.4, -0.6)
        pad = 0.02 * (limits[1] - limits[0])
        axes.set_xlim(limits[0] - pad, limits[1] + pad)
        axes.set_xlabel(_safe(axis))
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %".replace("-", "−"))
        axes.grid(axis="x", color="#e3e6ea", linewidth=0.7)
        axes.tick_params(axis="y", length=0)
        axes.set_axisbelow(True)
        return render(name, label)


def curves(
    x: Sequence[float],
    lines: Sequence[tuple[str, Sequence[float]]],
    *,
    name: str,
    label: str,
    axis: str,
    level: float | None,
    level_label: str = "",
) -> Markup:
    """Draw shares against a count on a logarithmic axis.

    Args:
        x: The counts, positive, ascending.
        lines: Up to three names, each with one share a count.
        name: As :func:`forest`.
        label: As :func:`forest`.
        axis: Label of the horizontal axis.
        level: Where a horizontal line stands, or None.
        level_label: What that line means.

    Returns:
        The ``<svg>`` element.
    """
    with _drawing(7.0, 2.7) as (figure, render):
        axes = figure.add_subplot()
        for (text, values), (colour, marker, style) in zip(lines, _STYLES, strict=False):
            axes.plot(
                x, values, linestyle=style, marker=marker, color=colour, label=_safe(text),
                linewidth=1.8, markersize=5.5, clip_on=False,
            )  # fmt: skip
        if level is not None:
            axes.axhline(level, color=_GREY, linewidth=1.0, linestyle=(0, (1, 2)))
            axes.annotate(
                level_label,
                (1.0, level),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=_GREY,
            )
        axes.set_xscale("log")
        axes.set_xticks(list(x), [f"{value:g}" for value in x])
        axes.minorticks_off()
        axes.set_ylim(-0.03, 1.05)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel(_safe(axis))
        axes.grid(color="#e3e6ea", linewidth=0.7)
        axes.set_axisbelow(True)
        # Beside the axes, so that it never covers a point.
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
        return render(name, label)


def panels(
    groups: Sequence[tuple[str, Sequence[Band]]],
    *,
    name: str,
    label: str,
    line: float | None,
    columns: int = 4,
) -> Markup:
    """Draw one small curve a group, shares from 0 to 1 against steps of growing difficulty.

    Args:
        groups: Title and points of each panel; at least one.
        name: As :func:`forest`.
        label: As :func:`forest`.
        line: Where a horizontal line stands, or None.
        columns: Panels in a row.

    Returns:
        The ``<svg>`` element.
    """
    rows = -(-len(groups) // columns)
    with _drawing(7.0, 0.2 + 1.75 * rows) as (figure, render):
        for position, (title, bands) in enumerate(groups):
            axes = figure.add_subplot(rows, columns, position + 1)
            steps = range(len(bands))
            axes.plot(steps, [band.value for band in bands], color=_BLUE, marker="o", markersize=4)
            for step, band in zip(steps, bands, strict=True):
                if band.low is not None and band.high is not None:
                    axes.plot([step, step], [band.low, band.high], color=_BLUE, linewidth=1.6)
            if line is not None:
                axes.axhline(line, color=_RED, linewidth=1.0, linestyle="--")
            axes.set_title(_safe(title), fontsize=9, loc="left", color="#1c2430")
            axes.set_ylim(-0.05, 1.07)
            axes.set_xlim(-0.5, max(1, len(bands) - 1) + 0.5)
            axes.set_xticks(
                list(steps),
                [_safe(band.label) for band in bands],
                fontsize=7,
            )
            share = ["0 %", "50 %", "100 %"] if position % columns == 0 else ["", "", ""]
            axes.set_yticks([0, 0.5, 1], share, fontsize=7.5)
            axes.grid(axis="y", color="#e3e6ea", linewidth=0.7)
            axes.set_axisbelow(True)
        return render(name, label)


def _safe(text: str) -> str:
    """Keep matplotlib from reading a dollar sign as mathematics."""
    return text.replace("$", r"\$")


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Any, _Render]]:
    """Yield a figure outside pyplot's global state, and what turns it into markup."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            'The report needs matplotlib: pip install "bussynth[full]".'
        ) from error

    def render(name: str, label: str) -> Markup:
        buffer = io.StringIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
        return _inline(buffer.getvalue(), name, label)

    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, render


def _inline(svg: str, name: str, label: str) -> Markup:
    """Make an SVG file a part of a page: no prologue, own ids, a label, as wide as the text."""
    svg = _FOREIGN.sub("", _PROLOGUE.sub("", svg, count=1))
    # Figures on one page must not share ids.
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)
    svg = svg.replace("font-family: 'DejaVu Sans', sans-serif", f"font-family: {_FONTS}")
    attributes = Markup('role="img" aria-label="{}" class="plot"').format(label)
    svg = re.sub(r' width="[\d.]+pt"', "", svg, count=1)
    svg = re.sub(r' height="[\d.]+pt"', "", svg, count=1)
    return Markup(svg.replace("<svg ", f"<svg {attributes} ", 1))
