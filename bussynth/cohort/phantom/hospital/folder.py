"""Writing the folder of a phantom hospital: media, a table of labels, a map, and the answer key."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from bussynth.atomic import canonical_json, check_output, new_directory
from bussynth.cohort.phantom.config import HospitalConfig
from bussynth.cohort.phantom.hospital.machines import machine_of
from bussynth.cohort.phantom.hospital.naming import uid
from bussynth.cohort.phantom.hospital.people import HOSPITAL, Person, draw_person
from bussynth.cohort.phantom.hospital.shots import Kind, Regions, Screen, Shot, paint, plan_shots
from bussynth.cohort.phantom.patient import PhantomView, simulate_patient
from bussynth.config import RunOptions
from bussynth.ingest.pool import map_ordered
from bussynth.progress import SILENT, Progress

__all__ = ["MARKER", "check_hospital", "write_phantom_hospital"]

MARKER: Final = "phantom.json"
"""File that tells an output of this module, and holds its configuration and counts."""

_SCHEMA = "bussynth-phantom-hospital/1"
_CHUNK = 4  # patients a task
_TWO_VISITS = 6  # one patient in so many comes twice

_COLUMNS = (
    *("patient_id", "study_instance_uid", "accession_number", "sop_instance_uid"),
    *("pathology", "birads", "box"),
)

_FLAGS = ("no_region", "whole_frame", "calipers", "words", "body_mark")
_COUNTED = ("patients", "examinations", "files", "frames", *map(str, Kind), *_FLAGS)

_MAP = """\
# Which column of labels.csv is which:
# bussynth ingest DICOM OUT --table labels.csv --map map.toml

[dicom]
key = "SOPInstanceUID"
column = "sop_instance_uid"

[conditions.pathology]
column = "pathology"

[conditions.device]
from = "equipment"

[conditions.birads]
column = "birads"
vocabulary = ["1", "2", "3", "4", "5"]
missing = [""]

[box]
column = "box"
format = "xyxy"
coordinates = "image"
missing = [""]
"""

_README = (
    f"{HOSPITAL.name}, {HOSPITAL.address}\r\n"
    "Images for the patient. Not for diagnosis. Nobody on this medium exists.\r\n"
)

_ABOUT = (
    "The answer key of a phantom hospital: which identifiers each invented patient has, what is "
    "drawn into the pixels and where (in pixels of the screen), and where lesions are (in pixels "
    "of their region). Boxes are [x0, y0, x1, y1], edges half-open."
)


def _visits(index: int, views: int) -> int:
    return 2 if views > 1 and index % _TWO_VISITS == 3 else 1


def check_hospital(out: Path | str, *, force: bool = False) -> None:
    """Refuse a taken place, and a computer without pydicom.

    Raises:
        UsageError: The folder exists and is not replaced.
        ModuleNotFoundError: pydicom is missing.
    """
    import pydicom  # noqa: F401

    check_output(Path(out), force=force, markers=(MARKER,))


def write_phantom_hospital(
    out: Path | str,
    config: HospitalConfig,
    *,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> dict[str, int]:
    """Write the files of a hospital whose patients do not exist.

    The folder holds ``DICOM/`` as exported media have it, ``labels.csv`` with one row an image,
    ``map.toml`` for ``bussynth ingest``, ``truth.json``, the answer key, and ``phantom.json``. It
    appears whole or not at all, and its bytes follow from the configuration alone.

    Args:
        out: The folder to make.
        config: What to write.
        options: ``workers`` processes share the work.
        progress: Where to report to, in patients.
        force: Replace an earlier hospital.

    Returns:
        How many patients, examinations, files and images of each kind there are.

    Raises:
        UsageError: The folder exists and is not replaced.
        DataError: The file system refused; nothing is left behind.
        ModuleNotFoundError: pydicom is missing.
    """
    check_hospital(out, force=force)
    workers = (options or RunOptions()).workers
    starts = range(0, config.patients, _CHUNK)
    counts = dict.fromkeys(_COUNTED, 0)
    with new_directory(out, force=force, markers=(MARKER,)) as staging, ExitStack() as stack:
        media = staging / "DICOM"
        media.mkdir()
        (media / "README.TXT").write_bytes(_README.encode())
        (staging / "map.toml").write_text(_MAP, encoding="utf-8")
        truth = _Truth.begin(stack, staging)
        task = stack.enter_context(
            progress.task("Scanning", total=config.patients, unit="patients")
        )
        work = partial(_patients, media, config)
        for records in map_ordered(work, starts, workers=min(workers, len(starts))):
            for record in records:
                truth.add(record)
                _count(counts, record)
            task.advance(len(records))
        truth.end()
        marker = {"schema": _SCHEMA, "config": config.to_dict(), "counts": counts}
        text = canonical_json(marker, indent=2) + "\n"
        (staging / MARKER).write_text(text, encoding="utf-8")
        stack.close()
    return counts


def _count(counts: dict[str, int], record: dict[str, Any]) -> None:
    counts["patients"] += 1
    counts["examinations"] += len({image["study"] for image in record["images"]})
    for image in record["images"]:
        counts["files"] += 1
        counts["frames"] += image["frames"]
        counts[image["kind"]] += 1
        for name in _FLAGS:
            counts[name] += image[name]


@dataclass(frozen=True, slots=True)
class _Truth:
    """Answer key and table of labels, written patient by patient: memory stays flat."""

    key: TextIO
    labels: TextIO

    @classmethod
    def begin(cls, stack: ExitStack, folder: Path) -> _Truth:
        key = stack.enter_context((folder / "truth.json").open("w", encoding="utf-8"))
        labels = stack.enter_context(
            (folder / "labels.csv").open("w", encoding="utf-8", newline="")
        )
        head = canonical_json({"about": _ABOUT, "hospital": _hospital(), "schema": _SCHEMA})
        key.write(head[:-1] + ',"patients":[')
        csv.writer(labels, lineterminator="\n").writerow(_COLUMNS)
        return cls(key, labels)

    def add(self, record: dict[str, Any]) -> None:
        first = record["number"] == 0
        self.key.write(("\n" if first else ",\n") + canonical_json(record))
        rows = csv.writer(self.labels, lineterminator="\n")
        for image in record["images"]:
            box = image["label_box"]
            rows.writerow(
                [
                    record["patient_id"],
                    image["study"],
                    image["accession"],
                    image["sop_instance_uid"],
                    record["pathology"],
                    record["birads"],
                    "" if box is None else json.dumps(box),
                ]
            )

    def end(self) -> None:
        self.key.write("\n]}\n")


def _hospital() -> dict[str, Any]:
    people = (*HOSPITAL.referring, *HOSPITAL.performing, *HOSPITAL.operators)
    names = [HOSPITAL.name, HOSPITAL.address, *(part for one in people for part in one.split("^"))]
    names += ["Lindenmoor", "LINDENMOOR"]
    return {"identifiers": [name for name in dict.fromkeys(names) if len(name) > 5]}


def _case(index: int, config: HospitalConfig) -> tuple[Person, list[PhantomView]]:
    views = simulate_patient(index, config)
    return draw_person(index, config.seed, visits=_visits(index, len(views))), views


def _patients(media: Path, config: HospitalConfig, start: int) -> list[dict[str, Any]]:
    """Write the files of some patients; return the truth about them."""
    stop = min(start + _CHUNK, config.patients)
    return [_patient(media, config, index) for index in range(start, stop)]


def _patient(media: Path, config: HospitalConfig, index: int) -> dict[str, Any]:
    from bussynth.cohort.phantom.hospital.scanner import dicom_bytes

    person, views = _case(index, config)
    machine = machine_of(views[0].device, index)
    images = []
    shots = plan_shots(index, config.seed, len(views), len(person.examinations))
    numbers = dict.fromkeys(range(len(person.examinations)), 0)
    for order, shot in enumerate(shots):
        numbers[shot.visit] += 1
        number = numbers[shot.visit]
        hand = np.random.SeedSequence(config.seed, spawn_key=(index, 0x4A4D, order))
        screen = paint(shot, views, person, machine, np.random.default_rng(hand))
        sop_uid = uid("image", config.seed, index, order)
        series_uid = uid("series", config.seed, index, shot.visit)
        data, stored = dicom_bytes(
            screen,
            shot,
            person,
            machine,
            sop_uid=sop_uid,
            series_uid=series_uid,
            number=number,
        )
        name = f"PAT{index + 1:04d}/ST{shot.visit + 1:02d}/{machine.media.format(number=number)}"
        path = media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        visit = person.examinations[shot.visit]
        images.append(
            {
                "file": f"DICOM/{name}",
                "sop_instance_uid": sop_uid,
                "series_instance_uid": series_uid,
                "study": visit.study_uid,
                "accession": visit.accession,
                **_truth(shot, screen),
                **stored,
            }
        )
    return {
        "number": index,
        "patient_id": person.patient_id,
        "identifiers": person.identifiers(),
        "initials": person.initials,
        "maker": machine.maker,
        "model": machine.model,
        "pathology": views[0].pathology,
        "birads": views[0].birads,
        "images": images,
    }


def _truth(shot: Shot, screen: Screen) -> dict[str, Any]:
    names = [name for name, _ in screen.drawn]
    first = screen.boxes[0][0]
    return {
        "kind": str(shot.kind),
        "doppler": shot.kind is Kind.DOPPLER,
        "dual": shot.kind is Kind.DUAL,
        "no_region": shot.regions is Regions.ABSENT,
        "whole_frame": shot.regions is Regions.WHOLE_FRAME,
        "calipers": any(name.startswith("caliper") for name in names),
        "words": any(one.where == "image" and not one.text.isdigit() for one in screen.burned),
        "body_mark": "body mark" in names,
        "tissue": [list(picture.place) for picture in screen.pictures],
        "delta_cm": [list(picture.delta_cm) for picture in screen.pictures],
        "colour_box": None if screen.colour_box is None else list(screen.colour_box),
        "burned": [
            {"text": one.text, "box": list(one.box), "where": one.where} for one in screen.burned
        ],
        "drawn": [{"what": name, "box": list(box)} for name, box in screen.drawn],
        # The first frame's lesion, left of two: what a person would put into a table.
        "label_box": None if first is None else [round(edge, 1) for edge in first],
        "lesion_boxes": [
            {
                "frame": frame,
                "region": region,
                "box": [round(edge - picture.place[side % 2], 2) for side, edge in enumerate(box)],
            }
            for frame, boxes in enumerate(screen.boxes)
            for region, (box, picture) in enumerate(zip(boxes, screen.pictures, strict=True))
            if box is not None
        ],
    }
