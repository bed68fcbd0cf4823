from __future__ import annotations

import numpy as np
import pytest

from audits.controls.planting import PLANTED_CLASSES, Donors
from audits.controls.recall import class_recalls, demonstrate_recall, plant
from audits.copies.channel import CopyScores
from audits.copies.framings import build_reference, score_copies
from audits.settings import AuditSettings
from audits.statistics.intervals import clopper_pearson_lower

SETTINGS = AuditSettings(planted=20)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 40, 30), dtype=np.uint8)
NAMES = {kind.name: kind for kind in PLANTED_CLASSES}
PASTED = NAMES["lesion in another breast at its place"]


def _names(patients: np.ndarray) -> CopyScores:
    """A channel of one scale that names these patients, at the nearest."""
    n = len(patients)
    zeros, named = np.zeros((n, 1)), patients.reshape(n, 1)
    return CopyScores(zeros, zeros, named, named, np.zeros(n), np.zeros(n, np.bool_))


def test_as_many_patients_as_possible_are_planted_and_flat_images_left_out() -> None:
    images = np.concatenate([IMAGES, np.full((1, 40, 30), 5, np.uint8)])
    donors = Donors(images, np.array([0, 0, 0, 1, 1, 2, 3]))
    made = plant(donors, NAMES["exact"], 3, seed=0)
    assert sorted(donors.patients[made.rows].tolist()) == [0, 1, 2]
    assert made.images.tobytes() == images[made.rows].tobytes()
    assert made.patients[:, 0].tolist() == donors.patients[made.rows].tolist()
    assert (made.patients[:, 1] == -1).all()
    assert len(plant(donors, NAMES["exact"], 300, seed=0).rows) == 6


def test_only_images_with_a_lesion_give_one() -> None:
    boxes = np.array(
        [[5.0, 5, 5, 9], [np.nan] * 4, [2, 2, 9, 9], [3, 3, 8, 8]] + [[np.nan] * 4] * 2
    )
    donors = Donors(IMAGES, np.arange(6), boxes)
    assert sorted(plant(donors, PASTED, 300, seed=0).rows.tolist()) == [2, 3]


@pytest.mark.parametrize(
    ("name", "donors", "reason"),
    [
        (PASTED.name, Donors(IMAGES, np.arange(6)), "box"),
        (PASTED.name, Donors(IMAGES, np.arange(6), np.full((6, 4), np.nan)), "box"),
        (PASTED.name, Donors(IMAGES, np.zeros(6, int), np.tile([2.0, 2, 9, 9], (6, 1))), "second"),
        ("average of two patients 0.8 to 0.2", Donors(IMAGES, np.zeros(6, int)), "second"),
        (
            "noised and denoised by the generator at strength 0.1",
            Donors(IMAGES, np.arange(6)),
            "gen",
        ),
        ("exact", Donors(IMAGES[:0], np.arange(0)), "no training image"),
        ("exact", Donors(np.zeros_like(IMAGES), np.arange(6)), "no training image"),
    ],
)
def test_what_cannot_be_planted_says_why(name: str, donors: Donors, reason: str) -> None:
    made = plant(donors, NAMES[name], 300, seed=0)
    assert made.images.shape == (0, 40, 30)
    assert made.patients.shape == (0, 2)
    assert made.reason is not None
    assert reason in made.reason


def test_partners_are_other_patients_each_as_likely() -> None:
    images = np.repeat(IMAGES, 200, axis=0)
    patients = np.repeat([5, 5, 7, 1, 1, 9], 200)
    made = plant(
        Donors(images, patients), NAMES["average of two patients 0.8 to 0.2"], 1200, seed=3
    )
    own, other = made.patients.T
    assert (own != other).all()
    of_seven = np.bincount(other[own == 7], minlength=10) / 200
    assert of_seven[[5, 1, 9]] == pytest.approx([0.4, 0.4, 0.2], abs=0.12)


def test_a_search_must_name_a_patient_who_is_in_the_picture() -> None:
    donors = Donors(IMAGES, np.arange(6), np.tile([2.0, 2, 9, 9], (6, 1)))
    for kind, partner_counts in ((NAMES["average of two patients 0.8 to 0.2"], 6), (PASTED, 0)):
        made = plant(donors, kind, 300, SETTINGS.seed)
        want = plant(donors, NAMES["average of two patients 0.8 to 0.2"], 300, SETTINGS.seed)
        partners = want.patients[:, 1] if kind is not PASTED else (made.patients[:, 0] + 1) % 6
        answers = {
            "own": made.patients[:, 0],
            "partner": partners,
            "nobody": np.full(6, -1),
            "wrong": np.full(6, 99),
        }
        (hits,) = demonstrate_recall(
            donors,
            {name: lambda q, who=who: _names(who) for name, who in answers.items()},
            dict.fromkeys(answers, (0.5,)),
            SETTINGS,
            classes=[kind],
        )
        counts = {name: int(found.sum()) for name, found in hits.found.items()}
        assert counts == {"own": 6, "partner": partner_counts, "nobody": 0, "wrong": 0}


def test_only_admitted_channels_count_and_each_class_is_made_once() -> None:
    donors = Donors(IMAGES, np.arange(6))
    kinds = [NAMES["exact"], NAMES["upside down"]]
    calls: list[str] = []
    right = {kind.name: plant(donors, kind, 300, SETTINGS.seed).patients[:, 0] for kind in kinds}

    def channel(first: int, last: int):
        def score(copies: np.ndarray) -> CopyScores:
            name = kinds[len(calls) // 2].name
            calls.append(name)
            who = np.full(6, -1)
            who[first:last] = right[name][first:last]
            return _names(who)

        return score

    told: list[str] = []
    hits = demonstrate_recall(
        donors,
        {"a": channel(0, 2), "b": channel(1, 5)},
        {"a": (0.5,), "b": (0.5,)},
        SETTINGS,
        classes=kinds,
        advance=told.append,
    )
    assert calls == ["exact", "exact", "upside down", "upside down"]
    assert told == ["exact", "upside down"]
    for admitted, found in ((("a", "b"), 5), (("a",), 2), (("b",), 4), ((), 0)):
        for recall in class_recalls(hits, admitted, SETTINGS):
            assert (recall.planted, recall.found) == (6, found)
            assert recall.recall == pytest.approx(found / 6)
            assert recall.lower == clopper_pearson_lower(found, 6, SETTINGS.confidence)
            assert recall.by_channel == {"a": 2, "b": 4}
            assert (recall.passed is None) == (recall.name == "upside down")


def test_recall_is_lost_when_the_threshold_is(make_images) -> None:
    images, keys = make_images(25, seed=20)
    donors = Donors(images, np.unique(keys, return_inverse=True)[1])
    reference = build_reference(images, donors.patients)
    kinds = [NAMES["exact"], NAMES["noise 20 dB"]]

    def found(threshold: float) -> list[int]:
        hits = demonstrate_recall(
            donors,
            {"pixels": lambda queries: score_copies(queries, reference)},
            {"pixels": (threshold,) * 3},
            SETTINGS,
            classes=kinds,
        )
        return [recall.found for recall in class_recalls(hits, {"pixels"}, SETTINGS)]

    assert found(0.5) == [20, 20]
    assert found(1e-3) == [20, 0]


def test_nothing_to_plant_is_no_recall() -> None:
    donors = Donors(np.empty((0, 16, 16), np.uint8), np.empty(0, np.int64))
    hits = demonstrate_recall(
        donors, {"a": lambda q: _names(np.empty(0, np.int64))}, {"a": (0.5,)}, SETTINGS
    )
    recalls = class_recalls(hits, {"a"}, SETTINGS)
    assert {recall.planted for recall in recalls} == {0}
    assert all(recall.reason for recall in recalls)
    assert all(recall.passed is False for recall in recalls if recall.decisive)
