from __future__ import annotations

import numpy as np
import pytest

from audits.channels import LIGHT
from audits.controls.planting import PLANTED_CLASSES, Donors
from audits.controls.recall import plant
from audits.copies.duplicates import find_duplicates
from audits.copies.framings import SCALES, CopyScores, build_reference, confirmed, score_copies


def _numbers(keys: list[str]) -> np.ndarray:
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _is_copy(scores: CopyScores, ratio: float = 0.5) -> np.ndarray:
    return confirmed(scores, (ratio,) * len(SCALES), 1.0).any(axis=1)


def test_light_copies_are_found_and_traced_to_their_patient(make_images) -> None:
    images, keys = make_images(60, seed=1)
    reference = build_reference(images, _numbers(keys))
    donors = Donors(images, _numbers(keys))
    for kind in PLANTED_CLASSES:
        if kind.name in LIGHT:
            copies = plant(donors, kind, 40, 1)
            scores = score_copies(copies.images, reference)
            assert _is_copy(scores).all(), kind.name
            assert (scores.row[:, 0] == copies.rows).all(), kind.name


def test_exact_copies_are_at_distance_zero_and_mirrored_ones_say_so(make_images) -> None:
    images, keys = make_images(20, seed=2)
    reference = build_reference(images, _numbers(keys))
    exact = score_copies(images[:5], reference)
    assert exact.distance.max() < 1e-5
    assert exact.ratio.max() < 1e-4
    assert exact.tile.max() < 1e-4
    assert not exact.mirrored.any()
    assert score_copies(images[:5, :, ::-1], reference).mirrored.all()


def test_independent_images_are_no_copies_even_when_smoother(make_images) -> None:
    from scipy.ndimage import gaussian_filter

    images, keys = make_images(150, seed=3)
    others, _ = make_images(150, seed=4)
    reference = build_reference(images, _numbers(keys))
    assert not _is_copy(score_copies(others, reference), 0.6).any()
    smooth = gaussian_filter(others.astype(float), (0, 2, 2)).astype(np.uint8)
    assert not _is_copy(score_copies(smooth, reference)).any()


def test_frames_of_one_loop_do_not_hide_a_copy(make_images) -> None:
    images, keys = make_images(30, seed=5)
    rng = np.random.default_rng(0)
    loop = np.clip(images[:1] + rng.normal(0, 2, (50, 32, 32)), 0, 255).astype(np.uint8)
    everything = np.concatenate([images, loop])
    numbers = _numbers(keys + keys[:1] * 50)
    (scores,) = [score_copies(loop[:1], build_reference(everything, numbers))]
    assert _is_copy(scores).all()
    # Had every frame counted as another patient, the next one would hide the copy.
    alone = np.arange(len(everything), dtype=np.int64)
    near = np.clip(loop[:1] + rng.normal(0, 2, (1, 32, 32)), 0, 255).astype(np.uint8)
    assert _is_copy(score_copies(near, build_reference(everything, numbers))).all()
    assert not _is_copy(score_copies(near, build_reference(everything, alone))).any()


@pytest.mark.parametrize("keys_of_one_image", [2, 3])
def test_a_picture_filed_under_several_patients_does_not_hide_its_copy(
    make_images, keys_of_one_image: int
) -> None:
    images, keys = make_images(40, seed=11)
    rng = np.random.default_rng(0)

    def like(image: np.ndarray) -> np.ndarray:
        return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)

    again = [like(images[3])[:, ::-1] for _ in range(keys_of_one_image - 1)]
    everything = np.concatenate([images, np.array(again)])
    numbers = np.arange(len(everything), dtype=np.int64)
    assert len(set(keys)) == len(images)
    scores = score_copies(like(images[3])[None], build_reference(everything, numbers))
    assert _is_copy(scores).all()
    assert scores.ratio.max() < 0.5


def test_own_patient_is_left_out(make_images) -> None:
    images, keys = make_images(30, 2, seed=6)
    numbers = _numbers(keys)
    scores = score_copies(images, build_reference(images, numbers), own=numbers)
    assert (scores.patient != numbers[:, None]).all()
    assert not _is_copy(scores).any()


def test_shards_do_not_change_a_byte(make_images) -> None:
    images, keys = make_images(40, seed=7, size=16)
    queries = np.concatenate([make_images(130, seed=8, size=16)[0], images[:10]])
    reference = build_reference(images, _numbers(keys))
    one = score_copies(queries, reference)
    many = score_copies(queries, reference, shards=2)
    for name in ("ratio", "distance", "row", "patient", "tile", "mirrored"):
        assert getattr(one, name).tobytes() == getattr(many, name).tobytes()


def test_extremes(make_images) -> None:
    images, keys = make_images(3, seed=9)
    reference = build_reference(images, _numbers(keys))
    none = build_reference(images[:0], np.empty(0, np.int64))
    assert len(score_copies(images[:0], reference)) == 0
    assert (score_copies(images, none).row == -1).all()
    assert not _is_copy(score_copies(images, none)).any()
    # One real patient: there is no next one to compare with.
    single = score_copies(images[:1], build_reference(images[:1], np.zeros(1, np.int64)))
    assert single.ratio.tolist() == [[1.0] * len(SCALES)]
    # All images alike, or flat: nobody stands out.
    same = np.repeat(images[:1], 4, axis=0)
    assert not _is_copy(score_copies(same, build_reference(same, np.arange(4)))).any()
    flat = np.full((4, 32, 32), 9, np.uint8)
    assert not _is_copy(score_copies(flat, build_reference(flat, np.arange(4)))).any()
    assert not _is_copy(score_copies(flat, reference)).any()


@pytest.mark.parametrize(
    ("family", "least"), [("rotation", 0.95), ("zoom", 0.9), ("shift", 0.9), ("crop", 0.9)]
)
def test_framings_of_the_orbit_are_found(make_images, family: str, least: float) -> None:
    images, keys = make_images(60, seed=13, size=48)
    reference = build_reference(images, _numbers(keys))
    donors = Donors(images, _numbers(keys))
    kinds = [kind for kind in PLANTED_CLASSES if kind.family == family and kind.severity <= 2]
    assert kinds
    copies = plant(donors, kinds[-1], 40, 1)
    scores = score_copies(copies.images, reference)
    right = scores.patient == copies.patients[:, :1]
    assert (confirmed(scores, (0.5,) * len(SCALES), 1.0) & right).any(axis=1).mean() >= least


def test_an_included_pair_takes_part_although_it_was_not_proposed(make_images) -> None:
    images, keys = make_images(40, seed=14)
    reference = build_reference(images, _numbers(keys))
    everything = score_copies(images[:6], reference, candidates=len(images))
    patients = reference.patients
    # The farthest patients, and the copied one once more under a framing that fits less.
    include = [
        (query, position, framing)
        for query in range(6)
        for position, framing in [(39, 0), (38, 11), (int((patients == query).argmax()), 3)]
        if query != 2
    ]
    added = score_copies(images[:6], reference, include=np.array(include, np.int64))
    plain = score_copies(images[:6], reference)
    assert (added.patient[:, 0] == plain.patient[:, 0]).all()
    assert added.ratio[2].tobytes() == plain.ratio[2].tobytes()
    assert np.allclose(added.distance, everything.distance)
    # Unlike all proposed patients, yet named: it is found.
    hidden = score_copies(images[:1], build_reference(images[1:], patients[1:]), candidates=2)
    assert 39 not in hidden.patient
    rest = build_reference(images[1:], patients[1:])
    far = np.array([[0, position, 0] for position in range(len(rest.rows))], np.int64)
    named = score_copies(images[:1], rest, candidates=2, include=far)
    full = score_copies(images[:1], rest, candidates=len(rest.rows))
    assert named.distance.min() <= full.distance.min() + 1e-6 or np.allclose(
        named.distance, full.distance
    )


def test_larger_images_are_reduced_first(make_images) -> None:
    images, keys = make_images(10, seed=10, size=96)
    scores = score_copies(images[:3], build_reference(images, _numbers(keys)))
    assert _is_copy(scores).all()


def test_duplicates_across_and_within_are_told_apart(make_images) -> None:
    train, train_keys = make_images(20, seed=11)
    control, control_keys = make_images(20, seed=12)
    control[3] = train[7]
    control[4] = np.clip(train[8].astype(int) + 3 * (np.indices((32, 32)).sum(axis=0) % 2), 0, 255)
    control[5] = np.clip(control[6].astype(int) + 2, 0, 255)
    numbers = _numbers(train_keys + [f"z{key}" for key in control_keys])
    reference = build_reference(np.concatenate([train, control]), numbers)
    scores = score_copies(control, reference, own=numbers[20:])
    found = find_duplicates(train, control, scores, 1 / 3, 1.0)
    assert [(hit.query, hit.reference) for hit in found.identical] == [(3, 7)]
    assert found.near == ((3, 7), (4, 8))
    assert found.within_control == ((5, 6), (6, 5))
    assert found.across == 2
