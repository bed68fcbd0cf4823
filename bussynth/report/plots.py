"""The figures of the report that show shares: forests, curves and small panels.

Every figure has a table of its numbers beside it in the report, so none is the only source of
anything. Colours are those of Okabe and Ito, told apart by colour-blind readers; markers and line
styles repeat what the colours say.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bussynth.report.drawing import BLUE, GREY, GRID, INK, RED, RUST, STYLES, drawing, percent, safe

__all__ = ["Band", "curves", "forest", "panels"]


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
    with drawing(7.0, 0.75 + 0.26 * len(bands)) as (figure, render):
        axes = figure.add_subplot()
        for strong, colour, marker, fill in (
            (True, BLUE, "o", BLUE),
            (False, GREY, "D", "white"),
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
            axes.axvline(line, color=RED, linewidth=1.2, linestyle="--", zorder=0)
            axes.annotate(
                line_label,
                (line, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=RUST,
            )
        axes.set_yticks(range(len(bands)), [safe(band.label) for band in bands])
        axes.set_ylim(len(bands) - 0.4, -0.6)
        pad = 0.02 * (limits[1] - limits[0])
        axes.set_xlim(limits[0] - pad, limits[1] + pad)
        axes.set_xlabel(safe(axis))
        axes.xaxis.set_major_formatter(percent)
        axes.grid(axis="x", color=GRID, linewidth=0.7)
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
    with drawing(7.0, 2.7) as (figure, render):
        axes = figure.add_subplot()
        for (text, values), (colour, marker, style) in zip(lines, STYLES, strict=False):
            axes.plot(
                x, values, linestyle=style, marker=marker, color=colour, label=safe(text),
                linewidth=1.8, markersize=5.5, clip_on=False,
            )  # fmt: skip
        if level is not None:
            axes.axhline(level, color=GREY, linewidth=1.0, linestyle=(0, (1, 2)))
            # Beside the axes, where no curve can cross it.
            axes.annotate(
                level_label,
                (1.0, level),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=GREY,
            )
        axes.set_xscale("log")
        axes.set_xticks(list(x), [f"{value:g}" for value in x])
        axes.minorticks_off()
        axes.set_ylim(-0.03, 1.05)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel(safe(axis))
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        # Beside the axes, so that it never covers a point.
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(1.01, 0.0))
        return render(name, label)


def panels(
    groups: Sequence[tuple[str, Sequence[Band]]],
    *,
    name: str,
    label: str,
    line: float | None,
    others: Sequence[Sequence[float]] = (),
    legend: tuple[str, str] = ("", ""),
    columns: int = 4,
) -> Markup:
    """Draw one small curve a group, shares from 0 to 1 against steps of growing difficulty.

    Args:
        groups: Title and points of each panel; at least one.
        name: As :func:`forest`.
        label: As :func:`forest`.
        line: Where a horizontal line stands, or None.
        others: A second curve for each panel, over the same steps; none by default.
        legend: Names of the two curves, if there are two.
        columns: Panels in a row.

    Returns:
        The ``<svg>`` element.
    """
    rows = -(-len(groups) // columns)
    with drawing(7.4, 0.3 + 1.5 * rows) as (figure, render):
        for position, (title, bands) in enumerate(groups):
            axes = figure.add_subplot(rows, columns, position + 1)
            steps = range(len(bands))
            if others:
                axes.plot(steps, others[position], color=GREY, marker="D", markersize=3,
                          markerfacecolor="white", linewidth=1.0, linestyle=":",
                          label=legend[1])  # fmt: skip
            axes.plot(steps, [band.value for band in bands], color=BLUE, marker="o", markersize=4,
                      label=legend[0])  # fmt: skip
            for step, band in zip(steps, bands, strict=True):
                if band.low is not None and band.high is not None:
                    axes.plot([step, step], [band.low, band.high], color=BLUE, linewidth=1.6)
            if line is not None:
                axes.axhline(line, color=RED, linewidth=1.0, linestyle="--")
            axes.set_title(_wrapped(title, 24), fontsize=8.5, loc="left", color=INK)
            axes.set_ylim(-0.05, 1.07)
            axes.set_xlim(-0.5, max(1, len(bands) - 1) + 0.5)
            axes.set_xticks(list(steps), [_wrapped(band.label, 9) for band in bands], fontsize=6.5)
            share = ["0 %", "50 %", "100 %"] if position % columns == 0 else ["", "", ""]
            axes.set_yticks([0, 0.5, 1], share, fontsize=7.5)
            axes.grid(axis="y", color=GRID, linewidth=0.7)
            axes.set_axisbelow(True)
            if others and position == 0:
                handles, names = axes.get_legend_handles_labels()
        if others:
            figure.legend(handles[::-1], names[::-1], loc="outside lower center", ncols=2,
                          frameon=False, fontsize=8)  # fmt: skip
        return render(name, label)


def _wrapped(text: str, width: int) -> str:
    return safe("\n".join(textwrap.wrap(text, width)[:3]))
