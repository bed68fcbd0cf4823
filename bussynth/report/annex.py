"""What is behind the numbers of an audit, for the site alone: pictures, rows, distances."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bussynth.report.card_tables import Table
from bussynth.report.formats import number

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Annex", "Pair", "Picture", "Pictures", "build_annex", "pick_pictures"]

_ROLES = {"train": "training"}
_MAX_PAIRS = 40
_MAX_DUPLICATES = 20
_SIDES = (256, 192, 160, 128, 96, 64)
_BUDGET = 750_000
"""Characters of all pictures together: the page must open and travel inside the site easily."""

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        caption: Role and row.
        png: Base64 of a PNG.
    """

    caption: str
    png: str


@dataclass(frozen=True)
class Pair:
    """Pictures side by side.

    Attributes:
        pictures: From left to right.
        lines: What is known of them.
    """

    pictures: tuple[Picture, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """A row of pairs.

    Attributes:
        title: Heading.
        text: What the reader should know.
        pairs: The pairs.
        omitted: Pairs that are not shown.
    """

    title: str
    text: str
    pairs: tuple[Pair, ...]
    omitted: int


@dataclass(frozen=True)
class Annex:
    """All of it.

    Attributes:
        pictures: Pictures by kind of finding.
        tables: Row numbers, thresholds.
        histograms: Name of the space and SVG.
    """

    pictures: tuple[Pictures, ...] = ()
    tables: tuple[Table, ...] = ()
    histograms: tuple[tuple[str, Markup], ...] = ()


@dataclass(frozen=True)
class _Sketch:
    """A pair before its pictures are encoded: roles, rows and lines."""

    sides: tuple[tuple[str, int], ...]
    lines: tuple[str, ...]


def pick_pictures(
    private: Mapping[str, Any], images: Mapping[str, Images]
) -> dict[tuple[str, int], Images]:
    """Copy the few images that the internal page shows.

    Args:
        private: Content of ``private.json``.
        images: uint8 (n, H, W) by role: synthetic, train, control; a role may be missing.

    Returns:
        uint8 (H, W) by role and row.
    """
    return {
        (role, row): np.array(images[role][row])
        for _, _, sketches, limit in _kinds(private)
        for sketch in sketches[:limit]
        for role, row in sketch.sides
        if role in images and row < len(images[role])
    }


def build_annex(
    report: Mapping[str, Any],
    private: Mapping[str, Any],
    pictures: Mapping[tuple[str, int], Images],
) -> Annex:
    """Collect what the internal page shows.

    Args:
        report: Content of ``report.json``.
        private: Content of ``private.json``.
        pictures: From :func:`pick_pictures`; pairs that lack one are left out.

    Returns:
        The annex; at most 40 pairs of copies and 20 of each kind of duplicates.
    """
    encoded = _encode(pictures)
    sections = []
    for title, text, sketches, limit in _kinds(private):
        pairs = tuple(
            Pair(
                tuple(
                    Picture(f"{_ROLES.get(role, role)} row {row}", encoded[role, row])
                    for role, row in s.sides
                ),
                s.lines,
            )
            for s in sketches[:limit]
            if all(side in encoded for side in s.sides)
        )
        sections.append(Pictures(title, text, pairs, len(sketches) - len(pairs)))
    return Annex(tuple(sections), _tables(report, private), _histograms(report))


def _kinds(private: Mapping[str, Any]) -> list[tuple[str, str, list[_Sketch], int]]:
    identical = [
        _Sketch((("synthetic", hit["query"]), (role, hit["reference"])), (hit["orientation"],))
        for role in ("train", "control")
        for hit in private.get(f"identical_to_{role}", ())
    ]
    copies = [
        _Sketch((("synthetic", e["synthetic"]), ("train", e["train"])), _likeness(e))
        for e in private.get("copies", ())
    ]
    duplicates = private.get("duplicates") or {}
    across = [
        _Sketch((("control", hit["query"]), ("train", hit["reference"])), ("identical",))
        for hit in duplicates.get("identical", ())
    ] + [
        _Sketch((("control", row), ("train", other)), ("near",))
        for row, other in duplicates.get("near", ())
    ]
    within = [
        _Sketch((("control", row), ("control", other)), ("near",))
        for row, other in duplicates.get("within_control", ())
    ]
    return [
        (
            "Synthetic images that equal a real image",
            "The same pixels, up to mirroring and quarter turns." if identical else "None.",
            identical,
            _MAX_DUPLICATES,
        ),
        (
            "Synthetic images that are near-copies of a training image",
            "The most certain first. The ratio is the distance to this patient over the distance "
            "to the next one: 0 is a copy, 1 is no copy. The correlation is after the best shift."
            if copies
            else "None was confirmed.",
            copies,
            _MAX_PAIRS,
        ),
        (
            "Near-duplicates between training and control",
            "The same picture under two patients? If so, give that person one key, and split and "
            "train again."
            if across
            else "None.",
            across,
            _MAX_DUPLICATES,
        ),
        (
            "Near-duplicates among control patients",
            "The same picture under two patients?" if within else "None.",
            within,
            _MAX_DUPLICATES,
        ),
    ]


def _likeness(entry: Mapping[str, Any]) -> tuple[str, ...]:
    lines = [f"ratio {entry['ratio']:.2f}"]
    if "ncc" in entry:
        mirrored = ", mirrored" if entry.get("mirrored") else ""
        lines.append(f"correlation {entry['ncc']:.2f}{mirrored}")
    if "ms_ssim" in entry:
        lines.append(f"structural similarity {entry['ms_ssim']:.2f}")
    found = entry.get("channels") or ()
    if found:
        lines.append(f"found by {len(found)}: {', '.join(found)}")
    return tuple(lines)


def _encode(pictures: Mapping[tuple[str, int], Images]) -> dict[tuple[str, int], str]:
    """Encode every picture, as large as all of them may be together."""
    encoded: dict[tuple[str, int], str] = {}
    for largest in _SIDES:
        encoded = {side: _png(pixels, largest) for side, pixels in pictures.items()}
        if sum(map(len, encoded.values())) <= _BUDGET:
            break
    return encoded


def _png(pixels: Images, largest: int) -> str:
    from PIL import Image

    picture = Image.fromarray(pixels)
    if max(picture.size) > largest:
        picture.thumbnail((largest, largest))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _tables(report: Mapping[str, Any], private: Mapping[str, Any]) -> tuple[Table, ...]:
    membership = tuple(
        (
            ", ".join(str(row) for row in entry["rows"]),
            str(entry["score"]),
            number(entry["value"]),
        )
        for entry in private.get("membership", ())
    )
    thresholds = tuple(
        (
            channel["name"],
            str(column),
            number(entry["ratios"][position]),
            number(entry["smallest"][position]),
        )
        for channel in report["channels"]
        if (entry := channel["thresholds"])
        for position, column in enumerate(channel["columns"])
        if position < len(entry["ratios"])
    )
    tables = (
        Table(
            "Training patients with the highest membership scores",
            ("Rows of the patient’s training images", "Score", "Value"),
            membership,
        ),
        Table(
            "Lines of the copy searches",
            ("Search", "Column", "Largest ratio of a copy", "Smallest ratio of a control image"),
            thresholds,
        ),
    )
    return tuple(table for table in tables if table.rows)


def _histograms(report: Mapping[str, Any]) -> tuple[tuple[str, Markup], ...]:
    from bussynth.report.charts import histogram

    figures = []
    for position, entry in enumerate(report.get("histograms") or ()):
        train, control = entry["train_to_synthetic"], entry["control_to_synthetic"]
        if sum(train) and sum(control):
            figure = histogram(
                entry["bin_edges"],
                train,
                control,
                name=f"histogram-{position}",
                label=f"Distances to the nearest synthetic image in {entry['space']}, training "
                "and control images.",
            )
            figures.append((entry["space"], figure))
    return tuple(figures)
