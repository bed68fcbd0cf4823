from __future__ import annotations

import numpy as np
import pytest

from audits.copies.channel import (
    CopyScores,
    best_of_patients,
    empty_scores,
    join_scores,
    rank_patients,
    same_picture,
)


def test_best_of_patients_agrees_with_a_naive_search() -> None:
    rng = np.random.default_rng(0)
    patients = np.sort(rng.integers(0, 30, 200))
    starts = np.flatnonzero(np.r_[True, patients[1:] != patients[:-1]])
    # Few values, so that ties abound.
    similarity = rng.integers(0, 50, (40, 200)).astype(np.float32)
    similarity[0] = -np.inf
    similarity[1, patients > 3] = -np.inf
    found = best_of_patients(similarity, starts, 6)
    for row in range(len(similarity)):
        best = sorted(
            (-float(similarity[row, patients == p].max()), int(p)) for p in np.unique(patients)
        )
        best = [pair for pair in best if pair[0] < np.inf][:6]
        values = [-value for value, _ in best]
        got = found[row][found[row] >= 0]
        assert similarity[row, got].tolist() == values
        assert len(np.unique(patients[got])) == len(got) == len(best)
    assert best_of_patients(similarity, starts, 500).shape == (40, len(starts))


def test_rank_patients_skips_the_same_picture_and_what_is_missing() -> None:
    inf = np.inf
    distances = np.array(
        [
            [0.3, 0.1, 0.9, 1.0],
            [0.10, 0.12, 0.9, 1.0],
            [0.0, 0.0, 0.0, 0.0],
            [inf, inf, inf, inf],
            [0.4, inf, inf, inf],
        ]
    )
    ratio, nearest, chosen = rank_patients(distances, same_picture(distances))
    # 0.3 lies within a third of 1.0: it shows the picture of 0.1.
    assert ratio.tolist() == pytest.approx([0.1 / 0.9, 0.1 / 0.9, 1.0, 1.0, 1.0])
    assert nearest.tolist() == [0.1, 0.1, 0.0, inf, 0.4]
    assert chosen.tolist() == [1, 0, 0, -1, 0]


@pytest.mark.parametrize("detailed", [False, True])
def test_scores_keep_what_a_channel_gives(detailed: bool) -> None:
    scores = join_scores([empty_scores(2, 3, detailed=detailed), empty_scores(1, 3, detailed=True)])
    assert len(scores) == 3
    assert (scores.tile is not None) == detailed
    part = scores.take(np.array([True, False, False]))
    assert isinstance(part, CopyScores)
    assert part.ratio.shape == (1, 3)
    assert (part.mirrored is None) != detailed
