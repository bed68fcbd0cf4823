"""``bussynth audit`` from outside: what it refuses, with which words, and what it leaves behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bussynth.cli import app
from bussynth.cohort import Cohort, Row
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig

QUICK = [
    *("--permutations", 19, "--bootstrap", 20, "--planted", 4, "--dose", 1, "--dose-repeats", 1),
    *("--self-check", 5, "--encoders", 0),
]
CANARY = "DOE_JANE"


def pictures(n: int, seed: int, size: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 235, (n, size // 2, size // 2))
    return np.kron(coarse, np.ones((2, 2), int)).astype(np.uint8)


def folder(place: Path, images: Any) -> Path:
    place.mkdir(parents=True)
    for i, image in enumerate(images):
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        picture.save(place / f"{CANARY}_{i}.png")
    return place


@pytest.fixture
def world(tmp_path: Path) -> SimpleNamespace:
    """Three folders of six images and a table of their patients, three a role."""
    places = {
        role: folder(tmp_path / role, pictures(6, seed))
        for seed, role in enumerate(("synthetic", "train", "control"))
    }
    table = tmp_path / "patients.csv"
    lines = [
        f"{role}/{CANARY}_{i}.png,{CANARY}-{role}-{i // 2}"
        for role in ("train", "control")
        for i in range(6)
    ]
    table.write_text("file,patient\n" + "\n".join(lines))
    return SimpleNamespace(**places, table=table, root=tmp_path, out=tmp_path / "audit")


def call(*arguments: object, code: int) -> dict[str, Any]:
    """Run the verb; patients' names may appear nowhere."""
    words = [str(argument) for argument in ("audit", *arguments, "--json", "--quiet")]
    result = CliRunner().invoke(app.app, words)
    assert result.exit_code == code, result.output
    assert CANARY not in result.output
    assert "bug in bussynth" not in result.output
    answer = json.loads(result.stdout)
    return dict(answer.get("result") or answer["error"])


def roles(world: SimpleNamespace, **changes: Any) -> list[object]:
    given = {**vars(world), **changes}
    arguments = [given["synthetic"], "--train", given["train"], "--control", given["control"]]
    return [*arguments, "--patients", given["table"], "--out", given["out"], *QUICK]


def refused(world: SimpleNamespace, *arguments: object, code: int) -> str:
    """Run a refused command; nothing may be left behind; returns all words of the error."""
    before = sorted(world.root.rglob("*"))
    for dry in ([], ["--dry-run"]):
        error = call(*arguments, *dry, code=code)
        assert sorted(world.root.rglob("*")) == before
    return " ".join([error["message"], *error["problems"]])


def test_a_sound_audit_of_folders(world: SimpleNamespace) -> None:
    found = call(*roles(world), code=4)
    assert found["verdict"] == "INCONCLUSIVE"
    assert found["ledger"]["place"] == "beside the report"
    assert {path.name for path in world.root.iterdir()} == {
        "synthetic", "train", "control", "patients.csv", "audit", "audits.jsonl",
    }  # fmt: skip
    assert CANARY not in (world.root / "audits.jsonl").read_text()


def test_constant_images(world: SimpleNamespace) -> None:
    flat = {
        role: folder(world.root / f"flat-{role}", np.full((6, 16, 16), level, np.uint8))
        for role, level in (("synthetic", 0), ("train", 0), ("control", 255))
    }
    table = world.root / "flat.csv"
    table.write_text(world.table.read_text().replace("train/", "flat-train/")
                     .replace("control/", "flat-control/"))  # fmt: skip
    found = call(*roles(world, **flat, table=table), code=4)
    assert found["verdict"] == "INCONCLUSIVE"


def test_one_image_each(world: SimpleNamespace) -> None:
    single = {
        role: folder(world.root / "one" / role, pictures(1, seed))
        for seed, role in enumerate(("synthetic", "train", "control"))
    }
    found = call(*roles(world, **single), code=4)
    assert found["verdict"] == "INCONCLUSIVE"
    assert found["counts"]["control_patients"] == 1


def test_copies_in_other_colour_modes_are_seen_as_copies(world: SimpleNamespace) -> None:
    grey = pictures(6, 1)  # the train images
    modes = ("L", "RGB", "P", "LA", "RGBA", "I;16")
    made = [Image.fromarray(image).convert(mode) for image, mode in zip(grey, modes, strict=True)]
    made[-1] = Image.fromarray(grey[-1].astype(np.uint16) * 257)
    assert tuple(picture.mode for picture in made) == modes
    found = call(*roles(world, synthetic=folder(world.root / "other", made)), code=4)
    assert found["verdict"] == "FAIL"
    assert found["tests"][0]["details"]["equal_to_train"] == 6


def test_synthetic_that_is_train_fails_and_says_so(world: SimpleNamespace) -> None:
    found = call(*roles(world, synthetic=world.train), code=4)
    assert found["verdict"] == "FAIL"
    assert found["tests"][0]["estimate"] == 1.0


def test_control_that_is_train_is_refused(world: SimpleNamespace) -> None:
    arguments = [world.synthetic, "--train", world.train, "--control", world.train]
    text = refused(world, *arguments, "--out", world.out, code=3)
    assert "train and control are the same images" in text


def test_different_sizes(world: SimpleNamespace) -> None:
    Image.fromarray(pictures(1, 7, 32)[0]).save(world.synthetic / "large.png")
    text = refused(world, *roles(world), code=3)
    assert "2 different sizes" in text


def test_sizes_that_differ_from_a_cohort(world: SimpleNamespace) -> None:
    real = cohort(world.root / "real", control=0.4)
    small = folder(world.root / "small", pictures(2, 4, 8))
    text = refused(world, small, "--real", real, "--out", world.out, code=3)
    assert "train: 16x16, but synthetic: 8x8" in text


def test_nan_in_images_and_in_settings(world: SimpleNamespace) -> None:
    pixels = np.full((16, 16), np.nan, np.float32)
    Image.fromarray(pixels).save(world.train / "z.tif")
    text = refused(world, *roles(world), code=3)
    assert "image 7 of 7 of train: colour mode F is not read" in text
    assert "alpha=nan" in refused(world, *roles(world), "--alpha", "nan", code=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs one column file and one patient"),
        ("file;patient\n", "needs one column"),
        (f"file,patient\ntrain/{CANARY}_0.png,{CANARY}\n", "image 2 of 6 of train: has no row"),
        ("file,patient\n\xe4,b\n", "no UTF-8"),
    ],
)
def test_a_wrong_patient_table(world: SimpleNamespace, text: str, words: str) -> None:
    world.table.write_bytes(text.encode("latin-1"))
    assert words in refused(world, *roles(world), code=3)


def test_a_patient_in_both_roles(world: SimpleNamespace) -> None:
    world.table.write_text(world.table.read_text().replace("-control-0", "-train-0"))
    text = refused(world, *roles(world), code=3)
    assert "1 patients are in both train and control" in text


def test_files_that_are_no_images(world: SimpleNamespace) -> None:
    (world.train / f"{CANARY}.png").write_text("no image")
    (world.train / f"{CANARY}_a.jpg").touch()
    text = refused(world, *roles(world), code=3)
    assert "not a PNG, JPEG or TIFF file" in text
    assert "the file is empty" in text
    words = world.root / "words"
    words.mkdir()
    (words / "a.txt").write_text("x")
    assert "holds no PNG" in refused(world, *roles(world, synthetic=words), code=3)
    assert "neither a cohort nor" in refused(world, *roles(world, synthetic=world.table), code=3)


def cohort(place: Path, **split: float) -> Path:
    words = {"pathology": ["benign"]}
    rows = [
        Row.from_arrays(
            id=f"i{i}", image=image, patient=f"{CANARY}{i}", conditions={"pathology": "benign"}
        )
        for i, image in enumerate(pictures(20, 3))
    ]
    Cohort.create(place, rows, kind="phantom", image_size=16, vocabulary=words)
    if split:
        split_cohort(place, SplitConfig(seed=1, test=0.1, by=["pathology"], **split))
    return place


def test_no_control_patients(world: SimpleNamespace) -> None:
    real = cohort(world.root / "real", control=0.0)
    text = refused(world, world.synthetic, "--real", real, "--out", world.out, code=3)
    assert "control: the cohort holds no image of this role" in text


def test_a_cohort_that_was_not_split(world: SimpleNamespace) -> None:
    real = cohort(world.root / "real")
    text = refused(world, world.synthetic, "--real", real, "--out", world.out, code=2)
    assert "run `bussynth split` before training" in text


def test_an_output_among_the_inputs(world: SimpleNamespace) -> None:
    for out in (world.train / "audit", world.synthetic, world.control / "a" / "b"):
        refused(world, *roles(world, out=out), code=2)
    text = refused(world, *roles(world, out=world.train / "audit"), code=2)
    assert "train: " in text
    assert "lies inside it" in text


def test_force_replaces_audits_only(world: SimpleNamespace) -> None:
    world.out.mkdir()
    for content in ("{", "[]", '{"schema": "other/1"}'):
        (world.out / "report.json").write_text(content)
        text = refused(world, *roles(world), "--force", code=2)
        assert "no audit of bussynth wrote" in text
    (world.out / "report.json").write_text('{"schema": "bussynth-audit/0"}')
    call(*roles(world), "--force", "--dry-run", code=0)


def test_a_report_of_another_schema_is_not_rendered(tmp_path: Path) -> None:
    for content in ('{"schema": "other/1"}', '{"schema": "bussynth-audit/99"}', "[]", "{", ""):
        (tmp_path / "report.json").write_text(content)
        arguments = ["report", str(tmp_path / "report.json"), "--out", str(tmp_path / "r.html")]
        result = CliRunner().invoke(app.app, arguments)
        assert result.exit_code == 3, result.output
        assert "Error: " in result.stderr
        assert not (tmp_path / "r.html").exists()


def test_arguments_that_contradict(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    out = ["--out", world.out]
    assert "SYNTHETIC is missing" in refused(world, "--real", world.train, *out, code=2)
    assert "Give either real" in refused(world, world.synthetic, *out, code=2)
    assert "--release-model needs" in refused(world, *roles(world), "--release-model", code=2)
    text = refused(world, *roles(world), "--encoder", world.root / "none.onnx", code=2)
    assert "none.onnx is no file" in text
    text = refused(world, *roles(world), "--model", world.root / "none", code=3)
    assert "holds no model" in text
    monkeypatch.setitem(sys.modules, "distributed", None)
    text = refused(world, *roles(world), "--cluster", "tcp://127.0.0.1:9", code=2)
    assert "pip install 'bussynth[dask]'" in text


def test_registering_and_keeping_to_it(world: SimpleNamespace) -> None:
    scope = ["--train", world.train, "--control", world.control, "--out", world.out]
    dry = call(*scope, *QUICK, "--register", "--dry-run", code=0)
    assert not (world.root / "audit.toml").exists()
    done = call(*scope, *QUICK, "--register", code=0)
    assert dry["file"] == done["file"] == str(world.root / "audit.toml")
    assert call(*scope, *QUICK, "--register", code=2)["message"].startswith(done["file"])
    found = call(
        *(world.synthetic, *scope, "--patients", world.table, "--config", done["file"]), code=4
    )
    assert found["ledger"]["registration"] == "pre-registered"
    assert found["settings"]["permutations"]["value"] == 19


@pytest.mark.parametrize(("clean", "code"), [(True, 0), (False, 4)])
def test_self_audit(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, clean: bool, code: int
) -> None:
    from bussynth.auditing import self_audit

    seen: dict[str, Any] = {}

    def fake(real: Path, **given: Any) -> SimpleNamespace:
        seen.update(given, real=real)
        return SimpleNamespace(clean=clean, to_dict=lambda: {"counts": {"groups": 3}})

    monkeypatch.setattr(self_audit, "self_audit", fake)
    found = call(world.train, "--self", "--out", world.out, "--workers", 2, "--force", code=code)
    assert found["counts"] == {"groups": 3}
    assert (seen["real"], seen["out"], seen["force"]) == (world.train, world.out, True)
    assert seen["options"].workers == 2


def test_self_audit_refuses_what_it_does_not_use(world: SimpleNamespace) -> None:
    out = ["--self", "--out", world.out]
    text = refused(world, world.train, *out, "--real", world.train, "--register", code=2)
    assert "leave out --real, --register" in text
    assert "--self needs the real cohort" in refused(world, *out, code=2)
    inside = ["--self", "--out", world.train / "a"]
    assert "overlaps" in refused(world, world.train, *inside, code=2)
    assert call(world.train, *out, "--dry-run", code=0)["images"] == 6
