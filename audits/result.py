"""The result of an audit, what stays inside and what may leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audits.controls.doses import Dose
from audits.controls.nulls import NullComparison
from audits.controls.recall import ClassRecall
from audits.copies.findings import ChannelCopies
from audits.outcome import Outcome, plain, rounded
from audits.spaces import SpaceReport
from audits.verdict import Verdict

__all__ = ["SCHEMA", "AuditResult"]

SCHEMA = "bussynth-audit/2"


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """All an audit found.

    Attributes:
        verdict: The verdict with its reasons.
        confirmatory: Whether a recorded lottery and known patients make the tests exact; if not,
            the audit is exploratory.
        inputs: Counts of images and patients and the image size.
        settings: Each setting with value, help and reference.
        spaces: Feature spaces, each with what admitted it or did not.
        channels: Copy channels with thresholds and counts.
        tests: Identity, copies and the comparisons of train with control patients.
        recalls: Recall of planted copies, class by class.
        doses: Power against the number of planted copies.
        limit_of_detection: Fewest planted copies found with the declared power, by test; None
            where no dose reached it.
        nulls: Null comparisons.
        agreement: How far two encoders of different seeds agree, or None.
        duplicates: Counts of duplicates among real images.
        self_check: Searches repeated by brute force and the share contradicted.
        histograms: Binned distances for plots, one entry a space.
        private: Row numbers of pairs, for the eyes of the site alone.
    """

    verdict: Verdict
    confirmatory: bool
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    spaces: tuple[SpaceReport, ...]
    channels: tuple[ChannelCopies, ...]
    tests: tuple[Outcome, ...]
    recalls: tuple[ClassRecall, ...]
    doses: tuple[Dose, ...]
    limit_of_detection: Mapping[str, int | None]
    nulls: tuple[NullComparison, ...]
    agreement: Mapping[str, Any] | None
    duplicates: Mapping[str, int]
    self_check: Mapping[str, Any]
    histograms: tuple[Mapping[str, Any], ...]
    private: Mapping[str, Any]

    def test(self, name: str) -> Outcome:
        """The test of that name."""
        return next(test for test in self.tests if test.name == name)

    def to_dict(self) -> dict[str, Any]:
        """All but the private lists, as JSON types in a fixed order (schema bussynth-audit/2)."""
        verdict = self.verdict
        return {
            "schema": SCHEMA,
            "verdict": verdict.state.value,
            "mode": "confirmatory" if self.confirmatory else "exploratory",
            "reasons": list(verdict.reasons),
            "failures": list(verdict.failures),
            "limits": list(verdict.limits),
            "statements": list(verdict.statements),
            "adjusted_p_values": plain(verdict.adjusted),
            "inputs": plain(self.inputs),
            "spaces": plain(self.spaces),
            "channels": [_channel(channel) for channel in self.channels],
            "tests": plain(self.tests),
            "controls": {
                "planted": plain(self.recalls),
                "dose_response": plain(self.doses),
                "limit_of_detection": plain(self.limit_of_detection),
                "null": plain(self.nulls),
                "agreement": plain(self.agreement),
                "duplicates": plain(self.duplicates),
                "self_check": plain(self.self_check),
            },
            "histograms": plain(self.histograms),
            "settings": plain(self.settings),
        }

    def aggregate(self) -> dict[str, Any]:
        """What may leave the site: listed fields only, rounded, no distance and no row number."""
        tests = [
            {
                "name": test.name,
                "n": plain(test.n),
                "estimate": rounded(plain(test.estimate)),
                "interval": rounded(plain(test.interval)),
                "p_value": rounded(plain(test.p_value)),
                "fired": test.fired,
            }
            for test in self.tests
        ]
        planted = [
            {
                "name": recall.name,
                "decisive": recall.decisive,
                "planted": recall.planted,
                "recall": rounded(recall.recall),
                "demonstrated": rounded(recall.lower),
            }
            for recall in self.recalls
        ]
        null = [
            {"name": n.name, "p_value": rounded(n.p_value), "fired": n.fired} for n in self.nulls
        ]
        return {
            "schema": f"{SCHEMA}+aggregate",
            "verdict": self.verdict.state.value,
            "mode": "confirmatory" if self.confirmatory else "exploratory",
            "reasons": list(self.verdict.reasons),
            "inputs": plain(self.inputs),
            "spaces": [
                {"name": space.name, "family": space.family, "admitted": space.admitted}
                for space in self.spaces
            ],
            "tests": tests,
            "controls": {
                "planted": planted,
                "limit_of_detection": plain(self.limit_of_detection),
                "null": null,
            },
            "settings": {name: plain(entry["value"]) for name, entry in self.settings.items()},
        }


def _channel(channel: ChannelCopies) -> dict[str, Any]:
    """A channel without its scores of single images."""
    return {
        "name": channel.name,
        "columns": list(channel.columns),
        "admitted": channel.admitted,
        "reasons": list(channel.reasons),
        "thresholds": plain(channel.thresholds),
        "findings": plain(channel.findings),
    }
