"""Folders of finished images and their labels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.images import decode_image
from bussynth.ingest.geometry import Placement
from bussynth.wrapping.check import check_wrap
from bussynth.wrapping.cohort import WrapResult, wrap_source
from bussynth.wrapping.config import WrapConfig

CANARY = "ZZDOE_JANE"


def wrap(gallery: Any, labels: Path | None = None, **options: Any) -> WrapResult:
    config = WrapConfig(image_size=16, **options)
    return wrap_source(gallery.folder, gallery.out, config, labels=labels, force=True)


def refused(gallery: Any, labels: Path | None = None, **options: Any) -> str:
    """The words of the refusal; nothing is written and no file name is said."""
    with pytest.raises((DataError, UsageError)) as caught:
        wrap(gallery, labels, **options)
    assert not gallery.out.exists()
    words = "\n".join([caught.value.message, *caught.value.problems])
    assert CANARY not in words
    return words


def codes(result: WrapResult) -> set[str]:
    return {note.code for note in result.notes}


def test_images_come_in_the_order_of_names_placed_as_ingest_does(gallery: Any) -> None:
    result = wrap(gallery, gallery.labels())
    rows = list(result.cohort)
    assert [row.id for row in rows] == [f"synthetic-{i:08d}" for i in range(5)]
    assert [row.conditions["pathology"] for row in rows] == [
        "normal", "benign", "benign", "malignant", None,
    ]  # fmt: skip
    assert [row.conditions["device"] for row in rows] == ["x", "y", "x", "y", "x"]
    placement = Placement.fit((20, 30), 16)
    for i, row in enumerate(rows):
        data = (gallery.folder / f"{CANARY}_{i}.png").read_bytes()
        assert (row.image == placement.image(decode_image(data, what="it"))).all()
    assert rows[1].lesion_box == pytest.approx(placement.box((4, 6, 14, 18)), abs=1e-5)
    assert rows[0].lesion_box is None
    assert result.cohort.kind == "synthetic"
    assert result.cohort.vocabulary == {
        "pathology": ("normal", "benign", "malignant"),
        "device": ("x", "y"),
    }
    assert codes(result) == {"synthetic-on-trust", "no-training-cohort"}


def test_file_names_never_reach_the_cohort(gallery: Any) -> None:
    wrap(gallery, gallery.labels())
    for path in gallery.out.rglob("*"):
        assert CANARY not in path.name
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes()


def test_a_metadata_file_in_the_folder_is_found(gallery: Any) -> None:
    expected = wrap(gallery, gallery.labels()).cohort.digest
    table = gallery.labels("metadata.csv", "file_name")
    assert wrap(gallery).cohort.digest == expected
    table.unlink()
    lines = gallery.labels("metadata.jsonl", "file_name")
    assert wrap(gallery).cohort.digest == expected
    assert wrap(gallery, lines).cohort.digest == expected
    gallery.labels("metadata.csv", "file_name")
    gallery.out.rename(gallery.root / "aside")
    assert "give one of them as --labels" in refused(gallery)


def test_numbers_in_json_lines_are_words(gallery: Any) -> None:
    for row in gallery.rows:
        row["birads"] = 4
    gallery.labels("metadata.jsonl")
    assert wrap(gallery).cohort.vocabulary["birads"] == ("4",)
    gallery.rows[1] |= {"birads": [4], "device": True}
    gallery.labels("metadata.jsonl")
    gallery.out.rename(gallery.root / "aside")
    words = refused(gallery)
    assert "row 2 of the table: 'birads' is neither text nor a number" in words
    assert "row 2 of the table: 'device'" in words


def test_an_unlabelled_folder_becomes_a_cohort_of_unknown_conditions(gallery: Any) -> None:
    gallery.add("deeper/a.tiff")
    result = wrap(gallery)
    assert len(result.cohort) == 6
    assert "unlabelled" in codes(result)
    assert {row.conditions["pathology"] for row in result.cohort} == {None}


def test_conditions_of_all_images_may_be_declared(gallery: Any) -> None:
    result = wrap(gallery, conditions={"pathology": "benign", "device": "z"})
    assert {tuple(sorted(row.conditions.items())) for row in result.cohort} == {
        (("device", "z"), ("pathology", "benign"))
    }
    assert "declared-conditions" in codes(result)
    gallery.out.rename(gallery.root / "aside")
    table = gallery.labels()
    assert "device: the labels hold it" in refused(gallery, table, conditions={"device": "z"})
    words = refused(gallery, conditions={"pathology": "bening"})
    assert 'did you mean "benign"' in words


def test_columns_can_be_chosen(gallery: Any) -> None:
    for number, row in enumerate(gallery.rows):
        row["patient"] = f"{CANARY}{number}"
    table = gallery.labels()
    assert "condition 'patient': the name is reserved" in refused(gallery, table)
    result = wrap(gallery, table, columns=("device",))
    assert set(result.cohort.vocabulary) == {"device", "pathology"}
    assert {row.conditions["pathology"] for row in result.cohort} == {None}
    gallery.out.rename(gallery.root / "aside")
    assert 'did you mean "device"' in refused(gallery, table, columns=("devise",))
    assert "another meaning" in refused(gallery, table, columns=("x0",))
    table.unlink()
    assert "there are no labels" in refused(gallery, columns=("device",))


def test_a_column_of_free_text_is_no_condition(gallery: Any) -> None:
    for number in range(70):
        gallery.add(f"more_{number}.png", caption=f"{CANARY} {number}")
    words = refused(gallery, gallery.labels())
    assert "column 'caption' has 70 different values" in words


def test_all_problems_of_rows_are_listed_by_number(gallery: Any, tmp_path: Path) -> None:
    outside = tmp_path / f"{CANARY}_outside.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(outside)
    (gallery.folder / f"{CANARY}_link.png").symlink_to(outside)
    (gallery.folder / f"{CANARY}_text.png").write_text("no image")
    gallery.add(f"{CANARY}_normal.png", pathology="normal", x0=1, y0=1, x1=5, y1=5)
    gallery.add(f"{CANARY}_wide.png", pathology="benign", x0=1, y0=1, x1=21, y1=5)
    gallery.add(f"{CANARY}_words.png", pathology="benign", x0="a", y0=1, x1=5, y1=5)
    names = ("absent.png", "0.png", "../outside.png", "link.png", "text.png", "")
    gallery.rows += [{"file": f"{CANARY}_{name}" if name else ""} for name in names]
    gallery.rows[-4]["file"] = f"../{CANARY}_outside.png"
    gallery.add(f"{CANARY}_unlisted.png")
    gallery.rows.pop()
    words = refused(gallery, gallery.labels())
    for expected in (
        "10 problems",
        "row 6 of the table: a normal image has no lesion box",
        "row 7 of the table: the box is empty, inverted or outside the 20 x 30 image",
        "row 8 of the table: the box is not four finite numbers",
        "row 9 of the table: the image does not exist",
        "row 10 of the table: the same file as row 3 of the table",
        "row 11 of the table: the file name",
        "row 12 of the table: a symbolic link leads out",
        "row 13 of the table: not a PNG, JPEG or TIFF",
        "row 14 of the table: column 'file' is empty",
        "images in the folder are not in the table",
    ):
        assert expected in words


@pytest.mark.parametrize("corner", ["nan", "a", ""])
def test_a_damaged_box_is_one_problem(gallery: Any, corner: str) -> None:
    """The image is in the table, whatever its box."""
    gallery.add(f"{CANARY}_box.png", pathology="benign", x0=corner, y0=1, x1=5, y1=5)
    words = refused(gallery, gallery.labels())
    assert "1 problem;" in words
    assert "row 6 of the table: the box" in words
    assert "not in the table" not in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,device\na,b\n", "found neither"),
        ("file,file_name\na,b\n", "found both"),
        ("file,x0,y0\na,1,2\n", "a box needs x0, y0, x1, y1"),
        ("file,Device\na,b\n", "use lower-case letters"),
        ("file,pathology\na,cyst\n", "row 1 of the table: pathology is none of"),
        ("file,device\na,\n", "needs distinct values, at least one"),
        ("", "empty"),
        ("file,device\na\n", "row 1 of the table: 1 cells"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(gallery: Any, text: str, words: str) -> None:
    table = gallery.root / "labels.csv"
    table.write_text(text)
    assert words in refused(gallery, table)


def test_other_damage_of_labels(gallery: Any) -> None:
    table = gallery.root / "labels.csv"
    assert "cannot be read" in refused(gallery, table)
    table.write_bytes("file,device\na,é\n".encode("latin-1"))
    assert "not UTF-8" in refused(gallery, table)
    table = table.rename(gallery.root / "labels.jsonl")
    table.write_text("[1]\n{\n")
    words = refused(gallery, table)
    assert "row 1 of the table: not a JSON object" in words
    assert "row 2 of the table: not valid JSON" in words
    table.write_text("\n")
    assert "The labels are empty" in refused(gallery, table)


def test_damaged_pixels_are_all_found_and_nothing_is_written(gallery: Any) -> None:
    for number in (1, 4):
        path = gallery.folder / f"{CANARY}_{number}.png"
        path.write_bytes(path.read_bytes()[:-40])
    words = refused(gallery)
    assert "2 of 5 images cannot be used" in words
    assert "image 2 of the folder (by name)" in words
    assert "image 5 of the folder (by name)" in words
    assert [path.name for path in gallery.root.iterdir()] == ["images"]


def test_an_empty_folder_and_a_twin_are_refused(gallery: Any) -> None:
    os.link(gallery.folder / f"{CANARY}_0.png", gallery.folder / f"{CANARY}_9.png")
    assert "image 6 of the folder (by name): the same file as image 1" in refused(gallery)
    for path in gallery.folder.iterdir():
        path.unlink()
    assert "there is no PNG, JPEG or TIFF file" in refused(gallery)


def test_small_images_are_enlarged_with_a_note(gallery: Any) -> None:
    gallery.add("small.png", (8, 8))
    (note,) = [note for note in wrap(gallery).notes if note.code == "enlarged"]
    assert note.count == 1


def test_the_digest_follows_content_not_names(gallery: Any) -> None:
    first = wrap(gallery, gallery.labels()).cohort.provenance
    for path in gallery.folder.iterdir():
        path.rename(path.with_name(f"other_{path.name}"))
    assert first["source"] == "images"
    assert first["generator"].startswith("sha256:")
    unlabelled = wrap(gallery).cohort.provenance["generator"]
    assert unlabelled != first["generator"]
    for path in gallery.folder.iterdir():
        path.rename(path.with_name(f"again_{path.name}"))
    assert wrap(gallery).cohort.provenance["generator"] == unlabelled
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(gallery.folder / "a.png")
    assert wrap(gallery).cohort.provenance["generator"] != unlabelled


def test_workers_change_nothing(gallery: Any) -> None:
    for number in range(40):
        gallery.add(f"more_{number:02d}.png")
    expected = wrap(gallery).cohort.digest
    config = WrapConfig(image_size=16)
    options = RunOptions(workers=2)
    result = wrap_source(gallery.folder, gallery.out, config, options=options, force=True)
    assert result.cohort.digest == expected


def test_options_that_do_not_fit_a_folder_are_refused(gallery: Any) -> None:
    words = refused(gallery, n=3, steps=4)
    assert "-n: a folder of images is taken whole" in words
    assert "--steps" in words
    wrap(gallery)
    inside = gallery.folder.rename(gallery.out / "images")
    with pytest.raises(UsageError) as caught:
        check_wrap(inside, gallery.out, labels=gallery.out / "labels.csv", force=True)
    assert "the source lies inside the output folder" in str(caught.value)
    assert "the table of labels lies inside the output folder" in str(caught.value)


def test_the_training_cohort_is_named_by_digest(gallery: Any) -> None:
    wrap(gallery)
    real = Cohort.create(
        gallery.root / "real",
        [
            type(row)(id=row.id, png=row.png, patient="p", conditions=row.conditions)
            for row in Cohort.open(gallery.out)
        ],
        kind="real",
        image_size=16,
        vocabulary={"pathology": ["benign"]},
    )
    result = wrap_source(
        gallery.folder,
        gallery.root / "second",
        WrapConfig(image_size=16),
        trained_on=real.path,
    )
    assert result.cohort.provenance["trained_on"] == real.digest
    assert {"training-on-trust", "training-cohort-not-split"} <= codes(result)
    assert Cohort.open(gallery.out).provenance["trained_on"] is None
    with pytest.raises(UsageError, match="a synthetic one does not replace"):
        wrap_source(gallery.folder, real.path, force=True)
    with pytest.raises(DataError, match="holds no cohort"):
        wrap_source(gallery.folder, gallery.root / "third", trained_on=gallery.folder)


def test_a_synthetic_cohort_is_not_what_patients_were_learned_from(gallery: Any) -> None:
    synthetic = wrap(gallery).cohort
    with pytest.raises(UsageError, match="synthetic cohort; name the real cohort"):
        wrap_source(gallery.folder, gallery.root / "second", trained_on=synthetic.path)
    assert not (gallery.root / "second").exists()


def test_results_are_plain_values(gallery: Any) -> None:
    result = wrap(gallery, gallery.labels())
    assert json.loads(json.dumps(result.to_dict()))["images"] == 5
    plan = check_wrap(gallery.folder, gallery.root / "new", labels=gallery.labels())
    assert json.loads(json.dumps(plan.to_dict()))["kind"] == "images"
    assert not (gallery.root / "new").exists()
