from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.generator.config import GenerateConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator
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
    from bussynth.generator import protection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protection, "_STEPS", 400)
        config = GenerateConfig(n=4, seed=3, steps=3, guard="cpsample")
        made = generate_cohort(generator, tmp_path / "m", config, real=cohort, options=CPU)
    assert len(made) == 4
    assert made.provenance["guard"]["kind"] == "cpsample"


def test_refusals(generator: Generator, cohort: Cohort, site: Cohort, tmp_path: Path) -> None:
    config = GenerateConfig(n=4, guard="rejection")
    with pytest.raises(UsageError, match="name the cohort"):
        generate_cohort(generator, tmp_path / "m", config, options=CPU)
    with pytest.raises(DataError, match="not the cohort this model was trained on"):
        generate_cohort(generator, tmp_path / "m", config, real=site, options=CPU)
    assert not (tmp_path / "m").exists()
