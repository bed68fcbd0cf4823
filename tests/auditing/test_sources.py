from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.auditing.sources import made_by, open_source
from bussynth.cohort import Cohort, Row
from bussynth.errors import DataError
from bussynth.images import encode_png
from bussynth.progress import Task

Worlds = dict[str, Callable[..., Any]]


def test_folder_is_read_in_the_order_of_names(worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](4, 1)
    folder = worlds["folder"](tmp_path / "a", images[:3], "x")
    (folder / "sub").mkdir()
    (folder / "sub" / "y.PNG").write_bytes(encode_png(images[3]))
    (folder / "notes.txt").write_text("no image")
    (folder / "link.png").symlink_to(folder / "x000.png")
    source = open_source(folder, "train")
    assert (len(source), source.kind, dict(source.sizes)) == (4, "folder", {(16, 16): 4})
    assert source.notes == ("train: 2 files of other types were not read",)
    loaded = source.load((16, 16), Task())
    # "sub/y.PNG" sorts before "x000.png".
    assert np.array_equal(loaded, images[[3, 0, 1, 2]])


def test_folder_digest_is_of_content_not_of_names(worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](3, 1)
    first = open_source(worlds["folder"](tmp_path / "a", images, "x"), "train").digest()
    renamed = open_source(worlds["folder"](tmp_path / "b", images[::-1], "y"), "train").digest()
    changed = images.copy()
    changed[0, 0, 0] ^= 1
    other = open_source(worlds["folder"](tmp_path / "c", changed, "x"), "train").digest()
    assert first == renamed != other
    assert first.startswith("sha256:")


def test_other_sizes_are_letterboxed(worlds: Worlds, tmp_path: Path) -> None:
    folder = worlds["folder"](tmp_path / "a", worlds["images"](1, 1))
    (folder / "z.png").write_bytes(encode_png(np.full((8, 32), 200, np.uint8)))
    loaded = open_source(folder, "train").load((16, 16), Task())
    assert loaded.shape == (2, 16, 16)
    assert (loaded[1, 6:10] == 200).all()
    assert not loaded[1, :6].any()


def test_damaged_images_are_all_listed_by_number(worlds: Worlds, tmp_path: Path) -> None:
    folder = worlds["folder"](tmp_path / "a", worlds["images"](2, 1))
    (folder / "DOE_JANE_zz.png").write_bytes(b"")
    (folder / "DOE_JANE_zzz.jpg").write_bytes(b"text")
    with pytest.raises(DataError) as caught:
        open_source(folder, "train")
    assert len(caught.value.problems) == 2
    assert "image 3 of 4 of train" in str(caught.value)
    assert "DOE" not in str(caught.value)


def test_pixels_damaged_behind_a_sound_header(worlds: Worlds, tmp_path: Path) -> None:
    folder = worlds["folder"](tmp_path / "a", worlds["images"](2, 1))
    file = folder / "DOE_JANE_001.png"
    file.write_bytes(file.read_bytes()[:60])
    source = open_source(folder, "train")
    with pytest.raises(DataError, match="image 2 of 2") as caught:
        source.load((16, 16), Task())
    assert "DOE" not in str(caught.value)


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a cohort nor a folder"):
        open_source(tmp_path / "absent", "train")
    with pytest.raises(DataError, match="holds no PNG"):
        open_source(tmp_path, "train")
    for wrong in (np.zeros((0, 8, 8), np.uint8), np.zeros((1, 8, 8)), np.zeros((8, 8), np.uint8)):
        with pytest.raises(DataError, match="uint8 array"):
            open_source(wrong, "train")


def test_cohort_gives_the_rows_of_its_role(real: Cohort, synthetic: Cohort) -> None:
    splits = real.counts["splits"]
    for role in ("train", "control"):
        assert len(open_source(real.path, role)) == splits[role]
    with pytest.raises(DataError, match="swapped"):
        open_source(real, "synthetic")
    with pytest.raises(DataError, match="swapped"):
        open_source(synthetic, "train")


def test_cohort_shards_are_compared_with_their_digest(worlds: Worlds, tmp_path: Path) -> None:
    cohort = worlds["synthetic"](tmp_path / "s", worlds["images"](3, 1))
    shard = tmp_path / "s" / cohort.shards[0].path
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(Exception, match="damaged"):
        open_source(cohort, "synthetic").load((16, 16), Task())


def test_the_record_says_what_made_the_images(worlds: Worlds, tmp_path: Path) -> None:
    images, model = worlds["images"](2, 1), "sha256:" + "a" * 64
    records = {"own": {"generator": model}, "silent": {}, "odd": {"generator": ["x"]}}
    said = {
        name: made_by(
            open_source(worlds["synthetic"](tmp_path / name, images, record), "synthetic")
        )
        for name, record in records.items()
    }
    assert said["own"] == {"generator": model, "derived": False}
    assert said["silent"] == said["odd"] == {"generator": None, "derived": False}
    assert made_by(open_source(images, "synthetic")) == said["silent"]


def test_no_file_name_in_the_representation(worlds: Worlds, tmp_path: Path) -> None:
    folder = worlds["folder"](tmp_path / "MUELLER", worlds["images"](2, 1))
    text = repr(open_source(folder, "train"))
    assert "DOE" not in text
    assert "MUELLER" not in text


def test_cohorts_tell_what_is_known_of_their_images(tmp_path: Path) -> None:
    image = np.zeros((16, 16), np.uint8)
    rows = [
        Row.from_arrays(id="a", image=image, patient="p", lesion_box=(1, 2, 3.5, 4),
                        conditions={"pathology": "benign", "device": None}),
        Row.from_arrays(id="b", image=image, patient="q",
                        conditions={"pathology": "normal", "device": "a"}),
    ]  # fmt: skip
    words = {"pathology": ["normal", "benign"], "device": ["a", "b"]}
    real = Cohort.create(tmp_path / "c", rows, kind="phantom", image_size=16, vocabulary=words)
    source = open_source(real, "train")
    assert source.attributes() == {"pathology": ("benign", "normal"), "device": ("", "a")}
    boxes = source.boxes()
    assert boxes is not None
    assert boxes.dtype == np.float64
    assert boxes[0].tolist() == [1, 2, 3.5, 4]
    assert np.isnan(boxes[1]).all()


def test_attributes_belong_to_the_rows_of_the_role(real: Cohort) -> None:
    for role in ("train", "control"):
        source = open_source(real, role)
        rows = list(real.select(split=role))
        assert source.attributes()["pathology"] == tuple(r.conditions["pathology"] for r in rows)
        boxes = source.boxes()
        assert boxes is not None
        assert boxes.shape == (len(rows), 4)


def test_folders_and_arrays_tell_nothing(worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](2, 1)
    for source in (images, worlds["folder"](tmp_path / "f", images)):
        opened = open_source(source, "train")
        assert opened.attributes() == {}
        assert opened.boxes() is None
