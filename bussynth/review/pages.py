"""The pages of a review: contact sheets that load nothing and run one script of ours.

Pictures lie beside the pages as files; a page holds no more than its tiles, so a review of any
size is written and opened page by page.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from bussynth import __version__, atomic
from bussynth.errors import UsageError
from bussynth.progress import SILENT, Progress
from bussynth.report.formats import count
from bussynth.review.config import ReviewConfig
from bussynth.review.folder import ReviewFolder
from bussynth.review.marks import MARKS_FILE, MARKS_SCHEMA
from bussynth.review.material import DECISION_KINDS, REVIEW_FOLDER, read_decisions, read_previews
from bussynth.review.sheets import Sheet, arrange, layout_digest

__all__ = ["PAGES_FOLDER", "PAGES_MARKER", "ReviewPages", "check_pages", "write_pages"]

#: Where the pages go if nothing else is said, inside ``review``.
PAGES_FOLDER: Final = "pages"
#: Tells a folder of pages, which may be replaced, from any other folder.
PAGES_MARKER: Final = "bussynth-review-pages.json"
_TEMPLATES: Final = Path(__file__).parent / "templates"
_MAX_REASONS: Final = 200


@dataclass(frozen=True, kw_only=True)
class ReviewPages:
    """What was written.

    Attributes:
        index: The page to open first.
        digest: Of the folder.
        images: Number of images.
        risky: How many of them were flagged or blanked.
        pages: Number of sheets.
        decisions: Number of source files by decision.
    """

    index: Path
    digest: str
    images: int
    risky: int
    pages: int
    decisions: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            "index": str(self.index),
            "digest": self.digest,
            "images": self.images,
            "flagged_or_blanked": self.risky,
            "pages": self.pages,
            "decisions": self.decisions,
        }


def check_pages(folder: Path | str, out: Path | str | None = None, *, force: bool = False) -> Path:
    """Check the place of the pages and return it.

    Args:
        folder: The folder under review.
        out: Where the pages go; ``FOLDER/review/pages`` by default.
        force: Replace earlier pages.

    Raises:
        UsageError: The place is taken, or lies in the folder but not in its ``review``.
    """
    folder = Path(folder)
    place = folder / REVIEW_FOLDER / PAGES_FOLDER if out is None else Path(out)
    inside, whole = place.absolute().resolve(), folder.absolute().resolve()
    own = whole / REVIEW_FOLDER
    if inside in (whole, own) or (whole in inside.parents and own not in inside.parents):
        raise UsageError(
            f"{place} lies among the images under review; choose a place outside of {folder}, or "
            f"leave --out away for {folder / REVIEW_FOLDER / PAGES_FOLDER}."
        )
    atomic.check_output(place, force=force, markers=(PAGES_MARKER,))
    return place


def write_pages(
    folder: Path | str,
    out: Path | str | None = None,
    *,
    config: ReviewConfig | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> ReviewPages:
    """Write the contact sheets of a folder; they appear whole or not at all.

    Memory grows with the number of images by some hundred bytes each; pictures stream.

    Args:
        folder: A cohort or a folder of de-identified files, with its material of review.
        out: Where the pages go; ``FOLDER/review/pages`` by default.
        config: Order, and images a page.
        force: Replace earlier pages.
        progress: Where to report.

    Returns:
        What was written.

    Raises:
        UsageError: See :func:`check_pages`.
        DataError: There is nothing to review, or images have no picture.
        IntegrityError: The material or the folder is damaged.
    """
    config = config or ReviewConfig()
    opened = ReviewFolder.open(folder)
    place = check_pages(opened.path, out, force=force)
    previews = opened.previews()
    sheets = arrange(previews, config)
    digest = opened.digest()
    totals, reasons = _reasons(opened)
    risky = sum(sheet.risky for sheet in sheets)
    flags = Counter(name for preview in previews for name in set(preview.flags))
    facts = {
        "version": __version__,
        "kind": "folder of files" if opened.cohort is None else f"{opened.cohort.kind} cohort",
        "images": len(previews),
        "pages": len(sheets),
        "order": config.order,
        "digest": digest,
        "risky": risky,
    }
    shared = {
        "schema": MARKS_SCHEMA,
        "file": MARKS_FILE,
        "digest": digest,
        "previews": opened.previews_digest(),
        "layout": layout_digest(sheets),
        "total": len(previews),
    }
    environment = _environment()
    with atomic.new_directory(place, force=force, markers=(PAGES_MARKER,)) as staging:
        pictures = _write_pictures(opened, sheets, staging, progress)
        for sheet in sheets:
            ids = [tile.preview.id for tile in sheet.tiles]
            page = environment.get_template("page.html.j2").render(
                **facts,
                sheet=sheet,
                pictures=pictures,
                data=_embedded({**shared, "page": sheet.number, "ids": ids}),
            )
            (staging / f"{sheet.name}.html").write_text(page, encoding="utf-8")
        index = environment.get_template("index.html.j2").render(
            **facts,
            sheets=sheets,
            totals=totals,
            reasons=reasons[:_MAX_REASONS],
            omitted=max(0, len(reasons) - _MAX_REASONS),
            flags=sorted(flags.items(), key=lambda entry: (-entry[1], entry[0])),
            blanked=sum(bool(preview.blanked) for preview in previews),
            facts=opened.facts(),
            data=_embedded({**shared, "page": 0, "ids": []}),
        )
        (staging / "index.html").write_text(index, encoding="utf-8")
        atomic.write_json(staging / PAGES_MARKER, {"digest": digest, "images": len(previews)})
    return ReviewPages(
        index=place / "index.html",
        digest=digest,
        images=len(previews),
        risky=risky,
        pages=len(sheets),
        decisions=totals,
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    style, script = (
        (_TEMPLATES / name).read_text(encoding="utf-8") for name in ("review.css", "review.js")
    )
    # No source but these two texts, by their digests, and the pictures beside the pages. Browsers
    # do not agree on whether 'self' is a file beside a file, so that is named too.
    policy = (
        f"default-src 'none'; style-src '{_source(style)}'; script-src '{_source(script)}'; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    environment.globals |= {"style": Markup(style), "script": Markup(script), "policy": policy}
    return environment


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _embedded(data: Mapping[str, Any]) -> Markup:
    """JSON as the content of a script element, which no value of it can end."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _write_pictures(
    opened: ReviewFolder, sheets: Sequence[Sheet], staging: Path, progress: Progress
) -> list[str]:
    """Write every picture beside its page; returns their relative paths by row."""
    places = [""] * sum(len(sheet.tiles) for sheet in sheets)
    for sheet in sheets:
        (staging / sheet.name).mkdir()
        for tile in sheet.tiles:
            places[tile.row] = f"{sheet.name}/{tile.number:06d}"
    with progress.task("Writing", total=len(places)) as task:
        for row, preview in enumerate(read_previews(opened.previews_file)):
            ending = "png" if preview.picture.startswith(b"\x89PNG") else "jpg"
            places[row] = f"{places[row]}.{ending}"
            (staging / places[row]).write_bytes(preview.picture)
            task.advance()
    return places


def _reasons(opened: ReviewFolder) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Source files by decision, and by decision, reason and sentence, the most frequent first."""
    totals = dict.fromkeys(DECISION_KINDS, 0)
    found: Counter[tuple[str, str, str]] = Counter()
    if opened.decisions_file.is_file():
        for row in read_decisions(opened.decisions_file):
            totals[row.decision] += 1
            found[row.decision, row.reason, row.why] += 1
    order = {name: place for place, name in enumerate(DECISION_KINDS)}
    rows = sorted(found.items(), key=lambda entry: (order[entry[0][0]], -entry[1], entry[0]))
    return totals, [
        {"decision": decision, "reason": reason, "why": why, "files": files}
        for (decision, reason, why), files in rows
    ]
