from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort, Row
from bussynth.cohort.split import check_assignment
from bussynth.config import RunOptions
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.generator.config import TrainConfig
from bussynth.generator.generator import Generator
from bussynth.generator.plan import check_train
from bussynth.generator.restyle import check_restyle, restyle_cohort
from bussynth.generator.restyle_config import METHODS, RestyleConfig
from bussynth.progress import Progress, Task

SIZE = 16


class Inverter:
    """Draws the negative, and remembers what it was asked."""

    digest = "sha256:" + "5" * 64
    trained_on = "sha256:" + "6" * 64
    image_size = (SIZE, SIZE)

    def __init__(self, **vocabulary: list[str]) -> None:
        self.vocabulary = {
            "device": ["curved", "linear", "matrix"],
            "pathology": ["normal", "benign", "malignant"],
        } | vocabulary
        self.asked: list[tuple[dict[str, Any], dict[str, Any], int | None]] = []

    def restyle(
        self, images: Any, source: Any, target: Any, strength: float, seeds: Any = None, **_: Any
    ) -> Any:
        self.asked += list(zip(source, target, seeds or [None] * len(images), strict=True))
        return 255 - images


def config(*devices: str, **more: Any) -> RestyleConfig:
    return RestyleConfig(to_device=devices, **more)


def make(path: Path, *rows: Row, kind: str = "real", **more: Any) -> Cohort:
    settings: dict[str, Any] = {
        "image_size": SIZE,
        "vocabulary": {"pathology": ["normal", "benign"], "device": ["curved", "linear"]},
    }
    return Cohort.create(path, rows, kind=kind, **(settings | more))


def row(number: int = 0, device: str | None = "linear", **more: Any) -> Row:
    settings: dict[str, Any] = {
        "id": f"row-{number}",
        "image": np.full((SIZE, SIZE), 10 * number, np.uint8),
        "patient": f"keyed-{number}",
        "conditions": {"pathology": "benign", "device": device},
        "lesion_box": (2.0, 3.0, 9.5, 8.0),
    }
    return Row.from_arrays(**(settings | more))


def test_everything_but_device_and_pixels_stays(tmp_path: Path) -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[3:8, 2:9] = True
    source = make(tmp_path / "c", row(1, mask=mask), row(2, None), masks=True)
    model = Inverter()
    made = restyle_cohort(source, model, tmp_path / "out", config("curved", "matrix"))
    made.verify()
    assert len(made) == 4
    assert made.kind == "real"
    assert made.vocabulary["device"] == ("curved", "linear", "matrix")
    pairs = [(before, after) for before in source for after in list(made) if
             after.patient == before.patient]  # fmt: skip
    assert [after.conditions["device"] for _, after in pairs] == ["curved", "matrix"] * 2
    assert len({after.id for _, after in pairs}) == 4
    for before, after in pairs:
        assert np.array_equal(after.image, 255 - before.image)
        assert after == replace(
            before,
            id=after.id,
            png=after.png,
            conditions={**before.conditions, "device": after.conditions["device"]},
        )
    told, asked, seed = model.asked[0]
    assert told == {"pathology": "benign", "device": "linear", "lesion_box": (2.0, 3.0, 9.5, 8.0)}
    assert asked == told | {"device": "curved"}
    assert seed is None  # the default takes the image's own noise


def test_the_cohort_says_what_it_was_derived_from(tmp_path: Path) -> None:
    source = make(tmp_path / "c", row())
    asked = config("curved", strength=0.4, seed=9)
    made = restyle_cohort(source, Inverter(), tmp_path / "out", asked)
    assert made.derived == {
        "by": "restyle",
        "source": source.digest,
        "model": Inverter.digest,
        "trained_on": Inverter.trained_on,
        "request": asked.to_dict() | {"to_device": ["curved"]},
    }
    assert made.provenance["generator"] == Inverter.digest
    assert Cohort.open(source.path).digest == source.digest


def test_own_device_only_on_request(tmp_path: Path) -> None:
    source = make(tmp_path / "c", row(0, "curved"), row(1), row(2))
    for more, expected in (
        (config("curved"), ["row-1-device0", "row-2-device0"]),
        (config("curved", include_own=True), [f"row-{i}-device0" for i in range(3)]),
        (config("linear", "curved"), ["row-0-device1", "row-1-device0", "row-2-device0"]),
    ):
        plan = check_restyle(source, Inverter(), tmp_path / "out", more, force=True)
        made = restyle_cohort(source, Inverter(), tmp_path / "out", more, force=True)
        assert [one.id for one in made] == expected
        assert plan.images == plan.to_dict()["images"] == len(made)
    with pytest.raises(DataError, match="--include-own"):
        restyle_cohort(
            make(tmp_path / "d", row(0, "curved")), Inverter(), tmp_path / "e", config("curved")
        )


def test_splits_are_kept_and_no_patient_changes_side(
    cohort: Cohort, generator: Generator, tmp_path: Path
) -> None:
    made = restyle_cohort(cohort, generator, tmp_path / "out", config("linear", steps=2))
    side = {one.patient: one.split for one in cohort}
    assert {one.patient for one in made} < set(side)
    assert all(one.split == side[one.patient] for one in made)
    check_assignment(made)
    assert made.split_record != cohort.split_record
    assert {one.conditions["device"] for one in made} == {"linear"}


def test_a_restyled_cohort_is_trained_on_like_its_source(
    cohort: Cohort, generator: Generator, tmp_path: Path
) -> None:
    asked = config("linear", "curved", split="train", steps=2, strength=0.3)
    made = restyle_cohort(cohort, generator, tmp_path / "out", asked)
    members = cohort.select("train")
    assert len(made) == len(members) == len(made.select("train"))
    plan = check_train(
        made, tmp_path / "model", TrainConfig(preset="tiny-32"), options=RunOptions(device="cpu")
    )
    assert plan.images == len(members)
    assert plan.identity["cohort"] == made.digest
    assert restyle_cohort(cohort, generator, tmp_path / "again", asked).digest == made.digest


@pytest.mark.parametrize("method", METHODS)
def test_an_image_depends_on_itself_alone(
    cohort: Cohort, generator: Generator, tmp_path: Path, method: str
) -> None:
    asked = config("linear", method=method, steps=2)
    whole = restyle_cohort(cohort, generator, tmp_path / "a", asked)
    part = restyle_cohort(
        cohort, generator, tmp_path / "b", replace(asked, split="test"), batch_size=3
    )
    chosen = {one.id: one.image.astype(int) for one in whole}
    assert len(part) > 3
    for one in part:
        assert np.abs(chosen[one.id] - one.image).max() <= 1  # rounding of the kernels


def test_seeds_of_fresh_noise(cohort: Cohort, generator: Generator, tmp_path: Path) -> None:
    asked = config("linear", method="noise", split="test", steps=2)
    first = restyle_cohort(cohort, generator, tmp_path / "a", asked).images()
    other = restyle_cohort(cohort, generator, tmp_path / "b", replace(asked, seed=1)).images()
    assert not np.array_equal(first, other)


def test_more_strength_changes_more_and_inversion_less_than_noise(
    cohort: Cohort, generator: Generator
) -> None:
    view = cohort.select("train", device="curved")
    images = view.images()[:6]
    source = [{**one.conditions, "lesion_box": one.lesion_box} for one in list(view)[:6]]
    target = [one | {"device": "linear"} for one in source]

    def change(strength: float, seeds: list[int] | None) -> float:
        made = generator.restyle(images, source, target, strength, seeds, steps=6)
        return float(np.abs(made.astype(int) - images).mean())

    changes = [change(strength, None) for strength in (1e-9, 0.2, 0.5, 0.8)]
    assert changes[0] < 1
    assert changes == sorted(changes)
    assert change(0.5, list(range(6))) > changes[2]
    assert generator.restyle(images[:0], [], [], 0.5).shape == (0, SIZE, SIZE)


def test_bad_requests_of_the_generator(generator: Generator) -> None:
    images = np.zeros((1, SIZE, SIZE), np.uint8)
    with pytest.raises(UsageError) as caught:
        generator.restyle(
            images, [{"device": "curvd"}], [{}, {}], 0.0, [1, 2], steps=0, guidance=-1.0
        )
    text = str(caught.value)
    for part in ('"curved"', "1 images but 2", "1 conditions but 2 seeds", "strength=0.0",
                 "steps=0", "guidance"):  # fmt: skip
        assert part in text
    with pytest.raises(UsageError, match="at least 2"):  # inversion in one step is none
        generator.restyle(images, [{}], [{}], 0.5, steps=1)
    generator.restyle(images, [{}], [{}], 0.5, [1], steps=1)


def test_unknown_devices(tmp_path: Path) -> None:
    source = make(tmp_path / "c", row(1), row(2, "curved"))
    with pytest.raises(UsageError) as caught:
        check_restyle(source, Inverter(), tmp_path / "out", config("matrx", "radial"))
    assert "'matrx'" in str(caught.value)
    assert 'did you mean "matrix"?' in str(caught.value)
    assert "'radial'" in str(caught.value)
    assert "known: curved, linear, matrix" in str(caught.value)
    # A source device that the model has not met is merely not stated.
    model = Inverter(device=["matrix", "linear"])
    plan = check_restyle(source, model, tmp_path / "out", config("matrix"))
    assert "1 images" in plan.notes[0]
    restyle_cohort(source, model, tmp_path / "out", config("matrix"))
    assert [told["device"] for told, _, _ in model.asked] == ["linear", None]


def test_other_unknown_values_are_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "c", row())
    model = Inverter(pathology=["malignant"])
    with pytest.raises(UsageError, match=r"pathology: it does not know benign \(known: malignant"):
        check_restyle(source, model, tmp_path / "out", config("curved"))
    # A column that the model does not have is carried along.
    del model.vocabulary["pathology"]
    made = restyle_cohort(source, model, tmp_path / "out", config("curved"))
    assert next(iter(made)).conditions["pathology"] == "benign"
    assert "pathology" not in model.asked[0][0]


def test_cohorts_that_do_not_fit(tmp_path: Path) -> None:
    bare = make(
        tmp_path / "bare",
        row(conditions={"pathology": "benign"}, image=np.zeros((8, 8), np.uint8), lesion_box=None),
        image_size=8,
        vocabulary={"pathology": ["benign"]},
    )
    with pytest.raises(UsageError) as caught:
        check_restyle(bare, Inverter(), tmp_path / "out", config("curved"))
    assert "16x16" in str(caught.value)
    assert "the cohort has no column device" in str(caught.value)
    model = Inverter()
    del model.vocabulary["device"]
    with pytest.raises(UsageError, match="knows no devices"):
        check_restyle(make(tmp_path / "c", row()), model, tmp_path / "out", config("curved"))
    drawn = make(tmp_path / "s", row(patient=None), kind="synthetic")
    with pytest.raises(UsageError, match="bussynth generate"):
        check_restyle(drawn, Inverter(), tmp_path / "out", config("curved"))
    with pytest.raises(UsageError, match="not split"):
        check_restyle(
            Cohort.open(tmp_path / "c"),
            Inverter(),
            tmp_path / "out",
            config("curved", split="test"),
        )


def test_no_second_generation(tmp_path: Path) -> None:
    made = restyle_cohort(
        make(tmp_path / "c", row()), Inverter(), tmp_path / "once", config("curved")
    )
    with pytest.raises(UsageError, match="restyle that one"):
        check_restyle(made, Inverter(), tmp_path / "twice", config("matrix"))


def test_force_replaces_a_derived_cohort_only(tmp_path: Path) -> None:
    source = make(tmp_path / "c", row())
    make(tmp_path / "patients", row())
    restyle_cohort(source, Inverter(), tmp_path / "out", config("curved"))
    with pytest.raises(UsageError, match="--force"):
        check_restyle(source, Inverter(), tmp_path / "out", config("curved"))
    restyle_cohort(source, Inverter(), tmp_path / "out", config("matrix"), force=True)
    with pytest.raises(UsageError, match="not derived"):
        check_restyle(source, Inverter(), tmp_path / "patients", config("curved"), force=True)
    for place in (source.path, source.path / "x", tmp_path):
        with pytest.raises(UsageError, match="overlaps"):
            check_restyle(source, Inverter(), place, config("curved"), force=True)


def test_damaged_source(tmp_path: Path) -> None:
    source = make(tmp_path / "c", row())
    shard = source.path / source.shards[0].path
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(IntegrityError):
        check_restyle(source, Inverter(), tmp_path / "out", config("curved"))


def test_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    class Stop(Progress):
        @contextmanager
        def task(
            self, description: str, total: int | None = None, unit: str = "images", done: int = 0
        ) -> Iterator[Task]:
            class Stopping(Task):
                def advance(self, n: int = 1, **info: str | float) -> None:
                    raise KeyboardInterrupt

            yield Stopping()

    source = make(tmp_path / "c", row())
    with pytest.raises(KeyboardInterrupt):
        restyle_cohort(source, Inverter(), tmp_path / "out", config("curved"), progress=Stop())
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "to_device"),
        ({"to_device": []}, "at least one"),
        ({"to_device": ["a", "a"]}, "twice"),
        ({"to_device": ["a"], "strength": 0.0}, "strength"),
        ({"to_device": ["a"], "strength": 1.5}, "strength"),
        ({"to_device": ["a"], "method": "invert"}, 'did you mean "inversion"'),
        ({"to_device": ["a"], "split": "tain"}, 'did you mean "train"'),
        ({"to_device": ["a"], "steps": 0}, "steps"),
        ({"to_device": ["a"], "steps": 1}, "steps=1: inversion needs 2 or more"),
    ],
)
def test_bad_configurations(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        RestyleConfig.from_dict(fields)


def test_fresh_noise_needs_one_step_alone() -> None:
    assert RestyleConfig(to_device=("a",), method="noise", steps=1).steps == 1
