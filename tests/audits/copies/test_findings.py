from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from audits.copies.channel import CopyScores, empty_scores, rank_patients, same_picture
from audits.copies.findings import (
    ChannelCopies,
    CopyFindings,
    Thresholds,
    admitted,
    calibrate,
    combine,
    count_copies,
    examine,
    excess_probability,
)
from audits.features.pixels import pixel_features
from audits.images import Patients
from audits.settings import AuditSettings

SETTINGS = AuditSettings()
PATIENTS = Patients(np.arange(20), np.arange(20) < 10, np.zeros(20, np.int64), True)


def _scores(ratios: list[list[float]], patients: list[int], distance: float = 0.5) -> CopyScores:
    ratio = np.array(ratios, np.float64).reshape(len(patients), -1)
    patient = np.repeat(np.array(patients, np.int64)[:, None], ratio.shape[1], axis=1)
    return CopyScores(ratio, np.full(ratio.shape, distance), patient, patient)


def _power_law(n: int, power: float, seed: int = 0) -> CopyScores:
    ratios = np.random.default_rng(seed).random((n, 1)) ** (1 / power)
    return _scores(ratios.tolist(), [0] * n)


def _calibrated(control: CopyScores) -> Thresholds:
    return calibrate(control, np.zeros(len(control), np.bool_), SETTINGS)


def test_each_column_has_its_own_threshold() -> None:
    found = _calibrated(_scores([[0.4, 0.9], [0.8, 0.7], [0.9, 0.95]], [0, 1, 2]))
    assert found.ratios == pytest.approx((0.36, 0.5))
    assert found.smallest == (0.4, 0.7)
    assert found.tightened
    far = _calibrated(_scores([[0.1, 0.1]], [0], distance=1.2))
    assert far.ratios == (0.5, 0.5)
    assert not far.tightened
    none = _calibrated(empty_scores(0, 2))
    assert none.ratios == (0.5, 0.5)
    assert none.chance_below(0.1, 0) is None


def test_the_bound_of_the_tail_covers_a_power_law() -> None:
    wrong = 0
    for seed in range(200):
        found = _calibrated(_power_law(300, 8.0, seed))
        chances = [found.chance_below(x, 0) for x in (0.5, 0.1)]
        wrong += any(c is None or c < x**8 for c, x in zip(chances, (0.5, 0.1), strict=True))
        # Never below the share of control images seen there; never absurdly loose.
        assert chances[0] is not None
        assert chances[0] < 0.1
    assert wrong <= binom.ppf(0.999, 200, 0.02)


@pytest.mark.parametrize("ratios", [[1.0] * 50, [0.7] * 50, [0.0] * 50])
def test_control_ratios_without_a_tail_leave_nothing_beyond_doubt(ratios: list[float]) -> None:
    found = _calibrated(_scores([[r] for r in ratios], [0] * len(ratios)))
    assert found.chance_below(0.01, 0) == 1.0
    assert _calibrated(_scores([[0.5], [0.6]], [0, 1])).chance_below(0.01, 0) is None


def test_one_clear_copy_is_beyond_doubt_and_a_near_miss_is_not() -> None:
    thresholds = _calibrated(_power_law(300, 15.0))
    sound = _power_law(1000, 15.0, 1)

    def findings(ratio: float, patient: int) -> CopyFindings:
        sound.ratio[0], sound.patient[0] = ratio, patient
        return count_copies(sound, PATIENTS, thresholds, SETTINGS)[0]

    assert findings(0.05, 3).above_control(0.05)
    assert findings(0.05, 3).beyond_doubt
    near = findings(0.95 * thresholds.ratios[0], 3)
    assert near.train_images >= 1
    assert not near.above_control(0.05)
    # A control patient cannot have been copied.
    assert not findings(0.05, 13).above_control(0.05)
    # Of two clear ones, one on a control patient: nearness proves nothing here.
    sound.ratio[1], sound.patient[1] = 0.05, 14
    assert not findings(0.05, 3).above_control(0.05)
    # A false alarm at the threshold does not spoil a clear copy.
    sound.ratio[1] = 0.95 * thresholds.ratios[0]
    found = findings(0.05, 3)
    assert found.control_images == 1
    assert found.above_control(0.05)


def test_without_control_images_the_rule_of_one_third_decides() -> None:
    thresholds = _calibrated(empty_scores(0, 1))
    assert count_copies(_scores([[0.3]], [2]), PATIENTS, thresholds, SETTINGS)[0].above_control(
        0.05
    )
    near, column = count_copies(_scores([[0.4], [0.9]], [2, 3]), PATIENTS, thresholds, SETTINGS)
    assert not near.above_control(0.05)
    assert column.tolist() == [0, -1]


def test_excess_is_the_probability_under_relabelling_within_strata() -> None:
    one = excess_probability(PATIENTS, np.arange(4), np.array([12]))
    assert one == pytest.approx(hypergeom.sf(3, 20, 10, 5))
    assert excess_probability(PATIENTS, np.arange(0), np.arange(0)) == 1.0
    # Two small strata: count every assignment of the lottery.
    strata = Patients(
        np.arange(6), np.array([1, 1, 0, 1, 0, 0], bool), np.array([0, 0, 0, 1, 1, 1]), True
    )
    hit = [0, 1, 3]
    labels = [
        (*first, *second)
        for first in product([0, 1], repeat=3)
        for second in product([0, 1], repeat=3)
        if sum(first) == 2 and sum(second) == 1
    ]
    expected = np.mean([sum(label[p] for p in hit) >= 3 for label in labels])
    assert excess_probability(strata, np.array(hit), np.arange(0)) == pytest.approx(expected)


def test_a_channel_that_misses_light_copies_is_not_admitted() -> None:
    assert admitted({"exact": 0.99, "noise": 0.97}, 0.95) == (True, ())
    passed, reasons = admitted({"exact": 0.99, "noise": 0.62}, 0.95)
    assert not passed
    assert len(reasons) == 1
    assert "'noise'" in reasons[0]
    assert admitted({}, 0.95)[0] is False


def _channel(scores: CopyScores, *, admit: bool = True) -> ChannelCopies:
    return examine(
        "c", ("x",), scores, PATIENTS, _calibrated(empty_scores(0, 1)), SETTINGS,
        channels=2, verdict=(admit, ()),
    )  # fmt: skip


def test_an_image_and_a_patient_count_once_over_channels() -> None:
    first = _channel(_scores([[0.1], [0.9], [0.4], [0.9]], [0, 1, 12, 3]))
    second = _channel(_scores([[0.2], [0.4], [0.4], [0.4]], [0, 1, 2, 13]))
    both = combine([first, second], PATIENTS, 4)
    assert (both.train_images, both.train_patients) == (3, 3)
    # Image 2 copies a train patient in the second channel; image 3 is a false alarm.
    assert (both.control_images, both.control_patients) == (1, 2)
    assert both.above_control(0.05)
    smallest = min(first.findings.excess_p, second.findings.excess_p)
    assert both.excess_p == pytest.approx(min(1.0, 2 * smallest / 0.9))
    # A channel that misses planted copies may still not find what is not there.
    weak = combine([_channel(first.scores, admit=False)], PATIENTS, 4)
    assert weak.train_images == first.findings.train_images > 0
    assert combine([], PATIENTS, 4).excess_p == 1.0


_CELLS = (3, 4, 6)


def _score_table(table: np.ndarray, patients: np.ndarray, own: np.ndarray | None) -> CopyScores:
    """Scores of queries from their distances to one image of each patient."""
    if own is not None:
        table = np.where(own[:, None] == patients[None, :], np.inf, table)
    nearest = np.argsort(table, axis=1, kind="stable")[:, :4]
    distances = np.take_along_axis(table, nearest, 1)
    ratio, distance, chosen = rank_patients(distances, same_picture(distances))
    patient = patients[nearest[np.arange(len(table)), chosen]]
    return CopyScores(ratio[:, None], distance[:, None], patient[:, None], patient[:, None])


def test_nothing_copied_seldom_fails_in_any_of_several_channels(make_images) -> None:
    images, _ = make_images(500, seed=1, size=24)
    features = [pixel_features(images, cells).astype(np.float64) for cells in _CELLS]
    tables = [np.sqrt(np.maximum(2 - 2 * f @ f.T, 0)) for f in features]
    rng = np.random.default_rng(0)
    simulations, fired, declared, hits = 300, 0, 0, 0
    for _ in range(simulations):
        order = rng.permutation(500)
        real, fresh = order[:90], order[90:390]
        patients = Patients(np.arange(90), np.arange(90) < 60, rng.integers(0, 3, 90), True)
        channels = []
        for table in tables:
            posing = _score_table(table[np.ix_(real[60:], real)], np.arange(90), np.arange(60, 90))
            scores = _score_table(table[np.ix_(fresh, real)], np.arange(90), None)
            channels.append(
                examine("c", ("x",), scores, patients, _calibrated(posing), SETTINGS, channels=3)
            )
        both = combine(channels, patients, len(fresh))
        hits += both.train_images > 0
        fired += both.above_control(SETTINGS.alpha)
        # What a less sceptical rule would do: trust any hit that no control patient matches.
        declared += both.train_images > 0 and not both.control_images
    assert fired <= binom.ppf(0.999, simulations, SETTINGS.alpha)
    # The test can fail: hits are common, and simpler rules fire more often.
    assert hits > 0.5 * simulations
    assert declared > binom.ppf(0.999, simulations, SETTINGS.alpha)


def test_a_clear_hit_on_a_control_patient_spoils_every_channel() -> None:
    copied = _channel(_scores([[0.1], [0.9]], [0, 1]))
    spoilt = _channel(_scores([[0.9], [0.1]], [0, 12]))
    assert combine([copied], PATIENTS, 2).certain
    assert not combine([copied, spoilt], PATIENTS, 2).certain


@pytest.mark.parametrize("rare", [3.0, 5.0])
def test_where_a_few_places_have_a_small_dimension_hits_beyond_doubt_stay_rare(rare: float) -> None:
    rng = np.random.default_rng(0)

    def ratios(n: int) -> np.ndarray:
        power = np.where(rng.random((n, 1)) < 0.05, rare, 10.0)
        return rng.random((n, 1)) ** (1 / power)

    simulations, wrong = 200, 0
    for _ in range(simulations):
        thresholds = _calibrated(_scores(ratios(500).tolist(), [0] * 500))
        sound = _scores(ratios(2000).tolist(), [3] * 2000)
        found = examine("c", ("x",), sound, PATIENTS, thresholds, SETTINGS, channels=8)
        wrong += found.findings.beyond_doubt
    assert wrong <= binom.ppf(0.999, simulations, 0.01)
