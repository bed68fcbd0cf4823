"""An evaluation in words and tables: for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["STAYS", "to_markdown", "to_text"]

STAYS = (
    "These figures rest on a look at held-out real patients. Under a formal-dp claim that look is "
    "not accounted for, so they may not accompany a package: keep this folder at the site unless "
    "the claim is empirically-audited."
)

_OBEYED = ("", "images", "real held-out", "synthetic", "difference", "shuffled")
_FAITHFUL = ("", "synthetic", "floor (real train)")
_NUMBERS = {
    "fd": "Fréchet distance",
    "kid": "KID x 1000",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
_THOUSANDS = ("kid",)


def to_text(content: Mapping[str, Any]) -> str:
    """Render the content of ``evaluation.json`` for a terminal.

    Args:
        content: See :meth:`bussynth.quality.evaluate.Evaluation.to_dict`.

    Returns:
        Lines of text; brackets hold 95 % intervals.
    """
    parts = [_columns([_OBEYED, *_obeyed(content)])] if content["obedience"] else []
    parts += [
        f"{space['space']}: {space['images']} images, {space['dimensions']} dimensions\n"
        + _columns([_FAITHFUL, *_faithful(space)])
        for space in content["fidelity"] or ()
    ]
    parts.append("\n".join(f"- {line}" for line in _remarks(content)))
    return "\n\n".join([*parts, STAYS])


def to_markdown(content: Mapping[str, Any]) -> str:
    """Render the content of ``evaluation.json`` as the page ``evaluation.md``."""
    inputs = content["inputs"]
    real, made = inputs["real"], inputs["synthetic"]
    height, width = inputs["image_size"]
    parts = [
        "# Quality of synthetic images",
        f"**{STAYS}**",
        f"{made['images']} synthetic images of {width}x{height} pixels, beside "
        f"{real['test']['images']} images of {real['test']['patients']} test patients of a "
        f"{real['kind']} cohort. Judges learned from {real['train']['images']} images of "
        f"{real['train']['patients']} training patients. Brackets hold 95 % intervals: patients "
        "were resampled, of synthetic images the images.",
        "## Are the conditions obeyed?",
        "The same networks answer for real and for synthetic images. The real figure is the level "
        "to reach; the last column is what they say of synthetic images whose requests were dealt "
        "out anew.",
        _table(_OBEYED, _obeyed(content)),
    ]
    for space in content["fidelity"] or ():
        parts += [
            f"## Fidelity: {space['space']}",
            f"{space['images']} synthetic images, and for the floor as many training images, "
            f"against the test images, in {space['dimensions']} dimensions.",
            _table(_FAITHFUL, _faithful(space)),
        ]
    parts += ["## Remarks", "\n".join(f"- {line}" for line in _remarks(content))]
    return "\n\n".join(parts) + "\n"


def _obeyed(content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    obedience = content["obedience"]
    for one in obedience["recognition"]:
        name, pairs = one["column"], one["pairs"]
        images = {side: sum(one["images"][side].values()) for side in ("real", "synthetic")}
        yield _row(f"{name}: AUC", images, one["auc"])
        if len(pairs) > 1 and "benign / malignant" in pairs:
            yield _row("  benign / malignant", {}, pairs["benign / malignant"])
        yield _row("  balanced accuracy", {}, one["balanced_accuracy"])
    located = obedience["localisation"]
    if located is not None:
        yield _row("lesion box: mean IoU", located["images"], located["iou"])
        yield _row("  IoU at least 0.5", {}, located["iou_at_least_half"])
        yield _row("  centre in box", {}, located["centre_in_box"])
    present = obedience["presence"]
    if present is not None:
        images = {side: sum(present["images"][side].values()) for side in ("real", "synthetic")}
        yield _row("lesion or normal: AUC", images, present["auc"])
        yield _row("  found in normal images", {}, present["found_in_normal"])
        yield _row("  found in lesion images", {}, present["found_in_lesion"])


def _row(name: str, images: Mapping[str, int], figure: Mapping[str, Any]) -> tuple[str, ...]:
    counts = f"{images['real']} / {images['synthetic']}" if images else ""
    sides = (_interval(figure[side]) for side in ("real", "synthetic"))
    return name, counts, *sides, _signed(figure["difference"]), _interval(figure["shuffled"])


def _faithful(space: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, name in _NUMBERS.items():
        factor = 1000.0 if key in _THOUSANDS else 1.0
        yield name, *(_interval(space[side][key], factor) for side in ("synthetic", "floor"))


def _interval(figure: Mapping[str, float], factor: float = 1.0) -> str:
    value, low, high = (figure[key] * factor for key in ("value", "low", "high"))
    digits = 3 if abs(value) < 10 else 1
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _signed(figure: Mapping[str, float]) -> str:
    return "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**figure)


def _remarks(content: Mapping[str, Any]) -> Iterator[str]:
    obedience = content["obedience"]
    for one in obedience["recognition"]:
        name = one["column"]
        yield f"{name}: {', '.join(one['values'])}; guessing gives a balanced accuracy of " + (
            f"{one['chance']:.3f}"
        )
        if one["left_out"]:
            yield f"{name}: left out for too few patients or images: {', '.join(one['left_out'])}"
        if not one["tells"]:
            yield (
                f"{name} is not recognised above chance in real images either, so its figures say "
                "nothing of the synthetic ones"
            )
    for name, reason in obedience["not_measured"].items():
        yield f"{name}: not measurable, {reason}"
    yield from content["notes"]


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(cell: str) -> str:
    indent = len(cell) - len(cell.lstrip())
    return "&nbsp;" * indent + cell.strip().replace("|", "\\|")


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
