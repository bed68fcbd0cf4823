"""The road of the comparison with the published table, on a handful of images."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality import labelled, labelled_run, mnist, small_cnn
from bussynth.cohort import Cohort
from bussynth.cohort.cohort import LEDGER_FILE
from bussynth.errors import DataError
from bussynth.generator.config import TrainConfig
from bussynth.generator.private_plan import plan_private
from privacy.dp import accounting

TINY = [
    "--steps", "2", "--batch", "3", "--draws", "2", "--images", "12", "--classifier-steps", "2",
    "--workers", "1",
]  # fmt: skip


def write_standard(folder: Path, train: int = 40, test: int = 10, **changed: np.ndarray) -> None:
    """Bars whose place tells the label, as the four files."""
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        images[np.arange(count), 2 * labels + 4] = 255
        arrays = {"images": images, "labels": labels}
        for what, usual in arrays.items():
            values = changed.get(f"{part}_{what}", usual)
            header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            file = folder / f"{part}-{what}-idx{values.ndim}-ubyte"
            file.write_bytes(header + values.astype(np.uint8).tobytes())


def test_standard_files_are_read_and_padded(tmp_path: Path) -> None:
    write_standard(tmp_path)
    data = labelled.read_standard(tmp_path)
    assert data.images.shape == (40, 32, 32)
    assert data.test_images.shape == (10, 32, 32)
    assert data.labels.tolist() == [k % 10 for k in range(40)]
    assert data.images[0, 2 + 4].tolist() == [0] * 2 + [255] * 28 + [0] * 2
    assert data.images[:, :2].max() == data.images[:, :, -2:].max() == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_labels": np.zeros(39)}, "40 images but 39 labels"),
        ({"t10k_labels": np.full(10, 10)}, r"test: labels must lie in 0 \.\. 9"),
        ({"train_images": np.zeros((40, 33, 28))}, "28x33 pixels"),
    ],
)
def test_files_that_do_not_go_together_are_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_standard(tmp_path, **changed)
    with pytest.raises(DataError, match=message):
        labelled.read_standard(tmp_path)


def test_the_stand_in_holds_out_its_last_images() -> None:
    pytest.importorskip("sklearn", reason="the stand-in comes with scikit-learn")
    data = labelled.stand_in()
    assert data.images.shape == (1437, 16, 16)
    assert data.test_images.shape == (360, 16, 16)
    assert data.images.max() == 255
    assert np.bincount(data.test_labels).min() > 20


def test_the_noise_is_that_of_the_published_delta_where_the_product_wants_a_smaller_one() -> None:
    config = TrainConfig(
        steps=4, images_per_patient=1, dp_epsilon=5.0, dp_patients=60_000, dp_batch=60_000,
        dp_values=labelled_run.VOCABULARY,
    )  # fmt: skip
    found, epsilon = labelled_run.calibrated(config, 1e-5)
    assert found.dp_epsilon > 5.0
    assert found.delta == 8e-7
    there = accounting.epsilon(plan_private(found, 1).mechanisms, 1e-5).epsilon
    assert 4.9 < epsilon <= 5.0
    assert epsilon == pytest.approx(there)


def test_few_enough_images_are_claimed_at_that_delta_itself() -> None:
    config = TrainConfig(
        steps=20, images_per_patient=1, dp_epsilon=5.0, dp_patients=1437, dp_batch=100,
        dp_values=labelled_run.VOCABULARY,
    )  # fmt: skip
    found, epsilon = labelled_run.calibrated(config, 1e-5)
    assert (found.dp_epsilon, found.delta) == (5.0, 1e-5)
    assert 4.9 < epsilon <= 5.0


def test_a_classifier_learns_what_is_easy() -> None:
    labels = np.arange(40) % 10
    images = np.zeros((40, 12, 12), np.uint8)
    images[np.arange(40), 1 + labels] = 255
    assert small_cnn.correct(images, labels, images[:10], labels[:10], steps=80) >= 9


def test_the_road_leads_from_the_files_to_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tested above, and slow.
    monkeypatch.setattr(mnist, "calibrated", lambda c, delta: (replace(c, dp_delta=delta), 8.0))
    (tmp_path / "files").mkdir()
    write_standard(tmp_path / "files")
    places = [str(tmp_path / "files"), str(tmp_path / "work")]
    mnist.main([*places, "--epsilon", "8", "inf", *TINY])
    text = capsys.readouterr().out
    assert "NOT COMPARABLE" in text
    assert "DPDM" not in text
    assert "the guarantee is for one image" in text
    assert "| bussynth, no privacy |" in text
    private, plain = sorted((tmp_path / "work").glob("*/*/figures.json"))
    figures = json.loads(private.read_text())
    assert figures["epsilon"] <= 8
    assert figures["delta"] == 1e-5
    assert figures["test"] == 10
    assert "epsilon" not in json.loads(plain.read_text())
    made = Cohort.open(private.parent / "synthetic")
    assert len(made) == 12
    assert made.provenance["privacy"]["epsilon"] == figures["epsilon"]
    assert made.table(["lesion_box"]).column("lesion_box").null_count == 12
    assert (private.parent / "cohort" / LEDGER_FILE).exists()
    assert not (private.parent.parent / "cohort" / LEDGER_FILE).exists()
    # What is there is not made again.
    before = private.stat().st_mtime_ns
    mnist.main([*places, "--epsilon", "8", *TINY])
    assert private.stat().st_mtime_ns == before


def test_the_published_rows_stand_beside_the_standard_files_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_standard(tmp_path)
    monkeypatch.setattr(mnist, "_STANDARD", (40, 10))
    monkeypatch.setattr(mnist, "_cells", lambda *_: [""] * 8)
    mnist.main([str(tmp_path), str(tmp_path / "work"), "--data", "fashion-mnist", *TINY])
    text = capsys.readouterr().out
    assert "NOT COMPARABLE" not in text
    assert "| DPDM | no | 76.4 | 85.6 | 288,000,000 |" in text


def test_files_or_the_stand_in_must_be_given(tmp_path: Path) -> None:
    for arguments in ([str(tmp_path)], [str(tmp_path), str(tmp_path), "--stand-in"]):
        with pytest.raises(SystemExit):
            mnist.main(arguments)
