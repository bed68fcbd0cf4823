from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bussynth.errors import DataError, UsageError

if TYPE_CHECKING:
    from conftest import Site


def problems_of(site: Site, **options: object) -> list[str]:
    with pytest.raises(DataError) as caught:
        site.check(**options)
    assert "ZZ" not in str(caught.value)
    assert "ZZ" not in "".join(caught.value.problems)
    assert not site.out.exists()
    assert not site.key.exists()
    return list(caught.value.problems)


def test_a_good_site(site: Site) -> None:
    plan = site.check()
    assert plan.to_dict() == {
        "images": 6,
        "patients": 3,
        "boxes": 6,
        "box_from_mask": False,
        "masks": True,
        "vocabulary": {"pathology": ["normal", "benign", "malignant"], "device": ["scanner-a"]},
        "notes": [],
    }
    assert plan.images[0].box == (4, 6, 14, 18)
    assert plan.images[0].size == (20, 30)
    assert "ZZ" not in repr(plan)
    assert not site.key.exists()


def test_all_problems_come_at_once(site: Site) -> None:
    site.rows[0]["mrn"] = ""
    site.rows[1]["dx"] = "ZZ?"
    site.rows[2]["bbox"] = "[18,6,10,12]"
    site.rows[3]["bbox"] = "[4,6,-3,12]"
    site.rows[4]["file"] = "ZZ_missing"
    (site.src / "mask" / "ZZDOE_5.png").unlink()
    assert problems_of(site) == [
        "row 1 of the table: column 'mrn' names no patient.",
        "row 2 of the table: column 'dx' holds a value that the map does not translate "
        "(known: 'B', 'M').",
        "row 3 of the table: the box reaches 8 pixels out of the image; check format, origin "
        "and inclusive in [box], or allow a tolerance.",
        "row 4 of the table: the box is empty or inverted.",
        "row 5 of the table: the image does not exist.",
        "row 6 of the table, mask: does not exist; if that is right, set optional = true.",
        "1 of 6 images in the folder are not in the table (by name, number 5); list them, or "
        "allow unlisted images.",
    ]


@pytest.mark.parametrize("cell", ["nan", "NaN", "N/A", "None", "<NA>", " "])
def test_placeholders_are_no_patients(site: Site, cell: str) -> None:
    site.rows[2]["mrn"] = cell
    assert "names no patient" in problems_of(site)[0]


def test_spreadsheet_numbers_are_no_patients(site: Site) -> None:
    site.rows[2]["mrn"] = "1.23457E+11"
    assert "scientific notation" in problems_of(site)[0]


def test_missing_columns(site: Site) -> None:
    site.map = site.map.replace('column = "mrn"', 'column = "mnr"')
    assert problems_of(site) == ["the table has no column 'mnr'; did you mean \"mrn\"?"]


def test_the_same_file_twice(site: Site) -> None:
    site.rows.append(dict(site.rows[1]))
    assert problems_of(site) == ["row 7 of the table: the same file as the image of row 2."]


def test_the_same_file_under_another_name(site: Site) -> None:
    for folder in ("img", "mask"):
        os.link(site.src / folder / "ZZDOE_0.png", site.src / folder / "ZZ_again.png")
    site.rows.append(dict(site.rows[0], file="ZZ_again"))
    assert problems_of(site) == ["row 7 of the table: the same file as the image of row 1."]


def test_one_mask_for_two_images(site: Site) -> None:
    site.map = site.map.replace('"mask/{file}.png"', '"mask/{mrn}.png"')
    for number in range(3):
        shutil.copy(site.src / "mask" / "ZZDOE_0.png", site.src / "mask" / f"ZZMRN00{number}.png")
    assert problems_of(site)[0] == "row 2 of the table, mask: the same file as the mask of row 1."


def test_unlisted_images(site: Site) -> None:
    (site.src / "img" / "sub").mkdir()
    shutil.copy(site.image("ZZDOE_0"), site.src / "img" / "sub" / "ZZnew.PNG")
    (site.src / "img" / "notes.txt").write_text("x")
    assert (
        "1 of 7 images in the folder are not in the table (by name, number 7)"
        in problems_of(site)[0]
    )
    (note,) = site.check(allow_unlisted=True).notes
    assert (note.code, note.count) == ("unlisted", 1)


def test_masks_beside_the_images_are_listed_by_their_rows(site: Site) -> None:
    for file in list((site.src / "mask").iterdir()):
        file.rename(site.src / "img" / f"{file.stem}_m.png")
    site.map = site.map.replace("mask/{file}.png", "img/{file}_m.png")
    assert site.check().masks


def test_mask_problems(site: Site) -> None:
    mask = site.src / "mask"
    Image.new("L", (20, 29)).save(mask / "ZZDOE_0.png")
    Image.fromarray(np.ones((30, 20), np.uint16)).save(mask / "ZZDOE_1.png")
    Image.new("L", (20, 30)).save(mask / "ZZDOE_2.png", "JPEG")
    found = problems_of(site)
    assert "mask: 20 x 29 pixels, but the image has 20 x 30" in found[0]
    assert "deeper than 8 bits" in found[1]
    assert "JPEG" in found[2]
    site.map = site.map.replace("[patient]", "threshold = 128\n[patient]")
    assert len(problems_of(site)) == 2


def test_the_image_as_its_own_mask(site: Site) -> None:
    site.map = site.map.replace('"mask/{file}.png"', '"img/{file}.png"')
    wanted = "row 1 of the table, mask: the same file as the image of row 1."
    assert problems_of(site)[0] == wanted


def test_optional_masks(site: Site) -> None:
    (site.src / "mask" / "ZZDOE_5.png").unlink()
    site.map = site.map.replace("[patient]", "optional = true\n[patient]")
    assert len(site.check().images) == 6


def test_missing_boxes_and_tolerance(site: Site) -> None:
    site.rows[0]["bbox"] = "none"
    site.rows[1]["bbox"] = "[-1,6,10,12]"
    assert len(problems_of(site)) == 2
    site.map += 'missing = ["none"]\ntolerance = 1.0\n'
    plan = site.check()
    assert plan.images[0].box is None
    assert plan.images[1].box == (0, 6, 9, 18)
    assert [(note.code, note.rows) for note in plan.notes] == [("box-clipped", (2,))]


def test_a_crop_must_not_lose_the_lesion(site: Site) -> None:
    site.rows[3]["bbox"] = "[0,0,5,5]"
    assert site.check().notes == ()
    (problem,) = problems_of(site, geometry="crop")
    assert problem.startswith("row 4 of the table: the crop leaves nothing")


def test_headers(site: Site) -> None:
    site.image("ZZDOE_0").write_bytes(b"")
    site.image("ZZDOE_1").write_bytes(b"<svg/>")
    Image.new("CMYK", (20, 30)).save(site.image("ZZDOE_2"), "TIFF")
    found = problems_of(site, max_pixels=601)
    assert [problem[18:48] for problem in found] == [
        ": the file is empty.",
        ": not a PNG, JPEG or TIFF file",
        ": colour mode CMYK is not read",
    ]
    assert len(problems_of(site, max_pixels=599)) == 6


def test_paths_stay_inside(site: Site, tmp_path: Path) -> None:
    outside = tmp_path / "ZZoutside.png"
    shutil.copy(site.image("ZZDOE_0"), outside)
    site.image("ZZDOE_0").unlink()
    site.image("ZZDOE_0").symlink_to(outside)
    site.rows[1]["file"] = "../../ZZoutside"
    site.image("ZZDOE_2").unlink()
    site.image("ZZDOE_2").symlink_to(site.image("ZZDOE_2"))
    site.image("ZZDOE_3").unlink()
    site.image("ZZDOE_3").mkdir()
    found = problems_of(site, allow_unlisted=True)
    assert "symbolic link leads out" in found[0]
    assert "must stay inside" in found[1]
    assert "cannot be reached" in found[2]
    assert "not a regular file" in found[3]


def test_links_inside_are_fine(site: Site) -> None:
    kept = site.src / "kept.png"
    site.image("ZZDOE_0").rename(kept)
    site.image("ZZDOE_0").symlink_to(kept)
    assert len(site.check().images) == 6


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads every file")
def test_unreadable_files(site: Site) -> None:
    site.image("ZZDOE_0").chmod(0)
    assert "cannot be read" in problems_of(site)[0]


def test_places(site: Site) -> None:
    site.key.parent.mkdir()
    site.key.write_text("x")
    with pytest.raises(UsageError, match="site key"):
        site.check()
    site.key.unlink()
    site.out.mkdir()
    (site.out / "holiday.jpg").write_text("x")
    with pytest.raises(UsageError, match="exists"):
        site.check()
    shutil.rmtree(site.out)
    site.write()
    shutil.rmtree(site.src)
    with pytest.raises(UsageError, match="not a folder"):
        site.check()


def test_inputs_are_not_overwritten(site: Site) -> None:
    from bussynth.ingest.check import check_ingest

    arguments = site.write()
    (site.root / "cohort.json").write_text("{}")
    arguments["site_key"] = site.root.parent / "site.key"
    with pytest.raises(UsageError) as caught:
        check_ingest(site.src, site.root, force=True, **arguments)
    assert [problem.partition(" lies")[0] for problem in caught.value.problems] == [
        "the source folder",
        "the table",
        "the map",
    ]


def test_keys_that_a_spreadsheet_may_have_split_are_named_by_row(site: Site) -> None:
    for row, key in zip(site.rows, ("007", "007", "7", "7.0", "ZZ", "zz"), strict=True):
        row["mrn"] = key
    (note,) = site.check().notes
    assert (note.code, note.rows) == ("alike-patients", (1, 2, 3, 4, 5, 6))
    assert "ZZ" not in str(note)
