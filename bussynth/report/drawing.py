"""The drawing board: SVG with text that stays text, the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from markupsafe import Markup

from bussynth.errors import MissingDependencyError

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "GRID",
    "INK",
    "RED",
    "RUST",
    "STYLES",
    "drawing",
    "percent",
    "safe",
]

_Render: TypeAlias = Callable[[str, str], Markup]

BLUE, RED, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#5b6470"
INK, RUST, GRID = "#1c2430", "#a34700", "#e3e6ea"
STYLES = ((BLUE, "o", "-"), (RED, "s", "--"), (GREEN, "^", ":"))
_RC = {
    "svg.hashsalt": "bussynth",
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
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


def safe(text: str) -> str:
    """Keep matplotlib from reading a dollar sign as mathematics."""
    return text.replace("$", r"\$")


def percent(value: float, _: object = None) -> str:
    """Write a tick of an axis of shares."""
    return f"{100 * value:.4g} %".replace("-", "−")


@contextmanager
def drawing(width: float, height: float) -> Iterator[tuple[Any, _Render]]:
    """Yield a figure outside pyplot's global state, and what turns it into markup.

    Args:
        width: In inches; the page scales it to its own width.
        height: In inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
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
