"""The figures of the attacks: marks in rows, training against control, a curve with bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bussynth.report.drawing import BLUE, GREEN, GREY, GRID, RED, RUST, drawing, percent, safe

__all__ = ["Mark", "Rates", "Strip", "dumbbells", "histogram", "ribbon", "strips"]

_MARKS = (
    (BLUE, "o", BLUE, 6.0),
    (GREEN, "s", "white", 5.0),
    (RED, "^", "white", 5.5),
    (GREY, "D", "white", 4.5),
)


@dataclass(frozen=True)
class Mark:
    """A point of a row.

    Attributes:
        kind: Which of the kinds of the figure it is.
        value: Where it stands.
        low: Lower end of its interval, or None.
        high: Upper end of its interval, or None.
    """

    kind: int
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Strip:
    """A panel of rows that shares its rows with its neighbours.

    Attributes:
        title: Above it.
        marks: The marks of each row.
        line: Where a vertical line stands, or None.
        line_label: What the line means.
        limits: Ends of the axis.
    """

    title: str
    marks: Sequence[Sequence[Mark]]
    line: float | None = None
    line_label: str = ""
    limits: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Rates:
    """One row of training against control.

    Attributes:
        label: What it is.
        train: Rate of training.
        control: Rate of control.
        baseline: Rate of a guess, or None.
    """

    label: str
    train: float
    control: float
    baseline: float | None


def strips(
    labels: Sequence[str],
    panels: Sequence[Strip],
    kinds: Sequence[str],
    *,
    name: str,
    label: str,
) -> Markup:
    """Draw panels side by side over the same rows.

    Args:
        labels: The rows, from top to bottom; at least one.
        panels: One or two panels.
        kinds: Names of the kinds of marks, at most four, for the legend.
        name: Unique name of the figure on its page: letters and hyphens.
        label: What a reader who cannot see the figure is told.

    Returns:
        The ``<svg>`` element.
    """
    with drawing(7.4, 1.15 + 0.26 * len(labels)) as (figure, render):
        # Else "100 %" of one axis and "0 %" of the next touch.
        figure.get_layout_engine().set(wspace=0.1)
        for position, panel in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), position + 1)
            for row, marks in enumerate(panel.marks):
                # The leading kind is drawn last, so that nothing hides it.
                for mark in sorted(marks, key=lambda mark: -mark.kind):
                    _mark(axes, row, mark)
            _rows(axes, labels if position == 0 else [""] * len(labels))
            _line(axes, panel.line, panel.line_label)
            pad = 0.03 * (panel.limits[1] - panel.limits[0])
            axes.set_xlim(panel.limits[0] - pad, panel.limits[1] + pad)
            axes.set_xlabel(safe(panel.title))
        _legend(figure, kinds)
        return render(name, label)


def dumbbells(
    groups: Sequence[tuple[str, Sequence[Rates]]], *, name: str, label: str, base: str
) -> Markup:
    """Draw training against control, one panel a criterion.

    Args:
        groups: Title and rows of each panel; at least one.
        name: As :func:`strips`.
        label: As :func:`strips`.
        base: What the baseline is, for the legend.

    Returns:
        The ``<svg>`` element.
    """
    heights = [max(1, len(rows)) + 1.3 for _, rows in groups]
    with drawing(7.0, 0.5 + 0.27 * sum(heights)) as (figure, render):
        grid = figure.add_gridspec(len(groups), 1, height_ratios=heights)
        for position, (title, rows) in enumerate(groups):
            axes = figure.add_subplot(grid[position])
            for row, rates in enumerate(rows):
                axes.plot([rates.train, rates.control], [row, row], color=GRID, linewidth=3)
                if rates.baseline is not None:
                    axes.plot(rates.baseline, row, "|", color=RED, markersize=11, mew=1.8)
                _mark(axes, row, Mark(3, rates.control))
                _mark(axes, row, Mark(0, rates.train))
            _rows(axes, [rates.label for rates in rows])
            ends = [v for r in rows for v in (r.train, r.control, r.baseline) if v is not None]
            top = min(1.0, max(0.01, 1.1 * max(ends)))
            axes.set_xlim(-0.02 * top, 1.02 * top)
            axes.set_title(safe(title), fontsize=9, loc="left", fontweight="bold")
        figure.legend(
            handles=[_handle(0), _handle(3), _tick()],
            labels=["training", "control", safe(base)],
            loc="outside lower center", ncols=3, frameon=False, fontsize=8,
        )  # fmt: skip
        return render(name, label)


def ribbon(
    x: Sequence[float],
    value: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    others: Sequence[Sequence[float]],
    *,
    name: str,
    label: str,
    axes_labels: tuple[str, str],
    declared: float,
) -> Markup:
    """Draw a curve with its bounds, and others of its kind thin behind it.

    Args:
        x: Shares, positive, ascending.
        value: The curve.
        low: Lower bounds.
        high: Upper bounds.
        others: Further curves over the same shares.
        name: As :func:`strips`.
        label: As :func:`strips`.
        axes_labels: Labels of the horizontal and the vertical axis.
        declared: Share that decides; marked.

    Returns:
        The ``<svg>`` element.
    """
    with drawing(7.0, 2.9) as (figure, render):
        axes = figure.add_subplot()
        for other in others:
            axes.plot(x, other, color=GREY, linewidth=0.9, alpha=0.7, label="other spaces")
        axes.fill_between(x, low, high, color=BLUE, alpha=0.16, linewidth=0, label="bounds")
        axes.plot(x, value, color=BLUE, marker="o", markersize=5, linewidth=1.8,
                  label="excess, worst space")  # fmt: skip
        axes.plot(x, high, color=BLUE, linewidth=1.0, linestyle="--", label="at most")
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        axes.axvline(declared, color=RED, linewidth=1.0, linestyle=":")
        axes.annotate(
            "declared", (declared, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", ha="center", fontsize=8, color=RUST,
        )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(list(x), [percent(v) for v in x])
        axes.minorticks_off()
        ends = [*low, *high, *value, 0.0]
        axes.set_ylim(max(-1.0, min(ends)) - 0.02, max(0.05, *ends) + 0.02)
        axes.yaxis.set_major_formatter(percent)
        axes.set_xlabel(safe(axes_labels[0]))
        axes.set_ylabel(safe(axes_labels[1]))
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        handles, names = axes.get_legend_handles_labels()
        unique = dict(zip(names, handles, strict=True))
        axes.legend(
            unique.values(), unique.keys(), frameon=False, loc="center left",
            bbox_to_anchor=(1.01, 0.5), fontsize=8,
        )  # fmt: skip
        return render(name, label)


def histogram(
    edges: Sequence[float],
    train: Sequence[int],
    control: Sequence[int],
    *,
    name: str,
    label: str,
) -> Markup:
    """Draw two distributions over the same bins, each as shares of its own total.

    Args:
        edges: Edges of the bins, one more than there are bins.
        train: Counts of training images.
        control: Counts of control images.
        name: As :func:`strips`.
        label: As :func:`strips`.

    Returns:
        The ``<svg>`` element.
    """
    used = [i for i, pair in enumerate(zip(train, control, strict=True)) if any(pair)]
    first, last = used[0], used[-1] + 1
    with drawing(7.0, 1.9) as (figure, render):
        axes = figure.add_subplot()
        for counts, colour, style, text in (
            (train, BLUE, "-", "training"), (control, GREY, "--", "control"),
        ):  # fmt: skip
            shares = [value / sum(counts) for value in counts[first:last]]
            axes.stairs(shares, edges[first : last + 1], color=colour, linestyle=style, label=text)
        axes.yaxis.set_major_formatter(percent)
        axes.set_xlabel("distance")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
        return render(name, label)


def _mark(axes: Any, row: float, mark: Mark) -> None:
    colour, shape, fill, size = _MARKS[mark.kind]
    if mark.low is not None and mark.high is not None:
        axes.plot([mark.low, mark.high], [row, row], "|-", color=colour, linewidth=1.8, ms=6)
    axes.plot(mark.value, row, shape, color=colour, markerfacecolor=fill, markersize=size)


def _rows(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [safe(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(percent)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _line(axes: Any, line: float | None, text: str) -> None:
    if line is None:
        return
    axes.axvline(line, color=RED, linewidth=1.2, linestyle="--", zorder=0)
    axes.annotate(
        safe(text), (line, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
        textcoords="offset points", ha="center", fontsize=8, color=RUST,
    )  # fmt: skip


def _handle(kind: int) -> Any:
    from matplotlib.lines import Line2D

    colour, shape, fill, size = _MARKS[kind]
    return Line2D([], [], color=colour, marker=shape, markerfacecolor=fill, markersize=size,
                  linestyle="none")  # fmt: skip


def _tick() -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=RED, marker="|", markersize=9, mew=1.8, linestyle="none")


def _legend(figure: Any, kinds: Sequence[str]) -> None:
    if len(kinds) > 1:
        figure.legend(
            handles=[_handle(kind) for kind in range(len(kinds))],
            labels=[safe(kind) for kind in kinds],
            loc="outside lower center", ncols=len(kinds), frameon=False, fontsize=8,
        )  # fmt: skip
