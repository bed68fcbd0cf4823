"""What a package says of itself, and how far that has been checked."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bussynth.package.manifest import FORMAT, Manifest

__all__ = ["PackageInfo", "PackageWarning", "warn_of"]

UNCHECKED = (
    "SIGNATURE NOT CHECKED: anybody can have written this. "
    "Run `bussynth verify` with the public key of the publisher before you use the package."
)


class PackageWarning(UserWarning):
    """Something about a package that its user must know."""


@dataclass(frozen=True, kw_only=True)
class PackageInfo:
    """The manifest of a package and the state of its verification.

    Attributes:
        path: The folder.
        manifest: What the package says of itself.
        verified: True if a trusted key signed the manifest and every file matched it.
        signers: Ids of the trusted keys that signed; of the claimed keys if not verified.
    """

    path: Path
    manifest: Manifest
    verified: bool
    signers: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the package."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """Version of the package."""
        return self.manifest.version

    @property
    def images(self) -> int:
        """Number of images."""
        return self.manifest.images

    @property
    def license(self) -> str:
        """SPDX identifier of the licence."""
        return self.manifest.license

    @property
    def claim(self) -> str:
        """What the package claims of privacy: ``"empirically-audited"`` or ``"formal-dp"``."""
        return self.manifest.claim

    @property
    def verdict(self) -> str | None:
        """Verdict of the privacy audit; None with the claim ``"formal-dp"``."""
        return self.manifest.verdict

    @property
    def epsilon(self) -> float | None:
        """Epsilon of the guarantee; None with the claim ``"empirically-audited"``."""
        return None if self.manifest.guarantee is None else self.manifest.guarantee.epsilon

    @property
    def delta(self) -> float | None:
        """Delta of the guarantee; None with the claim ``"empirically-audited"``."""
        return None if self.manifest.guarantee is None else self.manifest.guarantee.delta

    @property
    def privacy_words(self) -> str:
        """The claim in a line for people."""
        guarantee = self.manifest.guarantee
        return (
            f"privacy audit: {self.verdict}"
            if guarantee is None
            else (f"{self.claim}: {guarantee.words()}")
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user must be told before anything else."""
        found = [] if self.verified else [UNCHECKED]
        if self.manifest.verdict == "INCONCLUSIVE":
            found.append(
                "The privacy audit of this package was INCONCLUSIVE: it could not show that the "
                "images reveal nothing of the patients. The publisher released it nevertheless."
            )
        if self.manifest.derived is not None:
            found.append(
                "The images of this package were DERIVED FROM REAL examinations; treat them as "
                "personal data. The publisher declares: " + self.manifest.derived
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON output; files are summed up."""
        manifest = self.manifest
        return {
            "path": str(self.path),
            "format": FORMAT,
            "name": manifest.name,
            "version": manifest.version,
            "license": manifest.license,
            "description": manifest.description,
            "created_at": manifest.created_at,
            "tool_version": manifest.tool_version,
            "images": manifest.images,
            "conditions": {key: dict(words) for key, words in manifest.conditions.items()},
            "claim": manifest.claim,
            **self._privacy(),
            "files": len(manifest.files),
            "total_bytes": manifest.total_bytes,
            "verified": self.verified,
            "signers": list(self.signers),
            "warnings": list(self.warnings),
        }

    def _privacy(self) -> dict[str, Any]:
        """What belongs to the claim: no verdict beside an epsilon."""
        manifest = self.manifest
        if manifest.guarantee is not None:
            return asdict(manifest.guarantee)
        return {
            "verdict": manifest.verdict,
            "reasons": list(manifest.reasons),
            "accepted_inconclusive": manifest.accepted_inconclusive,
            "derived_from_real": manifest.derived,
        }


def warn_of(info: PackageInfo, *, stacklevel: int = 3) -> None:
    """Issue :class:`PackageWarning` for each warning of ``info``."""
    for text in info.warnings:
        warnings.warn(text, PackageWarning, stacklevel=stacklevel)
