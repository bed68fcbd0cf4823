from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.ingest.config import IngestConfig
from bussynth.ingest.folder import ingest_folder, write_cohort
from bussynth.ingest.geometry import Placement
from bussynth.ingest.keys import open_site_key
from bussynth.progress import Progress, Task
from privacy.pseudonym import SiteKey, pseudonym

if TYPE_CHECKING:
    from conftest import Site


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 10] ^= 0xFF
    path.write_bytes(bytes(data))


def test_every_row_is_what_the_table_says(site: Site) -> None:
    site.rows[2]["dx"] = ""
    site.map = site.map.replace(
        '[conditions.device]\nconstant = "scanner-a"',
        'missing = [""]\n[conditions.device]\nconstant = "scanner-a"',
    )
    result = site.ingest(image_size=16)
    assert (result.images, result.patients, result.skipped) == (6, 3, ())
    cohort = Cohort.open(site.out)
    cohort.verify()
    assert cohort.kind == "real"
    assert cohort.image_size == (16, 16)
    assert cohort.has_masks
    key = SiteKey.load(site.key)
    rows = {row.id: row for row in cohort}
    for number, cells in enumerate(site.rows):
        row = rows[pseudonym(key, f"img/{cells['file']}.png", domain="image")]
        assert row.patient == pseudonym(key, cells["mrn"])
        wanted = None if number == 2 else {"B": "benign", "M": "malignant"}[cells["dx"]]
        assert dict(row.conditions) == {"pathology": wanted, "device": "scanner-a"}
        placement = Placement.fit((20, 30), 16)
        with Image.open(site.image(cells["file"])) as image:
            assert np.array_equal(row.image, placement.image(np.asarray(image)))
        assert row.lesion_box == pytest.approx(placement.box((4, 6, 14, 18)))
        assert row.mask is not None
        assert row.mask.sum() == pytest.approx(120 * (16 / 30) ** 2, rel=0.25)
    # One patient's rows stand together, and the order is that of the pseudonyms.
    order = [(row.patient or "", row.id) for row in cohort]
    assert order == sorted(order)


def test_nothing_of_the_patient_is_written_or_told(site: Site) -> None:
    result = site.ingest()
    everything = b"".join(files_of(site.out).values())
    told = json.dumps(result.to_dict()) + str(result.notes)
    for secret in ("ZZDOE", "ZZMRN"):
        assert secret.encode() not in everything
        assert secret not in told.replace(str(site.root), "")
    assert SiteKey.load(site.key)._secret.hex().encode() not in everything
    assert "key_created': True" in str(result.to_dict())


def test_bytes_do_not_depend_on_workers_or_row_order(site: Site) -> None:
    for number in range(6, 40):
        site.add(f"ZZDOE_{number}", f"ZZMRN{number // 3}")
    first = site.ingest().cohort
    before = files_of(site.out)
    site.rows.reverse()
    second = site.ingest(workers=2, force=True).cohort
    assert second.digest == first.digest
    assert files_of(site.out) == before


def test_pseudonyms_follow_the_key(site: Site) -> None:
    first = {row.patient for row in site.ingest().cohort}
    again = {row.patient for row in site.ingest(force=True).cohort}
    site.key.unlink()
    other = {row.patient for row in site.ingest(force=True).cohort}
    assert first == again
    assert not first & other


def test_all_damaged_images_are_listed_and_nothing_is_written(site: Site) -> None:
    for number in (4, 1):
        corrupt(site.image(f"ZZDOE_{number}"))
    corrupt(site.src / "mask" / "ZZDOE_2.png")
    with pytest.raises(DataError, match="3 of 6 images") as caught:
        site.ingest()
    assert [problem[:26] for problem in caught.value.problems] == [
        "row 2 of the table: the im",
        "row 3 of the table, mask: ",
        "row 5 of the table: the im",
    ]
    assert "ZZ" not in str(caught.value)
    assert not site.out.exists()
    assert [path.name for path in site.root.iterdir() if "partial" in path.name] == []


def test_skip_bad_counts_and_lists(site: Site) -> None:
    for number in (0, 1, 4):
        corrupt(site.image(f"ZZDOE_{number}"))
    result = site.ingest(skip_bad=True)
    assert (result.images, result.patients, result.skipped) == (3, 2, (1, 2, 5))
    assert len(result.cohort) == 3
    assert result.cohort.provenance["result"] == {
        "notes": {"enlarged": 3, "skipped": 3},
        "skipped_rows": [1, 2, 5],
    }
    (note,) = [note for note in result.notes if note.code == "skipped"]
    assert str(note) == "3 images: cannot be used, left out (rows 1, 2, 5)"


def test_skipping_everything_is_refused(site: Site) -> None:
    for number in range(6):
        corrupt(site.image(f"ZZDOE_{number}"))
    with pytest.raises(DataError, match="None of the images"):
        site.ingest(skip_bad=True)
    assert not site.out.exists()


def test_boxes_from_masks_and_empty_masks(site: Site) -> None:
    Image.new("L", (20, 30)).save(site.src / "mask" / "ZZDOE_0.png")
    site.map = site.map.partition("[box]")[0] + '[box]\nfrom = "mask"\n'
    result = site.ingest(image_size=30)
    boxes = [row.lesion_box for row in result.cohort]
    assert boxes.count(None) == 1
    assert boxes.count((9, 6, 19, 18)) == 5
    assert [(note.code, note.rows) for note in result.notes[1:]] == [("empty-mask", (1,))]


def test_box_that_disagrees_with_its_mask(site: Site) -> None:
    site.rows[3]["bbox"] = "[7,6,10,12]"
    result = site.ingest()
    assert ("box-mask", (4,)) in [(note.code, note.rows) for note in result.notes]


def test_mask_lost_by_the_crop(site: Site) -> None:
    mask = np.zeros((30, 20), np.uint8)
    mask[:3] = 1
    Image.fromarray(mask).save(site.src / "mask" / "ZZDOE_0.png")
    site.map = site.map.partition("[box]")[0] + '[box]\nfrom = "mask"\n'
    with pytest.raises(DataError) as caught:
        site.ingest(geometry="crop")
    assert caught.value.problems[0].startswith("row 1 of the table: the crop leaves nothing")


def test_same_pixels_of_two_patients(site: Site) -> None:
    with Image.open(site.image("ZZDOE_0")) as image:
        for number in (1, 4):
            image.save(site.image(f"ZZDOE_{number}"), compress_level=1)
    found = {note.code: note.rows for note in site.ingest().notes}
    assert found["same-pixels"] == (1, 2, 5)


def test_enlarged_images_are_counted(site: Site) -> None:
    notes = {note.code: note.count for note in site.ingest(image_size=64).notes}
    assert notes == {"pixels-as-they-are": 0, "enlarged": 6}


def test_existing_cohorts_are_kept(site: Site) -> None:
    before = site.ingest().cohort.digest
    with pytest.raises(UsageError, match="exists"):
        site.ingest()
    corrupt(site.image("ZZDOE_0"))
    with pytest.raises(DataError):
        site.ingest(force=True)
    assert Cohort.open(site.out).digest == before


def test_a_file_that_changes_after_the_check(site: Site) -> None:
    plan = site.check()
    Image.new("L", (19, 30)).save(site.image("ZZDOE_0"))
    site.image("ZZDOE_1").unlink()
    with pytest.raises(DataError) as caught:
        write_cohort(
            plan,
            site.out,
            key=open_site_key(site.key, site.out),
            config=IngestConfig(),
            options=RunOptions(),
        )
    assert "another size" in caught.value.problems[0]
    assert "cannot be read" in caught.value.problems[1]
    assert "ZZ" not in str(caught.value)


def test_one_image_and_no_masks_or_boxes(site: Site) -> None:
    del site.rows[1:]
    site.map = site.map.partition("[box]")[0].replace('[mask]\npath = "mask/{file}.png"\n', "")
    result = site.ingest(allow_unlisted=True)
    (row,) = result.cohort
    assert (row.mask, row.lesion_box) == (None, None)
    assert result.cohort.provenance["result"]["notes"] == {"unlisted": 5, "enlarged": 1}


def test_progress_reaches_its_total(site: Site) -> None:
    left: list[int] = []

    class Counting(Progress):
        @contextmanager
        def task(
            self, description: str, total: int | None = None, unit: str = "images", done: int = 0
        ) -> Iterator[Task]:
            left.append(total or 0)
            yield Counted()

    class Counted(Task):
        def advance(self, n: int = 1, **info: str | float) -> None:
            left[-1] -= n

    ingest_folder(site.src, site.out, progress=Counting(), **site.write())
    assert left == [0, 0]


def test_images_with_a_flag_are_left_out_and_counted(site: Site) -> None:
    Image.fromarray(np.zeros((30, 20), np.uint8)).save(site.image("ZZDOE_2"))
    result = site.ingest(leave_out=("invalid",), text_engine="none")
    assert result.images == len(result.cohort) == 5
    assert result.cohort.provenance["result"]["left_out"] == {"invalid": 1}
    (note,) = [note for note in result.notes if note.code == "left-out"]
    assert note.rows == (3,)


def test_of_near_duplicates_one_a_patient_is_kept(site: Site) -> None:
    # The second of a patient's images becomes the first; so does one of another patient.
    first = Image.open(site.image("ZZDOE_0"))
    for name in ("ZZDOE_1", "ZZDOE_2"):
        first.save(site.image(name))
    result = site.ingest(leave_out=("near-duplicate",), text_engine="none")
    assert result.images == 5
    assert result.patients == 3
    assert result.cohort.provenance["result"]["left_out"] == {"near-duplicate": 1}


@pytest.mark.parametrize("flag", ["doppler", "axilla"])
def test_a_flag_that_is_never_found_in_images_of_a_folder(site: Site, flag: str) -> None:
    with pytest.raises(UsageError, match="no flag"):
        site.ingest(leave_out=(flag,))


def test_a_flag_that_does_not_exist(site: Site) -> None:
    with pytest.raises(UsageError, match="calipers"):
        site.ingest(leave_out=("caliper",))
