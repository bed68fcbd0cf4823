"""What the publisher says of a package."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bussynth.config import Config, option
from bussynth.errors import UsageError
from bussynth.package.manifest import CLAIM, CLAIMS, LICENSE, VERSION
from bussynth.package.names import is_plain_word, text_problem

__all__ = ["ExportConfig"]

_URL = re.compile(r"https?://[!-~]{1,500}")


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Name, version, licence and words of a package."""

    claim: str = option(
        CLAIM,
        "What the package claims of privacy. empirically-audited needs --audit; formal-dp takes "
        "images of a private model or of `evolve`, and no audit.",
        choices=CLAIMS,
    )
    name: str | None = option(
        None,
        "Name of the package: letters, digits, dots, underscores, hyphens; that of its folder "
        "if not given.",
    )
    version: str = option("1.0.0", "Version of the package, MAJOR.MINOR.PATCH.")
    license: str = option(
        "CC-BY-4.0", "SPDX identifier of the licence, or LicenseRef-NAME for one of your own."
    )
    description: str = option(
        "Synthetic breast-ultrasound images.", "One line on what the package holds."
    )
    publisher: str | None = option(None, "Who publishes: name of the hospital or the group.")
    url: str | None = option(None, "Web page of the package.")
    accept_inconclusive: bool = option(
        False, "Release although the audit was inconclusive; the package says so."
    )
    declare_derived: str | None = option(
        None,
        "Release images derived from real ones, which are personal data: on what grounds, for "
        "all to read. Lifts no audit.",
    )

    def __post_init__(self) -> None:
        """Check the texts beyond their types."""
        super().__post_init__()
        problems = []
        if self.name is not None and (not is_plain_word(self.name) or len(self.name) > 100):
            problems.append("name: use letters, digits, '.', '_' and '-', at most 100")
        if not VERSION.fullmatch(self.version):
            problems.append("version: must be MAJOR.MINOR.PATCH such as 1.0.0")
        if not LICENSE.fullmatch(self.license):
            problems.append("license: must be an SPDX identifier such as CC-BY-4.0")
        problems.append(text_problem(self.description, what="description", max_length=2000) or "")
        if self.publisher is not None:
            problems.append(text_problem(self.publisher, what="publisher") or "")
        if self.declare_derived is not None:
            text = text_problem(self.declare_derived, what="declare_derived", max_length=1000)
            problems.append(text or "")
            if self.accept_inconclusive:
                problems.append("declare_derived: cannot be combined with accept_inconclusive")
        if self.url is not None and not _URL.fullmatch(self.url):
            problems.append("url: must begin with https:// and hold no spaces")
        found = [problem for problem in problems if problem]
        if found:
            raise UsageError("ExportConfig is not valid.", found)
