"""The report of an audit as data: built, written to a folder whole or not at all.

Everything stays on the site but ``report.html``, which holds summary numbers only, the digest of
``report.json`` and, after a pass, some synthetic images. ``report.json`` also holds histograms,
thresholds and digests of real images; what of it may leave is what ``bussynth export`` packs.
``report.internal.html`` shows patients, and ``private.json`` holds row numbers of pairs. What stays
is readable by its owner alone.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bussynth import __version__, atomic
from bussynth.auditing.comparison import Comparison
from bussynth.auditing.config import AuditConfig
from bussynth.auditing.metrics import metrics_csv
from bussynth.auditing.sources import made_by
from bussynth.errors import BussynthError
from bussynth.images import encode_png
from bussynth.report.annex import pick_pictures

if TYPE_CHECKING:
    from audits.result import AuditResult

__all__ = ["MARKERS", "PASSED", "AuditReport", "build_report"]

PASSED = "NO EVIDENCE ABOVE FLOOR"
MARKERS = ("report.json",)
"""What tells an audit from other folders: --force replaces nothing else."""

_LIBRARIES = ("faiss-cpu", "numpy", "pillow", "pyarrow", "scipy")
_GRID = (4, 6)
_GAP = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditReport:
    """What an audit found.

    Attributes:
        report: Content of ``report.json`` (schema bussynth-audit/2, see docs/report-schema.md).
        private: Row numbers, counted from 0, of the pairs behind the findings; for the site only.
        grid_png: Some synthetic images in a grid, or None if they may resemble patients or were
            derived from images of theirs.
        pictures: Images of the pairs behind the findings, by role and row; for the site only.
    """

    report: Mapping[str, Any]
    private: Mapping[str, Any] = field(repr=False)
    grid_png: bytes | None = field(repr=False)
    pictures: Mapping[tuple[str, int], npt.NDArray[np.uint8]] = field(
        repr=False, default_factory=dict
    )

    @property
    def verdict(self) -> str:
        """``"FAIL"``, ``"INCONCLUSIVE"`` or ``"NO EVIDENCE ABOVE FLOOR"``."""
        return str(self.report["verdict"])

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, in plain sentences, the gravest first."""
        return tuple(self.report["reasons"])

    @property
    def passed(self) -> bool:
        """Whether there was no evidence above the floor that the audit demonstrated."""
        return self.verdict == PASSED

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``report.json``."""
        return dict(self.report)

    def to_html(self) -> str:
        """Render the page that may leave the site: summary numbers only."""
        from bussynth.report.render import render_report

        return render_report(self.report, grid_png=self.grid_png)

    def to_internal_html(self) -> str:
        """Render the page that must stay inside the site: it shows images of patients."""
        from bussynth.report.annex import build_annex
        from bussynth.report.render import render_internal

        annex = build_annex(self.report, self.private, self.pictures)
        return render_internal(self.report, annex, grid_png=self.grid_png)

    def save(self, out: Path | str, *, force: bool = False) -> AuditReport:
        """Write the two pages, report.json, its digest, metrics.csv and private.json.

        Args:
            out: The folder to make.
            force: Replace an earlier audit there; the report counts how often this was done.

        Returns:
            The report as written, with the number of the run.

        Raises:
            UsageError: The folder exists, or holds something else.
            DataError: The file system refused.
        """
        out = Path(out)
        atomic.check_output(out, force=force, markers=MARKERS)
        environment = {**self.report["environment"], "run": 1 + _earlier_runs(out, self.report)}
        written = replace(self, report={**self.report, "environment": environment})
        html, internal = written.to_html(), written.to_internal_html()
        with atomic.new_directory(out, force=force, markers=MARKERS) as staging:
            _write_private(staging / "report.json", _json(written.report))
            digest = hashlib.sha256((staging / "report.json").read_bytes()).hexdigest()
            atomic.write_text(staging / "report.sha256", f"{digest}  report.json\n")
            atomic.write_text(staging / "report.html", html)
            _write_private(staging / "metrics.csv", metrics_csv(written.report))
            if written.grid_png is not None:
                atomic.write_bytes(staging / "samples.png", written.grid_png)
            _write_private(staging / "report.internal.html", internal)
            _write_private(staging / "private.json", _json(written.private))
        return written


def build_report(
    result: AuditResult,
    comparison: Comparison,
    config: AuditConfig,
    synthetic: npt.NDArray[np.uint8],
    *,
    train: npt.NDArray[np.uint8] | None = None,
    control: npt.NDArray[np.uint8] | None = None,
) -> AuditReport:
    """Join the findings with what they were computed from.

    Args:
        result: The findings.
        comparison: Where the images came from.
        config: The settings.
        synthetic: uint8 (n, H, W), the synthetic images, for the grid and the pictures of pairs.
        train: uint8 (n, H, W), the train images, for the pictures of pairs; None shows none.
        control: uint8 (n, H, W), the control images, likewise.

    Returns:
        The report. All but its key ``environment`` depends on the inputs alone.
    """
    report = result.to_dict()
    aggregate = result.aggregate()
    changed = config.changed()
    if changed:
        listed = ", ".join(
            f"{name} {_plain(value)} (default {_plain(default)})"
            for name, (default, value) in changed.items()
        )
        sentence = f"Settings differ from the defaults: {listed}."
        for part in (report, aggregate):
            part["reasons"] = [*part["reasons"], sentence]
    report["aggregate"] = aggregate
    report["counts"] = report.pop("inputs")
    # The package gate searches what leaves the site for any text found here, so this part
    # holds digests and little else.
    report["inputs"] = {
        source.role: {"digest": source.digest(), "images": len(source), "source": source.kind}
        for source in comparison.sources
    }
    origin = made_by(comparison.synthetic)
    report["inputs"]["synthetic"] |= origin
    report["comparison"] = {
        "image_size": list(comparison.size),
        "patients": {role: comparison.n_patients(role) for role in ("train", "control")},
        "randomised": comparison.randomised,
        "split": comparison.split,
        "doubts": list(comparison.doubts),
        "notes": list(comparison.notes),
        "changed_settings": sorted(changed),
    }
    report["environment"] = {
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "bussynth": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "run": 1,
    }
    images = {"synthetic": synthetic, "train": train, "control": control}
    return AuditReport(
        report=report,
        private=dict(result.private),
        # Images derived from patients are personal data, so no page that may leave shows them.
        grid_png=None if report["verdict"] != PASSED or origin["derived"] else _grid(synthetic),
        pictures=pick_pictures(
            result.private, {role: given for role, given in images.items() if given is not None}
        ),
    )


def _plain(value: Any) -> str:
    return " / ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _grid(images: npt.NDArray[np.uint8]) -> bytes | None:
    """Lay out evenly spaced images; only for a verdict that found none to be a copy."""
    rows, columns = _GRID
    n, height, width = images.shape
    if n == 0:
        return None
    chosen = np.unique(np.linspace(0, n - 1, min(n, rows * columns)).round().astype(int))
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    canvas = np.full(
        (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP), 255, dtype=np.uint8
    )
    for position, index in enumerate(chosen):
        y, x = divmod(position, columns)
        top, left = y * (height + _GAP), x * (width + _GAP)
        canvas[top : top + height, left : left + width] = images[index]
    return encode_png(canvas)


def _earlier_runs(out: Path, report: Mapping[str, Any]) -> int:
    """Count the audits of the same images that this folder has seen."""
    from bussynth.report.render import read_report

    if not (out / "report.json").is_file():
        return 0
    try:
        earlier = read_report(out / "report.json")
        same = earlier["inputs"]["synthetic"]["digest"] == report["inputs"]["synthetic"]["digest"]
        return int(earlier["environment"]["run"]) if same else 0
    except (BussynthError, KeyError, TypeError, ValueError):
        return 0


def _json(value: Mapping[str, Any]) -> str:
    return atomic.canonical_json(dict(value), indent=2) + "\n"


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
