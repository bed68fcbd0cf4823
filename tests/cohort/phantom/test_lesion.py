from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np

from bussynth.cohort.phantom.lesion import Lesion, draw_birads, draw_lesion, neighbouring_plane

N = 500


@cache
def lesions(malignant: bool) -> tuple[Lesion, ...]:
    rng = np.random.default_rng(int(malignant))
    return tuple(draw_lesion(rng, malignant=malignant) for _ in range(N))


def share_above(name: str, malignant: bool) -> float:
    """Chance that a lesion of one class exceeds one of the other: the area under the ROC."""
    here = np.array([getattr(item, name) for item in lesions(malignant)])
    there = np.array([getattr(item, name) for item in lesions(not malignant)])
    return float((here[:, None] > there[None]).mean() + 0.5 * (here[:, None] == there).mean())


def roughness(item: Lesion) -> float:
    return float(np.abs(np.diff(item.outline)).mean())


def test_malignant_lesions_are_taller_rougher_and_darker_but_overlap() -> None:
    taller = [
        np.mean([item.height_mm > item.width_mm for item in lesions(malignant)])
        for malignant in (False, True)
    ]
    assert taller[0] < 0.06
    assert 0.10 < taller[1] < 0.40
    rough = [
        np.median([roughness(item) for item in lesions(malignant)]) for malignant in (False, True)
    ]
    assert rough[1] > 2.0 * rough[0]
    solid = [
        np.median([item.echo_db for item in lesions(malignant) if not item.cystic])
        for malignant in (False, True)
    ]
    assert solid[1] < solid[0] - 3.0
    for name in ("halo_db", "attenuation", "margin_mm"):
        assert 0.65 < share_above(name, malignant=True) < 0.95
    # Phi(2.2 / sqrt 2): what a reader of the hidden score itself could reach.
    assert abs(share_above("suspicion", malignant=True) - 0.940) < 0.02


def test_cysts_are_mostly_benign_anechoic_and_enhance() -> None:
    cysts = [[item for item in lesions(malignant) if item.cystic] for malignant in (False, True)]
    assert 0.15 * N < len(cysts[0]) < 0.45 * N
    assert len(cysts[1]) < 0.08 * N
    assert all(item.attenuation < -0.4 and item.echo_db < -18.0 for item in cysts[0])


def test_birads_follows_pathology() -> None:
    rng = np.random.default_rng(5)
    seen = {
        malignant: Counter(
            draw_birads(rng, item.suspicion, malignant=malignant) for item in lesions(malignant)
        )
        for malignant in (False, True)
    }
    assert set(seen[False]) == {"2", "3", "4"}
    assert set(seen[True]) == {"4", "5"}
    assert min(seen[False].values()) > 0.05 * N
    assert min(seen[True].values()) > 0.1 * N


def test_distance_is_negative_inside_and_close_to_millimetres() -> None:
    item = lesions(False)[0]
    circle = Lesion(
        **{
            **{name: getattr(item, name) for name in Lesion.__dataclass_fields__},
            "width_mm": 10.0,
            "height_mm": 10.0,
            "outline": np.ones(256, np.float32),
        }
    )
    x = np.array([0.0, 2.0, 5.0, 8.0], np.float32)
    distance = circle.distance(np.zeros(4, np.float32), x)
    np.testing.assert_allclose(distance, [-5.0, -3.0, 0.0, 3.0], atol=0.01)
    np.testing.assert_allclose(circle.extent_mm(), (5.0, 5.0), rtol=1e-3)


def test_extent_bounds_the_outline() -> None:
    grid = np.linspace(-30.0, 30.0, 241, dtype=np.float32)
    for item in lesions(True)[:30]:
        inside = item.distance(grid[:, None], grid[None, :]) < 0.0
        depth, lateral = item.extent_mm()
        assert np.abs(grid[inside.any(axis=1)]).max() <= depth + 0.26
        assert np.abs(grid[inside.any(axis=0)]).max() <= lateral + 0.26


def test_another_plane_shows_the_same_lesion() -> None:
    rng = np.random.default_rng(9)
    for first, stranger in zip(lesions(True)[:40], lesions(True)[40:80], strict=True):
        second = neighbouring_plane(first, rng)
        assert second.cystic == first.cystic
        assert abs(second.echo_db - first.echo_db) < 5.0
        assert 0.7 < second.width_mm / first.width_mm < 1.2
        assert not np.array_equal(second.outline, first.outline)
        assert not np.array_equal(second.outline, stranger.outline)
