from __future__ import annotations

import json
import pickle

import numpy as np
import numpy.typing as npt
import pytest

from privacy.guard.channels import EncoderChannel, PixelChannel, pixel_channels
from privacy.guard.errors import GuardInputError
from privacy.guard.framings import FRAMINGS, PLAIN, Framing, unit_vectors, views
from privacy.guard.neighbours import Reference
from privacy.guard.rejection import RejectionGuard, Threshold, expected_share

Images = npt.NDArray[np.uint8]


def pictures(n: int, seed: int, side: int = 32) -> Images:
    """Smooth random pictures, no two alike."""
    from scipy.ndimage import gaussian_filter

    fields = np.random.default_rng(seed).standard_normal((n, side, side))
    smooth = gaussian_filter(fields, (0, side / 12, side / 12))
    smooth = (smooth - smooth.mean((1, 2), keepdims=True)) / smooth.std((1, 2), keepdims=True)
    return np.clip(np.rint(120 + 40 * smooth), 0, 255).astype(np.uint8)


TRAIN, CONTROL, FRESH = pictures(60, 0), pictures(400, 1), pictures(400, 2)
PATIENTS = [f"p{i // 2}" for i in range(60)]
GUARD = RejectionGuard.fit(TRAIN, CONTROL, patients=PATIENTS)


def altered(how: str) -> Images:
    from scipy.ndimage import gaussian_filter, rotate

    images = TRAIN.astype(float)
    if how == "noise":
        images += np.random.default_rng(3).normal(0, 12, images.shape)
    elif how == "blur":
        images = gaussian_filter(images, (0, 1, 1))
    elif how == "mirror":
        images = images[:, :, ::-1]
    elif how == "shift":
        images = np.pad(images, ((0, 0), (0, 0), (1, 0)), mode="edge")[:, :, :-1]
    elif how == "turn":
        images = rotate(images, 5, (1, 2), reshape=False, order=1, mode="nearest")
    elif how == "contrast":
        images = 30 + 0.6 * images
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("how", ["exact", "noise", "blur", "mirror", "shift", "turn", "contrast"])
def test_near_copies_are_rejected(how: str) -> None:
    assert not GUARD.accept(altered(how)).any()


def test_unrelated_images_are_rejected_no_more_often_than_stated() -> None:
    expected = GUARD.describe()["expected_rejections"]
    assert expected <= 0.011
    # 400 images at a rate of 0.01: above 12 has a probability of less than 0.001.
    assert (~GUARD.accept(FRESH)).sum() <= 12


def test_entries_do_not_depend_on_the_batch() -> None:
    images = np.concatenate([altered("noise")[:5], FRESH[:130]])
    whole = GUARD.accept(images)
    single = np.concatenate([GUARD.accept(image[None]) for image in images[:20]])
    np.testing.assert_array_equal(whole[:20], single)
    np.testing.assert_array_equal(whole[::-1], GUARD.accept(images[::-1]))


def test_no_images_are_no_problem() -> None:
    assert GUARD.accept(FRESH[:0]).shape == (0,)


def test_a_copy_of_a_picture_filed_under_two_patients_is_rejected() -> None:
    train = np.concatenate([TRAIN, TRAIN[:1]])
    guard = RejectionGuard.fit(train, CONTROL, patients=[*PATIENTS, "other"])
    reference, (distance, ratio) = guard.references[0], guard.thresholds[0]
    found = reference.nearness(altered("noise")[:1])
    # The ratio is blind to it, so the distance is needed.
    assert found.ratio[0] >= ratio.value
    assert found.distance[0] < distance.value
    assert not guard.accept(altered("noise")[:1])[0]


def test_alike_images_of_a_patient_do_not_hide_a_copy_from_the_ratio() -> None:
    train = np.concatenate([TRAIN, altered("noise")])
    copy = altered("blur")[:1]
    together = RejectionGuard.fit(train, CONTROL, patients=PATIENTS * 2)
    apart = RejectionGuard.fit(train, CONTROL)
    hidden, seen = (guard.references[0].nearness(copy).ratio[0] for guard in (apart, together))
    assert seen < 0.25 < 0.35 < hidden


def test_order_of_training_images_does_not_matter() -> None:
    order = np.random.default_rng(4).permutation(len(TRAIN))
    again = RejectionGuard.fit(TRAIN[order], CONTROL, patients=[PATIENTS[i] for i in order])
    for one, two in zip(GUARD.thresholds, again.thresholds, strict=True):
        assert [t.value for t in one] == pytest.approx([t.value for t in two], rel=1e-12)


def test_a_duplicate_among_control_images_does_not_disarm_the_guard() -> None:
    control = np.concatenate([CONTROL, TRAIN[:2]])
    guard = RejectionGuard.fit(TRAIN, control, patients=PATIENTS)
    pixels = guard.describe()["channels"][0]
    assert pixels["distance"]["duplicates"] == pixels["ratio"]["duplicates"] == 2
    assert not guard.accept(altered("noise")).any()


def test_a_control_image_is_not_rejected_by_its_own_threshold() -> None:
    guard = RejectionGuard.fit(TRAIN, CONTROL[:20], patients=PATIENTS)
    assert guard.accept(CONTROL[:20]).all()


@pytest.mark.parametrize(("m", "alpha"), [(16, 0.01), (400, 0.01), (400, 0.3), (1, 0.01)])
def test_the_expected_share_is_known_from_the_number_of_control_images(
    m: int, alpha: float
) -> None:
    guard = RejectionGuard.fit(TRAIN, CONTROL[:m], patients=PATIENTS, alpha=alpha)
    assert guard.expected == pytest.approx(expected_share(m, alpha, (32, 32)))
    assert guard.describe()["expected_rejections"] == round(guard.expected, 4)
    assert guard.expected <= (1.0 if m < 400 else alpha)


def test_few_control_images_exceed_alpha() -> None:
    assert expected_share(16, 0.01, (32, 32)) == pytest.approx(4 / 17)


@pytest.mark.parametrize(
    ("m", "alpha", "rank"), [(99, 0.01, 1), (98, 0.01, 1), (199, 0.01, 2), (10, 0.01, 1)]
)
def test_rank_of_the_threshold(m: int, alpha: float, rank: int) -> None:
    values = np.random.default_rng(0).permutation(np.linspace(1, 2, m))
    threshold = Threshold.of(values, alpha)
    assert (threshold.rank, threshold.controls) == (rank, m)
    assert threshold.value == pytest.approx(np.sort(values)[rank - 1])
    assert threshold.expected == rank / (m + 1)


def test_threshold_holds_its_rate_on_exchangeable_values() -> None:
    rng = np.random.default_rng(5)
    below = [
        np.mean(rng.uniform(1, 2, 500) < Threshold.of(rng.uniform(1, 2, 119), 0.05).value)
        for _ in range(400)
    ]
    assert np.mean(below) == pytest.approx(0.05, abs=0.005)


def test_describe_is_plain_and_names_the_void_claim() -> None:
    found = GUARD.describe()
    assert json.loads(json.dumps(found)) == found
    assert found["voids"] == "formal-dp"
    assert "formal-dp claim is void" in found["note"]
    assert (found["train_images"], found["train_patients"]) == (60, 30)
    for channel in found["channels"]:
        for statistic in ("distance", "ratio"):
            value = channel[statistic]["threshold"]
            assert value == round(value, 2)


def test_digest_names_what_decides() -> None:
    assert RejectionGuard.fit(TRAIN, CONTROL, patients=PATIENTS).digest == GUARD.digest
    others = [
        RejectionGuard.fit(TRAIN[:-1], CONTROL, patients=PATIENTS[:-1]),
        RejectionGuard.fit(TRAIN, CONTROL[:-50], patients=PATIENTS, alpha=0.2),
        RejectionGuard.fit(TRAIN, CONTROL),
    ]
    assert len({GUARD.digest, *(guard.digest for guard in others)}) == 4


def test_workers_can_be_given_a_guard() -> None:
    again = pickle.loads(pickle.dumps(GUARD))
    assert again.digest == GUARD.digest
    np.testing.assert_array_equal(again.accept(FRESH[:10]), GUARD.accept(FRESH[:10]))


def column_means(images: Images) -> npt.NDArray[np.float64]:
    return images.mean(axis=1)


def test_an_encoder_of_the_user_is_a_channel() -> None:
    guard = RejectionGuard.fit(TRAIN, CONTROL, channels=[EncoderChannel("columns", column_means)])
    assert guard.describe()["channels"][0]["name"] == "columns"
    # Columns do not show which way up an image is.
    assert not guard.accept(TRAIN[:, ::-1]).any()
    assert not guard.accept(TRAIN[:, :, ::-1]).any()
    assert guard.accept(FRESH).mean() > 0.9


@pytest.mark.parametrize(
    "encode", [lambda images: images.mean(), lambda images: np.full((len(images), 3), np.nan)]
)
def test_an_encoder_that_returns_nonsense_is_refused(encode: object) -> None:
    with pytest.raises(GuardInputError, match=r"The encoder 'mine' must return finite numbers"):
        RejectionGuard.fit(TRAIN, CONTROL, channels=[EncoderChannel("mine", encode)])  # type: ignore[arg-type]


def test_bad_input_is_named_all_at_once() -> None:
    with pytest.raises(GuardInputError) as caught:
        RejectionGuard.fit(TRAIN, CONTROL[:, :16], patients=["a"], alpha=1.0, channels=[])
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    for part in ("32x32", "1 patients for 60 train images", "alpha=1.0", "channels"):
        assert part in text


@pytest.mark.parametrize(
    ("train", "control", "part"),
    [
        (TRAIN.astype(float), CONTROL, "train: expected uint8"),
        (TRAIN, CONTROL[0], "control: expected uint8"),
        (TRAIN, CONTROL[:0], "control: there are no images"),
        (TRAIN[:, :4], CONTROL[:, :4], "at least 8 pixels"),
    ],
)
def test_unusable_arrays_are_refused(train: Images, control: Images, part: str) -> None:
    with pytest.raises(GuardInputError, match=part):
        RejectionGuard.fit(train, control)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(GuardInputError, match=r"takes uint8 images \(n, 32, 32\)"):
        GUARD.accept(FRESH[:, :16])


def test_one_training_patient_leaves_the_distance() -> None:
    guard = RejectionGuard.fit(TRAIN[:1], CONTROL)
    assert not guard.accept(TRAIN[:1])[0]
    assert guard.accept(FRESH).mean() > 0.9


def test_flat_images_match_flat_images_only() -> None:
    flat = np.full((1, 32, 32), 90, np.uint8)
    assert GUARD.accept(flat)[0]
    train = np.concatenate([TRAIN, flat])
    assert not RejectionGuard.fit(train, CONTROL).accept(flat + np.uint8(9))[0]


def test_views_average_cells() -> None:
    images = np.arange(2 * 16 * 16, dtype=np.uint8).reshape(2, 16, 16)
    wanted = images.reshape(2, 8, 2, 8, 2).mean(axis=(2, 4)).reshape(2, 64)
    np.testing.assert_allclose(views(images, 8), wanted)
    np.testing.assert_allclose(
        views(images, 8, Framing(mirrored=True)), views(images[:, :, ::-1], 8)
    )


def test_views_shift_by_whole_cells() -> None:
    images = pictures(2, 6)
    moved = np.roll(images, (-2, 2), axis=(1, 2))
    found = views(images, 16, Framing(down=1, right=-1)).reshape(2, 16, 16)
    wanted = views(moved, 16).reshape(2, 16, 16)
    np.testing.assert_allclose(found[:, :-1, 1:], wanted[:, :-1, 1:])


def test_framings_are_distinct_and_include_the_image_itself() -> None:
    assert len(set(FRAMINGS)) == len(FRAMINGS) == 30
    assert PLAIN in FRAMINGS


def test_unit_vectors_drop_brightness_and_contrast() -> None:
    values = views(pictures(3, 7), 16)
    np.testing.assert_allclose(unit_vectors(values), unit_vectors(10 + 0.3 * values), atol=1e-12)
    assert not unit_vectors(np.full((1, 9), 5.0)).any()


def test_small_images_get_channels_they_have_pixels_for() -> None:
    assert pixel_channels(64, 48) == (PixelChannel(16), PixelChannel(32))
    assert pixel_channels(16, 64) == (PixelChannel(16),)
    assert pixel_channels(12, 12) == (PixelChannel(12),)


def test_nearness_agrees_with_all_pairs() -> None:
    channel = PixelChannel(16)
    starts = np.array([0, 10, 15])
    reference = Reference(channel, channel.vectors(TRAIN[:20]), starts)
    found = reference.nearness(FRESH[:3])
    for i, image in enumerate(FRESH[:3]):
        distances = np.array(
            [
                np.linalg.norm(view - reference.vectors, axis=1)
                for view in channel.views(image[None])
            ]
        ).min(axis=0)
        each = sorted(part.min() for part in np.split(distances, starts[1:]))
        assert found.distance[i] == pytest.approx(each[0])
        assert found.ratio[i] == pytest.approx(each[0] / each[1])
