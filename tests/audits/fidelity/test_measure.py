from __future__ import annotations

import json

import numpy as np
import pytest
from prdc import compute_prdc
from scipy.ndimage import gaussian_filter

from audits.errors import AuditInputError
from audits.features.random_multiscale import RandomMultiscaleMap
from audits.fidelity.measure import SpaceFidelity, measure_fidelity
from audits.fidelity.spaces import fidelity_spaces

NAMES = {"fd", "kid", "precision", "recall", "density", "coverage"}
CHEAP = {"seed": 0, "resamples": 200}


class _Halves:
    """Means of the quarters of an image: a space of four dimensions."""

    name, family = "halves", "test"

    def features(self, images: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
        n, height, width = images.shape
        parts = images.astype(np.float32).reshape(n, 2, height // 2, 2, width // 2)
        return parts.mean(axis=(2, 4)).reshape(n, 4) / 64

    def describe(self) -> dict[str, object]:
        return {"name": self.name, "family": self.family}


@pytest.fixture(scope="module")
def sets(make_images):
    """Train and reference with patients, and images of further patients, all of one kind."""
    images, keys = make_images(150, 2, seed=4)
    patients = np.array(keys)
    return {
        "train": images[:120],
        "train_patients": patients[:120],
        "reference": images[120:220],
        "reference_patients": patients[120:220],
        "fresh": images[220:],
    }


@pytest.fixture(scope="module")
def spaces(sets):
    patients = np.unique(sets["train_patients"], return_inverse=True)[1]
    return fidelity_spaces(sets["train"], patients, seed=0, steps=20)


def measure(spaces, synthetic, sets, **more) -> list[SpaceFidelity]:
    rest = {name: value for name, value in sets.items() if name != "fresh"}
    return measure_fidelity(spaces, synthetic, **rest, **{**CHEAP, **more})


def grey(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def test_everything_is_reported_beside_its_floor(sets, spaces) -> None:
    told: list[tuple[int, int]] = []
    found = measure(spaces, sets["fresh"], sets, progress=lambda *step: told.append(step))
    assert [one.space for one in found] == ["learned 1", "random multi-scale"]
    for one in found:
        assert one.images == len(sets["fresh"]) == 80
        assert one.dimensions == 128
        for side in (one.synthetic, one.floor):
            assert set(side) == NAMES
            for number in side.values():
                assert number.low <= number.value <= number.high
            for name in ("precision", "recall", "coverage"):
                assert 0 <= side[name].low < side[name].high <= 1
        # Fresh images of the same kind are at the floor.
        for name in NAMES:
            assert one.synthetic[name].high >= one.floor[name].low, name
            assert one.synthetic[name].low <= one.floor[name].high, name
    assert told == [(k, 10) for k in range(1, 11)]
    again = json.loads(json.dumps(found[0].to_dict()))
    assert again["synthetic"]["fd"]["value"] == found[0].synthetic["fd"].value
    assert set(again) == {"space", "dimensions", "images", "synthetic", "floor"}


def test_values_equal_prdc_where_every_image_is_a_patient(sets) -> None:
    alone = {
        **sets,
        "train": sets["train"][:80],
        "train_patients": range(80),
        "reference_patients": range(100),
    }
    (found,) = measure([_Halves()], sets["fresh"], alone)
    features = {name: _Halves().features(sets[name]) for name in ("fresh", "reference", "train")}
    for side, ours in (("fresh", found.synthetic), ("train", found.floor)):
        theirs = compute_prdc(features["reference"], features[side][:80], 5)
        assert {name: ours[name].value for name in theirs} == pytest.approx(theirs)


@pytest.mark.parametrize("given", [60, 120, 150])
def test_both_sides_have_equal_rows(sets, given: int) -> None:
    pool = np.concatenate([sets["fresh"], sets["fresh"][::-1]])[:given]
    (found,) = measure([_Halves()], pool, sets)
    assert found.images == min(given, 120)


def test_training_images_as_synthetic_ones_are_the_floor(sets) -> None:
    (found,) = measure([_Halves()], sets["train"], sets)
    for name, number in found.synthetic.items():
        if name not in ("recall", "kid"):  # of which patients are a part
            assert number.value == pytest.approx(found.floor[name].value), name


def test_only_the_seed_decides(sets) -> None:
    few = sets["fresh"][:50]
    spaces = [_Halves(), RandomMultiscaleMap()]
    once = measure(spaces, few, sets)
    assert measure(spaces, few, sets, threads=3) == once
    assert measure(spaces[1:], few, sets) == once[1:]
    assert measure(spaces, few, sets, seed=1)[0].floor != once[0].floor


def in_order(values: list[float], *, rising: bool) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).all() if rising else (steps < 0).all())


@pytest.mark.parametrize(
    "harm",
    [
        lambda x, s: gaussian_filter(x, (0, 1.5 * s, 1.5 * s)),
        lambda x, s: x + 25 * s * np.random.default_rng(0).standard_normal(x.shape),
        lambda x, s: x.mean() + (1 - 0.4 * s) * (x - x.mean()),
        lambda x, s: x + 30 * s,
    ],
    ids=["blur", "noise", "contrast", "brightness"],
)
def test_random_space_sees_how_images_look(sets, harm) -> None:
    real = sets["fresh"].astype(np.float64)
    space = [RandomMultiscaleMap()]
    found = [measure(space, grey(harm(real, s)), sets)[0].synthetic for s in (0.0, 0.6, 1.2)]
    for name in ("fd", "kid"):
        assert in_order([one[name].value for one in found], rising=True), name
    assert in_order([one["coverage"].value for one in found], rising=False)
    for name in NAMES - {"fd", "kid"}:
        assert found[2][name].value < found[0][name].value, name
    assert found[2]["fd"].low > found[0]["fd"].high


def test_each_space_sees_foreign_images(sets, spaces, make_images) -> None:
    foreign, _ = make_images(80, 1, seed=10)
    found: list[list[SpaceFidelity]] = []
    for share in (0, 40, 80):
        mixed = np.concatenate([foreign[:share], sets["fresh"][share:]])
        found.append(measure(spaces, mixed, sets))
    for number in range(2):
        sides = [one[number].synthetic for one in found]
        for name in ("fd", "kid"):
            assert in_order([side[name].value for side in sides], rising=True), name
        for name in ("density", "coverage"):
            assert in_order([side[name].value for side in sides], rising=False), name
        # Half foreign, recall may rise: balls of scattered images are large.
        assert sides[2]["recall"].value < sides[0]["recall"].value - 0.1
        assert sides[2]["precision"].value < sides[0]["precision"].value


def test_each_space_sees_duplicates(sets, spaces) -> None:
    found = [measure(spaces, sets["fresh"][np.arange(80) % kept], sets) for kept in (80, 20, 8)]
    for number in range(2):
        sides = [one[number].synthetic for one in found]
        assert in_order([side["fd"].value for side in sides], rising=True)
        assert in_order([side["coverage"].value for side in sides], rising=False)
        assert sides[0]["recall"].value > sides[1]["recall"].value
        # What is there looks as real as before.
        assert sides[2]["precision"].value > 0.8 * sides[0]["precision"].value


def test_a_share_of_one_is_not_certain(sets) -> None:
    (found,) = measure([_Halves()], sets["reference"], sets)
    assert found.synthetic["coverage"].value == 1
    assert found.synthetic["coverage"].low < 0.98


def test_bad_input_is_refused_with_all_problems(sets) -> None:
    with pytest.raises(AuditInputError) as caught:
        measure(
            [_Halves()],
            sets["fresh"].astype(float),
            {**sets, "train_patients": ["a"], "reference": sets["reference"][:, :4]},
            resamples=1,
            neighbours=0,
        )
    text = str(caught.value)
    for part in ("synthetic: expected uint8", "train: 1 patients", "reference: images of 4x32"):
        assert part in text
    assert "resamples" in text
    assert "neighbours" in text
    with pytest.raises(AuditInputError, match="image sizes differ"):
        measure([_Halves()], sets["fresh"][:, :16], sets)


def test_too_few_images_or_patients_are_refused(sets) -> None:
    with pytest.raises(AuditInputError) as caught:
        measure(
            [_Halves()],
            sets["fresh"][:6],
            {**sets, "reference_patients": np.arange(100) // 20, "train_patients": [1] * 120},
        )
    text = str(caught.value)
    assert "synthetic: 6 images; 7 are needed" in text
    assert "1 patients" in text
    assert "reference: 5 patients" in text
    with pytest.raises(AuditInputError, match="0 images"):
        measure([_Halves()], sets["fresh"][:0], sets)


def test_no_space_gives_nothing(sets) -> None:
    assert measure([], sets["fresh"], sets) == []
