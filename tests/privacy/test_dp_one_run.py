"""The audit in one run: canaries put the claim of the ledger to the test.

No attack proves a guarantee, but one can refute a false one. So the pair counts: the bound found on
the training as it is stays below what the ledger claims, and with a part of it broken does not.

A rough instrument: benchmarks/dp_one_run.py tells how much less noise than claimed it notices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from audits.comparisons.dp_bound import EpsilonBound, one_run_bound
from audits.images import Patients
from privacy.dp import clipping, training
from privacy.dp.accounting import Spent
from privacy.dp.canaries import one_run
from privacy.dp.clipping import PatientSum
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.plan import DPPlan

CANARIES = 2000
NOISE = 1.8  # an epsilon of 4.4
# Shares of the canaries that are guessed, half of them in and half out. Four fifths leave room for
# coins that fall unevenly (too little with a chance of 1 in 10^18); all right, they give a bound of
# 6.0, so only a claim below that can be refuted. One fifth finds the most where there is noise.
FRACTIONS = (0.8, 0.2)


def audit(path: Path, noise_multiplier: float) -> tuple[EpsilonBound, Spent]:
    """The lower bound at 95 %, and what the ledger claims."""
    plan = DPPlan(
        sampling_rate=0.2,
        expected_patients=0.2 * CANARIES / 2,
        steps=60,  # a canary is never drawn with a chance of 2 in 10^6
        noise_multiplier=noise_multiplier,
        clip_norm=0.5,
        images_per_patient=2,
        noise_multiplicity=4,
    )
    cap = Cap(epsilon=20.0, delta=1e-5, patients=CANARIES)
    ledger = Ledger.create(path / "ledger.sqlite", subject="canaries", cap=cap)
    included, scores = one_run(plan, ledger, canaries=CANARIES)
    assert ledger.registered()[0].taken == plan.steps
    coins = Patients(np.arange(CANARIES), included, np.zeros(CANARIES, np.int64), known=True)
    bound = one_run_bound(
        {"weights": scores},
        coins,
        delta=cap.delta,
        confidence=0.95,
        rng=np.random.default_rng(),
        fractions=FRACTIONS,
        independent=True,
    )
    return bound, ledger.spent()


def refuted(bound: EpsilonBound, claim: Spent) -> bool:
    return bound.contradicts(
        claim.epsilon, delta=claim.delta, unit="patient", adjacency="add-remove"
    )


# No seed makes these runs repeatable: the randomness is secret. Chances of a false alarm:
# - Refuted though all is well: the theorem allows 1 in 20, of a training that leaks the worst that
#   (epsilon, delta) permits. Gaussian noise leaks less. Given the scores, guesses are right
#   independently and with known chances; it would take 400 of 400 (336 are expected) or 1590 of
#   1600 (1131): below 1 in 10^20. With more confidence instead, delta times the number of canaries
#   would outweigh everything, and no claim could be refuted.
# - Bounds of 1.4 and, at half the noise, 3.3 are expected; less than half: below 1 in 10^8.
# At half the noise the claim, 13.4, is beyond any bound, and only what is found says something.
@pytest.mark.parametrize(("noise_multiplier", "least"), [(NOISE, 0.6), (NOISE / 2, 1.5)])
def test_the_claim_withstands_an_audit_that_finds_what_leaks(
    noise_multiplier: float, least: float, tmp_path: Path
) -> None:
    bound, claim = audit(tmp_path, noise_multiplier)
    assert bound.epsilon_add_remove is not None
    assert bound.epsilon_add_remove > least
    assert not refuted(bound, claim), (bound, claim)


def no_noise(patch: pytest.MonkeyPatch) -> None:
    """Sums are released as they are."""
    patch.setattr(clipping, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))


def no_clipping(patch: pytest.MonkeyPatch) -> None:
    """A patient adds what it likes, and the noise is for the clipping norm."""
    patch.setattr(training, "PatientSum", lambda p, clip_norm: Unclipped(p, clip_norm))


class Unclipped(PatientSum):
    def add(self, gradients: Sequence[torch.Tensor | None]) -> None:
        self._clip_norm, kept = 1e9, self._clip_norm
        super().add(gradients)
        self._clip_norm = kept


def draw_everybody(patch: pytest.MonkeyPatch) -> None:
    """The ledger counts on patients missing most steps, and they miss none."""
    patch.setattr(training, "poisson_sample", lambda population, rate: list(range(population)))


# Any of these is missed with a chance below 1 in 10^6: it takes 11 wrong guesses of 1600 and one of
# 400, and about 1 of the 1600 is expected where everybody is drawn, fewer with the others.
@pytest.mark.parametrize("mutate", [no_noise, no_clipping, draw_everybody])
def test_a_false_claim_is_refuted(
    mutate: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    bound, claim = audit(tmp_path, NOISE)
    assert claim.epsilon == pytest.approx(4.4, abs=0.1)
    assert refuted(bound, claim), (bound, claim)
