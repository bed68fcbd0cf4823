"""The models in the box: small, whole, usable offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bussynth
from bussynth.builtin import builtin_names
from bussynth.errors import UsageError
from bussynth.generator.base import open_base
from bussynth.generator.config import GenerateConfig
from bussynth.generator.generate import generate_cohort, request_conditions
from bussynth.generator.generator import Generator

WEIGHTS = Path(bussynth.__file__).parent / "weights"


def test_the_box_is_not_empty() -> None:
    assert "builtin:phantom-64" in builtin_names()


@pytest.mark.parametrize("name", builtin_names())
def test_small_and_whole(name: str) -> None:
    folder = WEIGHTS / name.removeprefix("builtin:")
    assert (folder / "weights.safetensors").stat().st_size <= 16e6
    assert (folder / "loss.jsonl").is_file()
    base = open_base(name)
    assert base.model.architecture.image_size == (64, 64)
    assert base.record()["name"] == name
    # What a hospital adapts must not depend on a secret of another hospital.
    assert base.model.training["cohort"]["kind"] == ("phantom" if "phantom" in name else "real")


@pytest.mark.parametrize("name", builtin_names())
def test_images_are_like_ultrasound(name: str) -> None:
    """Not noise, not flat: neighbouring pixels are alike, and images differ."""
    generator = Generator.load(name, "cpu")
    config = GenerateConfig(n=4)
    images = generator.sample(
        [request_conditions(generator, config, row) for row in range(4)], list(range(4))
    )
    values = images.astype(float)
    assert 20 < values.mean() < 140
    assert values.std() > 20
    step = np.abs(np.diff(values, axis=2)).mean()
    assert step < 0.5 * np.abs(values - values.mean()).mean()
    assert len({image.tobytes() for image in images}) == 4


def test_generate_from_a_name(tmp_path: Path) -> None:
    made = generate_cohort("builtin:phantom-64", tmp_path / "c", GenerateConfig(n=2, steps=2))
    assert made.provenance["generator"] == open_base("builtin:phantom-64").model.digest
    with pytest.raises(UsageError, match="did you mean"):
        generate_cohort("builtin:phantom64", tmp_path / "d", GenerateConfig(n=2))
