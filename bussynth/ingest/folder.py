"""``bussynth ingest``: a folder of images with a table becomes a cohort of kind ``"real"``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL
from numpy.typing import NDArray

from bussynth.cleaning.duplicates import SIDE, near_duplicates, signature
from bussynth.cleaning.flags import Flag
from bussynth.cohort import Cohort, Row
from bussynth.config import RunOptions
from bussynth.errors import DataError
from bussynth.images import decode_image
from bussynth.ingest.check import IngestPlan, check_ingest
from bussynth.ingest.config import IngestConfig
from bussynth.ingest.keys import OpenedKey, open_site_key
from bussynth.ingest.notes import Note
from bussynth.ingest.pool import map_ordered
from bussynth.ingest.prepare import Prepared, prepare_chunk
from bussynth.ingest.source import SourceImage
from bussynth.progress import SILENT, Progress
from privacy.pseudonym import SiteKey, pseudonym

__all__ = ["IngestResult", "ingest_folder", "write_cohort"]

_CHUNK = 32
_PIXELS: Final = Note(
    "pixels-as-they-are",
    "text burned into the images was neither searched nor removed; look at them before sharing",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """What an ingest wrote, and what it left out.

    Attributes:
        cohort: The cohort.
        images: Images written.
        patients: Patients written.
        skipped: Numbers of the rows left out because their pixels are damaged.
        notes: Findings that did not stop the ingest.
        site_key: File of the site key.
        site_key_created: Whether the key was drawn just now; the user must then back it up.
    """

    cohort: Cohort
    images: int
    patients: int
    skipped: tuple[int, ...]
    notes: tuple[Note, ...]
    site_key: Path
    site_key_created: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without any value of a patient."""
        return {
            "cohort": str(self.cohort.path),
            "digest": self.cohort.digest,
            "images": self.images,
            "patients": self.patients,
            "skipped": list(self.skipped),
            "notes": [note.to_dict() for note in self.notes],
            "site_key": str(self.site_key),
            "site_key_created": self.site_key_created,
        }


def ingest_folder(
    src: Path | str,
    out: Path | str,
    *,
    table: Path | str,
    map_path: Path | str,
    site_key: Path | str | None = None,
    config: IngestConfig | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> IngestResult:
    """Turn a folder of PNG, JPEG or TIFF images with a CSV table into a cohort.

    Patient keys and file names become keyed pseudonyms; rows are ordered by them, so that the
    order of the table is not kept. Pixels are taken as they are: text burned into them stays. The
    cohort appears whole or not at all, and its bytes do not depend on the number of workers.

    Args:
        src: The folder of images.
        out: Where the cohort will be.
        table: The CSV file.
        map_path: The TOML map, see :mod:`bussynth.ingest.mapping`.
        site_key: The site key file, created on first use; None for the default place.
        config: Options.
        options: Only ``workers`` is used.
        progress: Where to report.
        force: Replace an earlier cohort.

    Returns:
        The result.

    Raises:
        UsageError: If the map, the output place or the key cannot be used.
        DataError: If table, files or pixels cannot be used; all problems are listed by row
            number, and nothing is written.
    """
    config, options = config or IngestConfig(), options or RunOptions()
    out = Path(out)
    key_path = None if site_key is None else Path(site_key)
    plan = check_ingest(
        src,
        out,
        table=table,
        map_path=map_path,
        site_key=key_path,
        config=config,
        progress=progress,
        force=force,
    )
    opened = open_site_key(key_path, out)
    return write_cohort(
        plan, out, key=opened, config=config, options=options, progress=progress, force=force
    )


def write_cohort(
    plan: IngestPlan,
    out: Path,
    *,
    key: OpenedKey,
    config: IngestConfig,
    options: RunOptions,
    progress: Progress = SILENT,
    force: bool = False,
) -> IngestResult:
    """Decode the images of a plan and write the cohort.

    Args:
        plan: Records of any origin, checked.
        out: Where the cohort will be.
        key: The site key.
        config: Options; ``skip_bad`` decides about damaged pixels.
        options: Only ``workers`` is used.
        progress: Where to report.
        force: Replace an earlier cohort.

    Returns:
        The result.

    Raises:
        DataError: If pixels cannot be used and may not be skipped; all are listed.
    """
    named = _named(plan.images, key.key)
    findings = _Findings()
    cohort = Cohort.create(
        out,
        _rows(named, plan, config, options.workers, findings, progress),
        kind="real",
        image_size=plan.recipe.size,
        vocabulary=plan.vocabulary,
        masks=plan.masks,
        provenance=_provenance(plan, config, key.key, findings),
        force=force,
    )
    skipped = tuple(sorted(findings.problems))
    dropped = {*findings.problems, *findings.left_out}
    kept = [patient for patient, _, image in named if image.number not in dropped]
    return IngestResult(
        cohort=cohort,
        images=len(kept),
        patients=len(set(kept)),
        skipped=skipped,
        notes=(_PIXELS, *plan.notes, *findings.notes()),
        site_key=key.path,
        site_key_created=key.created,
    )


class _Findings:
    """What only the pixels tell, gathered while the rows stream past."""

    _TEXTS: Final = {
        "enlarged": "smaller than the stored size, enlarged",
        "empty-mask": "mask is empty",
        "box-mask": "box of the table differs from the mask by more than 2 pixels; box kept",
        "same-pixels": "same pixels as an image of another patient, so no split can part them",
        "skipped": "cannot be used, left out",
        "left-out": "carries a flag that is to be left out",
    }

    def __init__(self) -> None:
        self.problems: dict[int, str] = {}
        self.left_out: dict[int, str] = {}
        # Filled by finish(). Cohort.create writes its manifest after the last row was taken, so
        # the provenance can hold this dict before its content is known.
        self.summary: dict[str, Any] = {}
        self._rows: defaultdict[str, list[int]] = defaultdict(list)
        self._owners: defaultdict[bytes, list[tuple[int, str]]] = defaultdict(list)

    def add(self, number: int, patient: str, prepared: Prepared) -> None:
        for flag in prepared.flags:
            self._rows[flag].append(number)
        self._owners[prepared.source_digest].append((number, patient))

    def leave_out(self, number: int, flag: str) -> None:
        self.left_out[number] = flag
        self._rows["left-out"].append(number)

    def finish(self, plan_notes: Sequence[Note]) -> None:
        for owners in self._owners.values():
            if len({patient for _, patient in owners}) > 1:
                self._rows["same-pixels"] += [number for number, _ in owners]
        self._rows["skipped"] += self.problems
        self.summary["skipped_rows"] = sorted(self.problems)
        if self.left_out:
            self.summary["left_out"] = dict(sorted(Counter(self.left_out.values()).items()))
        self.summary["notes"] = {note.code: note.count for note in [*plan_notes, *self.notes()]}

    def notes(self) -> list[Note]:
        return [
            Note(code, text, len(rows), tuple(rows))
            for code, text in self._TEXTS.items()
            if (rows := sorted(self._rows[code]))
        ]


class _Doubles:
    """Finds images that are nearly an earlier one of the same patient; rows come by patient."""

    def __init__(self, leave_out: Sequence[str], size: int) -> None:
        self._on = Flag.NEAR_DUPLICATE in leave_out and size >= SIDE
        self._patient = ""
        self._seen: list[NDArray[np.float32]] = []

    def flag(self, patient: str, png: bytes) -> str | None:
        if not self._on:
            return None
        if patient != self._patient:
            self._patient, self._seen = patient, []
        self._seen.append(signature(decode_image(png, what="a stored image")))
        groups = near_duplicates(self._seen, [patient] * len(self._seen))
        if any(len(self._seen) - 1 in group for group in groups):
            # The first of a group stands for it, so that a slow loop does not creep on.
            self._seen.pop()
            return str(Flag.NEAR_DUPLICATE)
        return None


def _named(images: Sequence[SourceImage], key: SiteKey) -> list[tuple[str, str, SourceImage]]:
    """Return (patient pseudonym, image id, image), ordered by the first two."""
    named = [
        (pseudonym(key, image.patient), pseudonym(key, image.name, domain="image"), image)
        for image in images
    ]
    repeated = [id for id, count in Counter(id for _, id, _ in named).items() if count > 1]
    if repeated:
        rows = [str(image.number) for _, id, image in named if id in repeated]
        raise DataError(f"Images of the same name: {', '.join(rows[:20])}.")
    return sorted(named, key=lambda item: item[:2])


def _rows(
    named: Sequence[tuple[str, str, SourceImage]],
    plan: IngestPlan,
    config: IngestConfig,
    workers: int,
    findings: _Findings,
    progress: Progress,
) -> Iterator[Row]:
    """Yield the rows of the cohort; raise at the end if some cannot be made."""
    images = [image for _, _, image in named]
    chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
    work = partial(prepare_chunk, recipe=plan.recipe)
    position = 0
    doubles = _Doubles(config.leave_out, plan.recipe.size)
    with progress.task("Decoding images", total=len(images)) as task:
        for chunk in map_ordered(work, chunks, workers=workers):
            for prepared in chunk:
                patient, id, image = named[position]
                position += 1
                if prepared.problem is not None:
                    findings.problems[image.number] = prepared.problem
                    continue
                flag = prepared.left_out or doubles.flag(patient, prepared.png)
                if flag is not None:
                    findings.leave_out(image.number, flag)
                    continue
                findings.add(image.number, patient, prepared)
                # After a problem that forbids the cohort, go on only to find the others.
                if config.skip_bad or not findings.problems:
                    yield Row(
                        id=id,
                        png=prepared.png,
                        patient=patient,
                        conditions=image.conditions,
                        lesion_box=prepared.box,
                        mask_png=prepared.mask_png,
                    )
            task.advance(len(chunk))
    problems = [findings.problems[number] for number in sorted(findings.problems)]
    if problems and not config.skip_bad:
        raise DataError(
            f"{len(problems)} of {len(images)} images cannot be used, so nothing was written; "
            "repair them, or allow to skip bad images.",
            problems,
        )
    if len(problems) + len(findings.left_out) == len(images):
        raise DataError("None of the images can be used, so nothing was written.", problems)
    findings.finish(plan.notes)


def _provenance(
    plan: IngestPlan, config: IngestConfig, key: SiteKey, findings: _Findings
) -> Mapping[str, Any]:
    """Return how the cohort came to be: declarations and counts, no value of a patient."""
    return {
        "verb": "ingest",
        "config": config.to_dict(),
        "geometry": plan.recipe.geometry,
        "resampling": "hamming to shrink, bilinear to enlarge; masks from one half",
        "box_from_mask": plan.recipe.box_from_mask,
        "map_sha256": plan.map_sha256,
        "site_key_fingerprint": key.fingerprint,
        "versions": {"numpy": np.__version__, "pillow": PIL.__version__},
        "result": findings.summary,
    }
