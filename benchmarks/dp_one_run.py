"""How much the audit in one run finds: canaries under less noise than is claimed.

    python -m benchmarks.dp_one_run [--repeats N] [--canaries N]

Each line trains crafted canaries anew (:mod:`privacy.dp.canaries`), with a share of the noise that
the claim counts on, and asks for the lower bound on epsilon at 95 % (Steinke et al. 2023,
arXiv:2305.08846). Randomness is secret, so runs differ.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from audits.comparisons.dp_bound import EpsilonBound, one_run_bound
from audits.images import Patients
from privacy.dp.accounting import epsilon
from privacy.dp.canaries import one_run
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.plan import DPPlan

__all__ = ["main"]

DELTA = 1e-5
CLAIMED = DPPlan(
    sampling_rate=0.2,
    expected_patients=200.0,
    steps=60,
    noise_multiplier=1.8,
    clip_norm=0.5,
    images_per_patient=2,
    noise_multiplicity=4,
)
# Share of the canaries that are guessed, see tests/privacy/test_dp_one_run.py.
FRACTIONS = (0.8, 0.2)


def bound(plan: DPPlan, canaries: int) -> EpsilonBound:
    """The lower bound of one audit of a plan as it really runs."""
    with tempfile.TemporaryDirectory() as folder:
        cap = Cap(epsilon=1e6, delta=DELTA, patients=canaries)
        ledger = Ledger.create(Path(folder) / "ledger.sqlite", subject="canaries", cap=cap)
        included, scores = one_run(plan, ledger, canaries=canaries)
    coins = Patients(np.arange(canaries), included, np.zeros(canaries, np.int64), known=True)
    return one_run_bound(
        {"weights": scores},
        coins,
        delta=DELTA,
        confidence=0.95,
        rng=np.random.default_rng(),
        fractions=FRACTIONS,
        independent=True,
    )


def main() -> None:
    """Audit each training several times and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--canaries", type=int, default=2000)
    arguments = parser.parse_args()
    noise = CLAIMED.noise_multiplier
    claim = epsilon([CLAIMED.mechanism], DELTA).epsilon
    ways = {
        "as claimed": CLAIMED,
        **{
            f"noise of 1/{share}": replace(CLAIMED, noise_multiplier=noise / share)
            for share in (2, 3, 4, 8)
        },
        "hardly any noise": replace(CLAIMED, noise_multiplier=0.05),
    }
    print("| training | claimed epsilon | lower bound | claim refuted |\n|---|---|---|---|")
    for name, plan in ways.items():
        found = [bound(plan, arguments.canaries) for _ in range(arguments.repeats)]
        values = [one.epsilon_add_remove or 0.0 for one in found]
        refuted = sum(
            one.contradicts(claim, delta=DELTA, unit="patient", adjacency="add-remove")
            for one in found
        )
        print(
            f"| {name} | {claim:.2f} | {min(values):.1f} to {max(values):.1f} "
            f"| {refuted} of {len(found)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
