"""All comparisons of train with control patients, over the feature spaces that were admitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.contrast import Captures, contrast
from audits.comparisons.disclosure import DisclosureResult, excess_disclosure
from audits.comparisons.dp_bound import one_run_bound
from audits.comparisons.inference import inference
from audits.comparisons.linkability import linkability
from audits.comparisons.losses import loss_scores
from audits.comparisons.membership import membership
from audits.comparisons.reach import Reach
from audits.comparisons.scores import difficult_groups, patient_scores
from audits.comparisons.singling_out import singling_out
from audits.images import Patients
from audits.outcome import Outcome
from audits.settings import AuditSettings
from audits.statistics.streams import generator_for
from audits.summaries.comparisons import (
    summarise_contrast,
    summarise_disclosure,
    summarise_epsilon,
    summarise_inference,
    summarise_linkability,
    summarise_membership,
    summarise_singling_out,
)

__all__ = ["DECIDING", "Battery", "compare"]

DECIDING = (
    "contrast",
    "disclosure",
    "membership",
    "singling_out",
    "linkability",
    "inference",
    "white_box",
)
"""Tests whose p-values can fail an audit; Holm's correction runs over those estimable."""

Labels = Mapping[str, Sequence[str]]


@dataclass(frozen=True, eq=False)
class Battery:
    """What the comparisons found.

    Attributes:
        outcomes: One entry a test.
        disclosure: The headline's numbers.
        scores: Membership scores of the patients, by name, for the site's own eyes.
    """

    outcomes: tuple[Outcome, ...]
    disclosure: DisclosureResult
    scores: Mapping[str, npt.NDArray[np.float64]]

    @property
    def p_values(self) -> dict[str, float | None]:
        """Raw p-value of each test that can fail the audit, None when not estimable."""
        return {o.name: o.p_value for o in self.outcomes if o.name in DECIDING}


def compare(
    captures: Mapping[str, Captures],
    reaches: Sequence[Reach],
    minima: Mapping[str, npt.NDArray[np.float64]],
    patients: Patients,
    settings: AuditSettings,
    *,
    counts: Mapping[str, int],
    real_labels: Labels,
    synthetic_labels: Labels,
    losses: Mapping[str, npt.NDArray[np.float64]] | None = None,
    bound_spaces: Sequence[str] = (),
) -> Battery:
    """Run every comparison.

    Args:
        captures: Captures of the synthetic images, by space.
        reaches: How near synthetic images come to real ones, one entry a space.
        minima: Squared distances from sampled synthetic images to patients, by space.
        patients: The numbering.
        settings: The audit's settings.
        counts: Images and patients, for the outcomes.
        real_labels: Attributes of the real images, train first.
        synthetic_labels: Attributes of the synthetic images.
        losses: Denoising losses of the real images, if the model is to be released too.
        bound_spaces: Spaces whose calibrated score bounds epsilon; few, declared beforehand.

    Returns:
        The outcomes. Without a space all are "not estimable".
    """

    def stream(name: str) -> np.random.Generator:
        return generator_for(settings.seed, name)

    alpha, permutations, confidence = settings.alpha, settings.permutations, settings.confidence
    contrasted = contrast(
        captures,
        patients,
        tails=settings.tails,
        min_tail=settings.min_tail,
        alpha=alpha,
        permutations=permutations,
        bootstrap=settings.bootstrap,
        confidence=confidence,
        rng=stream("contrast"),
    )
    disclosed = excess_disclosure(
        reaches,
        patients,
        quantile=settings.disclosure_quantile,
        permutations=permutations,
        confidence=confidence,
        rng=stream("disclosure"),
    )
    scores = patient_scores(reaches, patients)
    groups = difficult_groups(reaches, patients)
    recognised = membership(
        scores,
        patients,
        groups=groups,
        permutations=permutations,
        confidence=confidence,
        rng=stream("membership"),
    )
    singled = singling_out(minima, patients, permutations=permutations, rng=stream("singling out"))
    linked = linkability(reaches, patients, permutations=permutations, rng=stream("linkability"))
    inferred = inference(
        reaches,
        patients,
        real=real_labels,
        synthetic=synthetic_labels,
        permutations=permutations,
        rng=stream("inference"),
    )
    outcomes = [
        summarise_contrast(contrasted, counts, alpha),
        summarise_disclosure(disclosed, counts, alpha),
        summarise_membership(recognised, counts, alpha),
        summarise_singling_out(singled, counts, alpha),
        summarise_linkability(linked, counts, alpha),
        summarise_inference(inferred, counts, alpha),
    ]
    if losses is not None:
        white_box = membership(
            loss_scores(losses, patients),
            patients,
            groups=groups,
            permutations=permutations,
            confidence=confidence,
            rng=stream("white box"),
        )
        outcomes.append(summarise_membership(white_box, counts, alpha, "white_box"))
    bounding = {name: scores[name] for s in bound_spaces if (name := f"calibrated {s}") in scores}
    bound = one_run_bound(
        bounding, patients, delta=settings.delta, confidence=confidence, rng=stream("dp bound")
    )
    outcomes.append(summarise_epsilon(bound, counts))
    return Battery(tuple(outcomes), disclosed, scores)
