from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

from audits.copies.channel import CopyScores, confirmed
from audits.copies.nearest import build_nearest
from audits.features.base import FloatArray
from audits.features.pixels import pixel_features


class Pixels:
    name = "pixels 16"
    family = "pixels"

    def features(self, images: np.ndarray, *, mirrored: bool = False) -> FloatArray:
        return pixel_features(images, 16, mirrored=mirrored)

    def describe(self) -> Mapping[str, Any]:
        return {}


def _numbers(keys: list[str]) -> np.ndarray:
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _naive(
    queries: np.ndarray, real: np.ndarray, patients: np.ndarray, own: np.ndarray
) -> tuple[list[float], list[float], list[int]]:
    """First over second patient's distance, by loops in double precision."""
    vectors = Pixels().features(real).astype(np.float64)
    ratios, nearest, who = [], [], []
    for query, excluded in zip(queries, own, strict=True):
        table: dict[int, float] = {}
        for version in (False, True):
            vector = Pixels().features(query[None], mirrored=version)[0].astype(np.float64)
            for patient, other in zip(patients, vectors, strict=True):
                if patient != excluded:
                    distance = float(np.linalg.norm(vector - other))
                    table[int(patient)] = min(distance, table.get(int(patient), np.inf))
        ordered = sorted((d, p) for p, d in table.items())[:4]
        first, patient = ordered[0]
        far = [d for d, _ in ordered[1:] if d > ordered[-1][0] / 3]
        ratios.append(first / far[0])
        nearest.append(first)
        who.append(patient)
    return ratios, nearest, who


def test_it_agrees_with_loops_in_double_precision(make_images) -> None:
    real, keys = make_images(25, 3, seed=1, size=24)
    patients = _numbers(keys)
    shuffled = np.random.default_rng(0).permutation(len(real))
    real, patients = real[shuffled], patients[shuffled]
    fresh, _ = make_images(10, seed=2, size=24)
    noisy = np.clip(real[:5].astype(int) + 3, 0, 255).astype(np.uint8)[:, :, ::-1]
    queries = np.concatenate([fresh, noisy, real[:5]])
    own = np.r_[np.full(15, -1), patients[:5]]
    scores = build_nearest(Pixels(), real, patients).score(queries, own)
    ratios, nearest, who = _naive(queries, real, patients, own)
    assert scores.ratio[:, 0] == pytest.approx(ratios, abs=1e-6)
    assert scores.distance[:, 0] == pytest.approx(nearest, abs=1e-6)
    assert scores.patient[:, 0].tolist() == who
    assert (patients[scores.row[:, 0]] == scores.patient[:, 0]).all()
    assert scores.mirrored is not None
    assert scores.mirrored[10:15].all()


def _found(scores: CopyScores) -> np.ndarray:
    return confirmed(scores, (0.5,), 1.0).any(axis=1)


def test_extremes(make_images) -> None:
    real, keys = make_images(6, seed=3)
    channel = build_nearest(Pixels(), real, _numbers(keys))
    assert channel.columns == ("pixels 16",)
    exact = channel.score(real)
    assert exact.distance.max() == 0.0
    assert _found(exact).all()
    assert exact.mirrored is not None
    assert not exact.mirrored.any()
    assert not _found(channel.score(np.full((2, 32, 32), 9, np.uint8))).any()
    assert len(channel.score(real[:0])) == 0
    empty = build_nearest(Pixels(), real[:0], np.empty(0, np.int64))
    assert (empty.score(real).patient == -1).all()
    alone = build_nearest(Pixels(), real[:2], np.zeros(2, np.int64))
    assert alone.score(real).ratio.tolist() == [[1.0]] * 6
    assert (alone.score(real[:1], np.zeros(1, np.int64)).row == -1).all()
    same = np.repeat(real[:1], 5, axis=0)
    assert not _found(build_nearest(Pixels(), same, np.arange(5)).score(same)).any()


def test_shards_and_processes_do_not_change_a_byte(make_images) -> None:
    real, keys = make_images(30, seed=4, size=16)
    queries, _ = make_images(300, seed=5, size=16)
    one = build_nearest(Pixels(), real, _numbers(keys)).score(queries)
    with ProcessPoolExecutor(1) as executor:
        many = build_nearest(Pixels(), real, _numbers(keys), shards=2, executor=executor).score(
            queries
        )
    assert one.ratio.tobytes() == many.ratio.tobytes()
    assert one.row.tobytes() == many.row.tobytes()


@pytest.mark.parametrize("keys", [1, 3, 6])
def test_a_picture_filed_under_several_keys_is_still_a_copy(make_images, keys: int) -> None:
    real, _ = make_images(30, seed=5, size=24)
    many = np.concatenate([real, np.repeat(real[:1], keys - 1, axis=0)])
    channel = build_nearest(Pixels(), many, np.arange(len(many)))
    noisy = np.clip(real[:1].astype(int) + 2, 0, 255).astype(np.uint8)
    assert channel.score(noisy).ratio[0, 0] < 0.1
