from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.generator.config import AdaptConfig, GenerateConfig, TrainConfig
from bussynth.generator.generate import check_generate, generate_cohort
from bussynth.generator.generator import Generator
from bussynth.generator.protection import Protection, guard_notes
from bussynth.generator.seeds import derive_seed

CPU = RunOptions(device="cpu")


@pytest.fixture
def copying(generator: Generator, cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> Generator:
    """A generator whose first draw of every even row is a training image."""
    train = cohort.select("train").images()
    first = {derive_seed("noise", 3, row): row for row in range(0, 100, 2)}
    honest = Generator.sample

    def sample(self: Generator, conditions: Any, seeds: Any, *args: Any, **named: Any) -> Any:
        images = honest(self, conditions, seeds, *args, **named)
        for i, seed in enumerate(seeds):
            if seed in first:
                images[i] = train[first[seed] % len(train)]
        return images

    monkeypatch.setattr(Generator, "sample", sample)
    return generator


def test_copies_are_drawn_again(copying: Generator, cohort: Cohort, tmp_path: Path) -> None:
    train = {image.tobytes() for image in cohort.select("train").images()}
    config = GenerateConfig(n=12, seed=3, steps=2, chunk_size=5)
    open_ = generate_cohort(copying, tmp_path / "open", config, options=CPU)
    assert sum(image.tobytes() in train for image in open_.images()) == 6
    guarded = GenerateConfig(n=12, seed=3, steps=2, chunk_size=5, guard="rejection")
    made = generate_cohort(copying, tmp_path / "guarded", guarded, real=cohort, options=CPU)
    assert not any(image.tobytes() in train for image in made.images())
    record = made.provenance["guard"]
    assert record["rejected"] >= 6
    assert record["asked"] == 12
    assert record["asked"] - record["left_out"] == len(made)
    assert record["voids"] == "formal-dp"
    assert record["not_guarded"] == []
    # What was accepted at once is the image of the unguarded request.
    before = {row.id: row.image for row in open_}
    odd = [row for row in made if int(row.id[-8:]) % 2]
    assert odd
    assert any(np.array_equal(row.image, before[row.id]) for row in odd)


def test_chunks_do_not_change_guarded_images(
    copying: Generator, cohort: Cohort, tmp_path: Path
) -> None:
    digests = set()
    for size in (3, 12):
        config = GenerateConfig(n=12, seed=3, steps=2, chunk_size=size, guard="rejection")
        made = generate_cohort(copying, tmp_path / str(size), config, real=cohort, options=CPU)
        digests.add(made.digest)
    assert len(digests) == 1


def test_an_image_out_of_attempts_is_left_out(
    copying: Generator, cohort: Cohort, tmp_path: Path
) -> None:
    config = GenerateConfig(n=8, seed=3, steps=2, guard="rejection", guard_attempts=1)
    made = generate_cohort(copying, tmp_path / "m", config, real=cohort, options=CPU)
    assert len(made) <= 4
    assert made.provenance["guard"]["left_out"] == 8 - len(made)


def test_steering_changes_images(generator: Generator, cohort: Cohort, tmp_path: Path) -> None:
    config = GenerateConfig(n=4, seed=3, steps=3, guard="cpsample", guard_steps=700)
    made = generate_cohort(generator, tmp_path / "m", config, real=cohort, options=CPU)
    assert len(made) == 4
    record = made.provenance["guard"]
    assert record["kind"] == "cpsample"
    assert not {"alpha", "attempts", "expected_rejections"} & set(record)
    said = record["cpsample"]
    assert said["steps"] == 700
    assert (said["tolerance"], said["scale"]) == (0.01, 10.0)
    assert list(said["accuracy"]) == list(said["recognised"]) == ["0.02", "0.05", "0.3", "1", "3"]
    assert "guard_attempts" not in made.provenance["request"]
    assert made.provenance["request"]["guard_steps"] == 700
    assert "by noise level: " in guard_notes(record)[1]


def test_too_few_steps_are_refused_by_name(
    generator: Generator, cohort: Cohort, tmp_path: Path
) -> None:
    config = GenerateConfig(n=4, guard="both", guard_steps=1)
    with pytest.raises(UsageError, match=r"after 1 steps") as caught:
        generate_cohort(generator, tmp_path / "m", config, real=cohort, options=CPU)
    assert "--guard-steps" in str(caught.value)


def test_few_control_images_are_said_to_cost_more(generator: Generator, cohort: Cohort) -> None:
    config = GenerateConfig(n=4, guard="rejection")
    protection = Protection.fit(generator, cohort, config)
    assert protection is not None
    record = protection.record(config, 4, 4, 4)
    controls = len(cohort.select("control"))
    assert record["expected_rejections"] >= round(2 / (controls + 1), 4) > record["alpha"] == 0.01
    assert "cpsample" not in record
    (_, note) = guard_notes(record)
    assert f"up to {record['expected_rejections']:.1%}" in note
    assert len(guard_notes({**record, "expected_rejections": 0.01})) == 1


def test_hardly_any_control_images_are_refused(
    generator: Generator, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cohort.create(
        tmp_path / "c", cohort, kind="phantom", image_size=16, vocabulary=cohort.vocabulary
    )
    few = split_cohort(tmp_path / "c", SplitConfig(control=0.025, test=0.1)).cohort
    assert 0 < len(few.select("control")) < 3
    monkeypatch.setattr(Generator, "trained_on", few.digest)
    for guard, refused in (("rejection", True), ("both", True), ("cpsample", False)):
        config = GenerateConfig(n=4, guard=guard)
        if refused:
            with pytest.raises(UsageError, match="control images are too few for rejection"):
                check_generate(generator, tmp_path / "m", config, real=few)
        else:
            check_generate(generator, tmp_path / "m", config, real=few)


@pytest.mark.parametrize("guard", ["rejection", "cpsample"])
def test_synthetic_images_have_no_patients_to_guard(
    generator: Generator, tmp_path: Path, guard: str
) -> None:
    first = generate_cohort(generator, tmp_path / "first", GenerateConfig(n=12, steps=2))
    config = TrainConfig(preset="tiny-32", steps=1, batch_size=4)
    second = Generator.train(first, tmp_path / "second", config, options=CPU)
    asked = GenerateConfig(n=4, guard=guard)
    with pytest.raises(DataError, match="synthetic images, which have no patients"):
        generate_cohort(second, tmp_path / "m", asked, real=first, options=CPU)
    with pytest.raises(DataError, match="synthetic images, which have no patients"):
        check_generate(generator, tmp_path / "m", asked, real=first)


def test_bases_that_are_not_guarded_are_named(
    model_folder: Path, cohort: Cohort, site: Cohort, tmp_path: Path
) -> None:
    Cohort.create(tmp_path / "r", cohort, kind="real", image_size=16, vocabulary=cohort.vocabulary)
    patients = split_cohort(tmp_path / "r", SplitConfig(seed=1)).cohort
    brief = {"steps": 1, "batch_size": 4}
    config = TrainConfig(preset="tiny-32", **brief)
    Generator.train(patients, tmp_path / "base", config, options=CPU)
    asked = GenerateConfig(n=4, guard="rejection")

    def recorded(base: Path, *, adapt: bool, at_hand: bool) -> dict[str, Any]:
        out = tmp_path / f"{base.name}-{adapt}-{at_hand}"
        if adapt:
            model = Generator.adapt(site, out, AdaptConfig(base=str(base), **brief), options=CPU)
        else:
            model = Generator.train(
                site, out, TrainConfig(preset="tiny-32", base=str(base), **brief), options=CPU
            )
        given = base if at_hand else None
        protection = Protection.fit(model, site, asked, base=given)
        assert protection is not None
        return protection.record(asked, 4, 4, 4)

    # Trained on patients whom the guard has never seen.
    record = recorded(tmp_path / "base", adapt=True, at_hand=True)
    (named,) = record["not_guarded"]
    assert (named["kind"], named["name"], named["base_known"]) == ("real", None, True)
    assert named["digest"] == Generator.load(tmp_path / "base", "cpu").digest
    note = guard_notes(record)[-1]
    assert "cohort of kind real" in note
    assert named["digest"][:19] in note
    # Phantoms only, as far as the base is at hand to tell.
    assert recorded(model_folder, adapt=True, at_hand=True)["not_guarded"] == []
    (unknown,) = recorded(model_folder, adapt=False, at_hand=False)["not_guarded"]
    assert (unknown["kind"], unknown["base_known"]) == ("phantom", False)


def test_refusals(generator: Generator, cohort: Cohort, site: Cohort, tmp_path: Path) -> None:
    config = GenerateConfig(n=4, guard="rejection")
    with pytest.raises(UsageError, match="name the cohort"):
        generate_cohort(generator, tmp_path / "m", config, options=CPU)
    with pytest.raises(DataError, match="not the cohort this model was trained on"):
        generate_cohort(generator, tmp_path / "m", config, real=site, options=CPU)
    with pytest.raises(UsageError, match="only read by a guard"):
        generate_cohort(generator, tmp_path / "m", GenerateConfig(n=4), real=cohort, options=CPU)
    with pytest.raises(UsageError, match="leave workers at 1"):
        check_generate(
            generator, tmp_path / "m", config, real=cohort, options=RunOptions(workers=2)
        )
    assert not list(tmp_path.iterdir())
