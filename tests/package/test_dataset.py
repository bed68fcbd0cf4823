from __future__ import annotations

import csv
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from bussynth.errors import UsageError
from bussynth.package import PackageDataset, load
from bussynth.package.dataset import csv_cell


@pytest.fixture(scope="module")
def arrays(site: Any) -> PackageDataset:
    return load(site.package, trust=site.trust, framework="numpy")


@pytest.fixture(scope="module")
def tensors(site: Any) -> PackageDataset:
    return load(site.package, trust=site.trust)


def test_items_are_the_images_of_the_cohort(arrays: PackageDataset, site: Any) -> None:
    for index, row in enumerate(site.cohort):
        item = arrays[index]
        assert item["image"].dtype == np.float32
        np.testing.assert_array_equal(item["image"][0], row.image.astype(np.float32) / 255)
        assert arrays.classes[item["label"]] == row.conditions["pathology"] == item["pathology"]
        assert item["device"] == (row.conditions["device"] or "")
        assert item["has_box"] == (row.lesion_box is not None)
        np.testing.assert_array_equal(item["lesion_box"], row.lesion_box or (0, 0, 0, 0))
        assert item["has_mask"] == (row.mask is not None)
        expected = np.zeros((16, 20)) if row.mask is None else row.mask
        np.testing.assert_array_equal(item["mask"][0], expected)


def test_range_and_ends(arrays: PackageDataset) -> None:
    everything = np.stack([arrays[i]["image"] for i in range(len(arrays))])
    assert everything.min() >= 0
    assert everything.max() <= 1
    assert arrays[-1]["id"] == arrays[5]["id"]
    for index in (6, -7):
        with pytest.raises(IndexError):
            arrays[index]
    assert [item["id"] for item in arrays] == [f"s{i:07d}" for i in range(6)]  # type: ignore[attr-defined]


def test_labels_without_decoding(arrays: PackageDataset) -> None:
    assert arrays.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert arrays.labels.dtype == np.int64


def test_repr_shows_licence_and_verdict(arrays: PackageDataset) -> None:
    text = repr(arrays)
    for word in ("demo-bus 1.0.0", "6 synthetic images", "CC-BY-4.0", "NO EVIDENCE ABOVE FLOOR"):
        assert word in text


def test_torch_dataset(tensors: PackageDataset) -> None:
    assert isinstance(tensors, Dataset)
    assert isinstance(tensors, PackageDataset)
    image = tensors[0]["image"]
    assert isinstance(image, torch.Tensor)
    assert (image.dtype, image.shape) == (torch.float32, (1, 16, 20))


@pytest.mark.parametrize("workers", [0, 2])
def test_default_collate(tensors: PackageDataset, workers: int) -> None:
    batch = next(iter(DataLoader(tensors, batch_size=6, num_workers=workers)))  # type: ignore[arg-type]
    assert batch["image"].shape == (6, 1, 16, 20)
    assert batch["lesion_box"].shape == (6, 4)
    assert batch["has_box"].tolist() == [False, True, True, False, True, True]
    assert batch["label"].tolist() == [0, 1, 2, 0, 1, 2]
    assert batch["device"][1] == ""
    assert batch["mask"].shape == (6, 1, 16, 20)


def test_numpy_dataset_works_with_a_loader_too(arrays: PackageDataset) -> None:
    batch = next(iter(DataLoader(arrays, batch_size=4)))  # type: ignore[arg-type]
    assert batch["image"].shape == (4, 1, 16, 20)


def test_dataset_can_be_sent_to_a_process(tensors: PackageDataset) -> None:
    copy = ForkingPickler.loads(ForkingPickler.dumps(tensors))
    assert torch.equal(copy[3]["image"], tensors[3]["image"])


def test_transform(site: Any) -> None:
    data = load(site.package, trust=site.trust, transform=lambda image: image * 0 + 2)
    assert torch.equal(data[0]["image"], torch.full((1, 16, 20), 2.0))


def test_items_are_fresh(arrays: PackageDataset) -> None:
    arrays[0]["image"][:] = 0
    assert arrays[0]["image"].max() > 0


def test_to_pandas(arrays: PackageDataset) -> None:
    frame = arrays.to_pandas()
    assert list(frame["pathology"]) == ["normal", "benign", "malignant"] * 2
    assert frame["x0"].isna().tolist() == [True, False, False, True, False, False]
    assert frame["label"].tolist() == arrays.labels.tolist()


def test_to_imagefolder(arrays: PackageDataset, tmp_path: Path) -> None:
    assert arrays.to_imagefolder(tmp_path / "out") == 6
    files = sorted(p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("*.png"))
    assert files == [
        *("benign/s0000001.png", "benign/s0000004.png", "malignant/s0000002.png"),
        *("malignant/s0000005.png", "normal/s0000000.png", "normal/s0000003.png"),
    ]
    with (tmp_path / "out" / "metadata.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file_name"].split("/")[0] for row in rows[:2]] == ["normal", "benign"]
    assert rows[3]["device"] == "'=beta"
    assert rows[0]["x0"] == ""
    assert rows[1]["x0"] == "3.0"
    with pytest.raises(UsageError, match="exists"):
        arrays.to_imagefolder(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").touch()
    with pytest.raises(UsageError, match="not replaced"):
        arrays.to_imagefolder(tmp_path / "mine", force=True)
    assert arrays.to_imagefolder(tmp_path / "out", force=True) == 6


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_defused(start: str) -> None:
    assert csv_cell(start + "1+1") == "'" + start + "1+1"


def test_other_cells_are_left_alone() -> None:
    assert [csv_cell(value) for value in (None, -1, -1.5, "a=b", "")] == [
        "",
        "-1",
        "-1.5",
        "a=b",
        "",
    ]
