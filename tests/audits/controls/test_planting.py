from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import affine_transform, map_coordinates

from audits.controls.planting import PLANTED_CLASSES, Donors, PlantedClass, Planting
from audits.controls.planting.geometry import resample

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 40, 30), dtype=np.uint8)
BOXES = np.array(
    [[5.0, 8, 15, 20], [0, 0, 30, 40], [2, 2, 4, 4], [20, 30, 29, 39]] + [[1, 1, 9, 9]] * 2
)
NAMES = {kind.name: kind for kind in PLANTED_CLASSES}


def _renoise(rows: np.ndarray, strength: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, *rows])
    return (IMAGES[rows] * (1 - strength) + strength * rng.integers(0, 256, (1, 40, 30))).astype(
        np.uint8
    )


DONORS = Donors(IMAGES, np.array([0, 0, 1, 2, 3, 4]), BOXES, _renoise)


def _altered(
    name: str, images: np.ndarray = IMAGES, seed: int = 1, donors: Donors | None = None
) -> np.ndarray:
    n = len(images)
    donors = Donors(images, np.arange(n), BOXES, _renoise) if donors is None else donors
    rows = np.arange(n)
    partners = (rows + 2) % max(n, 1)
    rng = np.random.default_rng(seed)
    return NAMES[name].alter(Planting(images, rows, partners, donors, rng))


@pytest.mark.parametrize("kind", PLANTED_CLASSES, ids=lambda kind: kind.name)
def test_copies_keep_shape_and_type_and_follow_the_seed(kind: PlantedClass) -> None:
    before = IMAGES.tobytes()
    first, again = _altered(kind.name), _altered(kind.name)
    assert first.shape == IMAGES.shape
    assert first.dtype == np.uint8
    assert first.tobytes() == again.tobytes()
    assert IMAGES.tobytes() == before
    assert _altered(kind.name, IMAGES[:0]).shape == (0, 40, 30)
    if kind.name != "exact":
        assert (first != IMAGES).any(axis=(1, 2)).sum() >= 5


@pytest.mark.parametrize("side", [(8, 8), (8, 13), (13, 8)])
def test_the_smallest_images_are_altered_without_a_crash(side: tuple[int, int]) -> None:
    images = RNG.integers(0, 256, (2, *side), dtype=np.uint8)
    for kind in PLANTED_CLASSES:
        if "generator" not in kind.needs:
            assert _altered(kind.name, images).shape == images.shape


@pytest.mark.parametrize("black", [False, True])
def test_resampling_equals_the_slow_reference(black: bool) -> None:
    y, x = RNG.uniform(-5, 45, (6, 17, 13)), RNG.uniform(-5, 35, (6, 17, 13))
    want = [
        map_coordinates(
            image.astype(float), [a, b], order=1, mode="constant" if black else "nearest"
        )
        for image, a, b in zip(IMAGES, y, x, strict=True)
    ]
    got = resample(IMAGES, y, x, black=black)
    far = (y < -1) | (y > 40) | (x < -1) | (x > 30)
    inside = (y >= 0) & (y <= 39) & (x >= 0) & (x <= 29)
    compared = inside | far if black else np.ones_like(far)
    assert np.abs(got - np.array(want))[compared].max() <= 0.51
    assert (resample(IMAGES, y[0], x[0], black=black)[0] == got[0]).all()


def test_a_turn_goes_about_the_centre_by_the_stated_angle() -> None:
    image = np.clip(np.add.outer(np.arange(41.0) * 3, np.arange(41.0) * 2), 0, 255)
    images = np.repeat(image[None].astype(np.uint8), 4, axis=0)
    turned = _altered("rotation 10 degrees", images)
    for sign in (-1, 1):
        angle = np.deg2rad(10) * sign
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = np.array([20, 20]) - matrix @ [20, 20]
        want = affine_transform(image, matrix, offset, order=1, mode="nearest")
        assert (np.abs(turned - want).max(axis=(1, 2)) <= 0.51).any()


def test_a_shift_moves_by_the_stated_share() -> None:
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 50, 50] = 255
    moved = _altered("shift 8 %", image, seed=2)[0].astype(float)
    centre = np.array([(moved.sum(axis=1 - axis) * np.arange(100)).sum() for axis in (0, 1)])
    assert np.hypot(*(centre / moved.sum() - 50)) == pytest.approx(8, abs=0.2)


def test_a_crop_shows_a_part_of_the_image_only() -> None:
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :], 200, axis=0)[None]
    for seed in range(5):
        cut = _altered("crop to 0.7 of the side", ramp, seed)[0]
        assert np.ptp(cut.astype(int)) == pytest.approx(0.7 * 199, abs=1.5)


def test_a_fan_bent_and_unbent_shows_the_image_again() -> None:
    smooth = np.clip(128 + 100 * np.sin(np.add.outer(np.arange(80) / 9, np.arange(80) / 7)), 0, 255)
    images = smooth[None].astype(np.uint8)
    fan = _altered("sector of 40 degrees", images)
    assert (fan[0, -1, :5] == 0).all()
    assert (fan[0, 0, [0, -1]] == 0).all()
    back = NAMES["rectangle from 40 degrees"].alter(
        Planting(fan, np.arange(1), np.arange(1), DONORS, RNG)
    )
    inner = np.s_[0, 4:-4, 4:-4]
    assert np.abs(back[inner].astype(float) - images[inner]).mean() < 8


def test_noise_has_the_stated_power() -> None:
    images = np.clip(np.random.default_rng(0).normal(128, 20, (20, 64, 64)), 0, 255).astype(
        np.uint8
    )
    power = np.square(_altered("noise 10 dB", images).astype(float) - images).mean() / images.var()
    assert 10 * np.log10(1 / power) == pytest.approx(10, abs=0.2)


def test_speckle_has_the_stated_signal_to_noise() -> None:
    images = np.full((20, 64, 64), 100, np.uint8)
    values = _altered("speckle 8 looks", images).astype(float)
    assert values.mean() / values.std() == pytest.approx(np.sqrt(8), rel=0.03)


def test_a_narrower_dynamic_range_loses_the_dark_and_keeps_white() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, None], 8, axis=1)
    images = np.repeat(grey, 12, axis=0)
    shown = _altered("dynamic range 50 or 75 for 60 dB", images)[:, 0].astype(float)
    assert (shown[:, 255] == 255).all()
    # Black is 60 dB down: 60 of 75 dB leaves a fifth; 10 of 60 dB are lost below 50.
    assert set(shown[:, 0]) == {0.0, 51.0}
    narrow = shown[shown[:, 0] == 0][0]
    assert np.flatnonzero(narrow)[0] == pytest.approx(255 * 10 / 60, abs=1)


def test_an_overlay_leaves_most_of_the_image_alone_and_grows_with_severity() -> None:
    images = np.full((20, 64, 64), 60, np.uint8)
    shares = [
        (_altered(kind.name, images) != images).mean()
        for kind in PLANTED_CLASSES
        if kind.family == "overlay"
    ]
    assert shares == sorted(shares)
    assert 0.01 < shares[0] < shares[-1] < 0.3


def test_a_composite_holds_both_patients() -> None:
    other = np.roll(IMAGES, -2, axis=0)
    halves = _altered("left half beside another patient's right half")
    assert (halves[:, :, :15] == IMAGES[:, :, :15]).all()
    assert (halves[:, :, 15:] == other[:, :, 15:]).all()
    mixed = _altered("average of two patients 0.8 to 0.2")
    assert np.abs(mixed - (0.8 * IMAGES + 0.2 * other)).max() <= 0.51


@pytest.mark.parametrize("place", ["at its place", "elsewhere"])
def test_a_pasted_lesion_is_whole_and_the_rest_is_the_other_patient(place: str) -> None:
    images = np.stack([np.full((40, 30), 10, np.uint8), np.full((40, 30), 200, np.uint8)])
    images[0, 8:20, 5:15] = 90
    donors = Donors(images, np.arange(2), BOXES[[0, 0]])
    planting = Planting(images[:1], np.zeros(1, int), np.ones(1, int), donors, RNG)
    made = NAMES[f"lesion in another breast {place}"].alter(planting)[0]
    assert (made == 90).sum() == 120
    rows, columns = np.nonzero(made == 90)
    assert ((rows.min(), columns.min()) == (8, 5)) == (place == "at its place")
    far = np.ones((40, 30), bool)
    far[max(rows.min() - 4, 0) : rows.max() + 5, max(columns.min() - 4, 0) : columns.max() + 5] = (
        False
    )
    assert (made[far] == 200).all()


def test_the_generator_is_asked_for_the_rows_at_the_strength() -> None:
    asked = []

    def renoise(rows: np.ndarray, strength: float, seed: int) -> np.ndarray:
        asked.append((rows.tolist(), strength, seed))
        return IMAGES[rows]

    donors = Donors(IMAGES, DONORS.patients, None, renoise)
    rows = np.array([4, 1])
    kind = NAMES["noised and denoised by the generator at strength 0.3"]
    made = kind.alter(Planting(IMAGES[rows], rows, rows, donors, np.random.default_rng(5)))
    assert made.tobytes() == IMAGES[rows].tobytes()
    assert asked == [([4, 1], 0.3, int(np.random.default_rng(5).integers(2**31)))]
    wrong = Donors(IMAGES, DONORS.patients, None, lambda rows, strength, seed: IMAGES / 2)
    with pytest.raises(ValueError, match="expected uint8"):
        kind.alter(Planting(IMAGES[rows], rows, rows, wrong, RNG))


def test_names_are_unique_severities_rise_and_decisive_classes_exist() -> None:
    assert len(NAMES) == len(PLANTED_CLASSES)
    by_family: dict[str, list[float]] = {}
    for kind in PLANTED_CLASSES:
        by_family.setdefault(kind.family, []).append(kind.severity)
    for severities in by_family.values():
        assert severities == sorted(set(severities))
    decisive = [kind for kind in PLANTED_CLASSES if kind.decisive]
    assert {kind.family for kind in decisive} == {
        *("exact", "mirrored", "noise", "blur", "gain", "gamma", "depth gain"),
        *("dynamic range", "JPEG", "overlay"),
    }
    assert all(kind.severity == min(by_family[kind.family]) for kind in decisive)
