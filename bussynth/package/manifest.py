"""The manifest of a package: an in-toto Statement v1 that names every file by digest.

The statement follows https://github.com/in-toto/attestation (spec v1): its ``subject`` is
every file of the package but the envelope itself, its ``predicate`` says what the package
is. As that specification asks, unknown fields of the predicate are ignored; what a later
format changes in meaning gets a new :data:`PREDICATE_TYPE`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bussynth.atomic import canonical_json
from bussynth.errors import IntegrityError
from bussynth.package.guarantee import Guarantee, read_guarantee
from bussynth.package.names import is_plain_word, names_problems, shown, text_problem
from bussynth.package.reader import Reader
from bussynth.package.strict_json import strict_json

__all__ = [
    "AUDIT_FILE",
    "CLAIM",
    "CLAIMS",
    "ENVELOPE",
    "FORMAL_CLAIM",
    "FORMAT",
    "MAX_STATEMENT_BYTES",
    "PREDICATE_TYPE",
    "STATEMENT_FILE",
    "STATEMENT_WORDS_FILE",
    "VERDICTS",
    "FileEntry",
    "Manifest",
    "parse_manifest",
    "parse_statement",
]

ENVELOPE = "bussynth.statement.dsse.json"
FORMAT = "bussynth-package/1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://bussynth.org/package/v1"
CLAIM = "empirically-audited"
FORMAL_CLAIM = "formal-dp"
CLAIMS = (CLAIM, FORMAL_CLAIM)
AUDIT_FILE = "reports/audit.json"
STATEMENT_FILE = "reports/privacy-statement.json"
STATEMENT_WORDS_FILE = "reports/privacy-statement.md"
VERDICTS = ("FAIL", "INCONCLUSIVE", "NO EVIDENCE ABOVE FLOOR")
MAX_STATEMENT_BYTES = 8 * 2**20
MAX_FILES = 20_000

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
# What only one of the claims says; a package that says both makes neither.
_AUDITED_KEYS = ("verdict", "reasons", "acceptedInconclusive", "report", "derivedFromReal")
_FORMAL_KEYS = ("epsilon", "delta", "unit", "adjacency", "statement", "ledgerChecked")
_FORMAL_FILES = {
    *("LICENSE.txt", "README.md", "cohort.json", "croissant.json"),
    *(STATEMENT_FILE, STATEMENT_WORDS_FILE),
}
_SHARD = re.compile(r"data/train-[0-9]{5}-of-[0-9]{5}\.parquet")
VERSION = re.compile(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}")
LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a package.

    Attributes:
        sha256: Digest of its bytes, 64 lower-case hexadecimal digits.
        bytes: Its size.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a package is, and the digest of every file in it.

    Attributes:
        name: Name of the package.
        version: ``MAJOR.MINOR.PATCH``.
        license: SPDX identifier of the licence of the images.
        description: One line for people.
        created_at: Time of export, UTC, ``YYYY-MM-DDThh:mm:ssZ``.
        tool_version: Version of bussynth that wrote the package.
        images: Number of images.
        conditions: Number of images of each value of each condition.
        claim: The privacy claim, ``"empirically-audited"`` or ``"formal-dp"``; never both.
        verdict: Verdict of the privacy audit; None with the claim ``"formal-dp"``, as are the
            four fields that follow from an audit.
        reasons: Why, in plain words.
        accepted_inconclusive: Whether the publisher released in spite of an inconclusive audit.
        audit_sha256: Digest of ``reports/audit.json``.
        derived: If the images were derived from real ones, and so are personal data: on what
            grounds the publisher releases them.
        guarantee: With the claim ``"formal-dp"``, its numbers; else None.
        files: Every file but the envelope, by name.
    """

    name: str
    version: str
    license: str
    description: str
    created_at: str
    tool_version: str
    images: int
    conditions: Mapping[str, Mapping[str, int]]
    claim: str
    files: Mapping[str, FileEntry]
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    accepted_inconclusive: bool = False
    audit_sha256: str | None = None
    derived: str | None = None
    guarantee: Guarantee | None = None

    @property
    def total_bytes(self) -> int:
        """Size of all files together, without the envelope."""
        return sum(entry.bytes for entry in self.files.values())

    def to_statement(self) -> bytes:
        """Serialise to the bytes that are signed; :func:`parse_manifest` reads them back."""
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [
                {
                    "name": name,
                    "digest": {"sha256": entry.sha256},
                    "annotations": {"bytes": entry.bytes},
                }
                for name, entry in sorted(self.files.items())
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "format": FORMAT,
                "package": {
                    "name": self.name,
                    "version": self.version,
                    "license": self.license,
                    "description": self.description,
                },
                "createdAt": self.created_at,
                "tool": {"name": "bussynth", "version": self.tool_version},
                "counts": {
                    "images": self.images,
                    "conditions": {key: dict(words) for key, words in self.conditions.items()},
                    "files": len(self.files),
                    "totalBytes": self.total_bytes,
                },
                "privacy": {"claim": self.claim, **self._privacy()},
                # A reader that knows nothing of derived images refuses what is not synthetic.
                "synthetic": self.derived is None,
            },
        }
        return canonical_json(statement).encode()

    def _privacy(self) -> dict[str, Any]:
        """What is said of privacy beside the name of the claim."""
        if self.guarantee is not None:
            return self.guarantee.to_predicate()
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "acceptedInconclusive": self.accepted_inconclusive,
            "report": {"sha256": self.audit_sha256},
            **({} if self.derived is None else {"derivedFromReal": self.derived}),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def parse_statement(payload: bytes) -> dict[str, Any]:
    """Parse the bytes of a statement strictly, down to JSON values.

    Raises:
        IntegrityError: The bytes are no statement about a package of this format.
    """
    statement = strict_json(
        payload, what="The statement", max_bytes=MAX_STATEMENT_BYTES, max_depth=8
    )
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT_TYPE:
        raise IntegrityError(f"The statement is not of type {STATEMENT_TYPE}.")
    if statement.get("predicateType") != PREDICATE_TYPE:
        raise IntegrityError(
            f"The statement is about {shown(statement.get('predicateType'))}, not about a "
            f"package ({PREDICATE_TYPE}); a newer version of bussynth may read it."
        )
    predicate = statement.get("predicate")
    if not isinstance(predicate, dict) or predicate.get("format") != FORMAT:
        raise IntegrityError(f"The package is not of format {FORMAT}.")
    return statement


def parse_manifest(payload: bytes) -> Manifest:
    """Read a manifest from the bytes of a statement, trusting none of them.

    Args:
        payload: The statement, as :meth:`Manifest.to_statement` writes it.

    Raises:
        IntegrityError: The statement is malformed; every problem is listed.
    """
    statement = parse_statement(payload)
    reader = _ManifestReader()
    predicate = statement["predicate"]
    package = reader.table(predicate, "package")
    counts = reader.table(predicate, "counts")
    privacy = reader.table(predicate, "privacy")
    files = reader.files(statement.get("subject"))
    manifest = Manifest(
        name=reader.text(package, "name", 100),
        version=reader.match(package, "version", VERSION),
        license=reader.match(package, "license", LICENSE),
        description=reader.text(package, "description", 2000),
        created_at=reader.match(predicate, "createdAt", _TIME),
        tool_version=reader.text(reader.table(predicate, "tool"), "version", 40),
        images=reader.count(counts, "images"),
        conditions=reader.conditions(counts.get("conditions")),
        files=files,
        **_claim(privacy, files, reader),
    )
    if not is_plain_word(manifest.name):
        reader.problems.append("name: must be of plain letters, digits, '.', '_' and '-'")
    if predicate.get("synthetic") is not (manifest.derived is None):
        reader.problems.append(
            "synthetic: the package declares its images neither synthetic nor derived from real "
            "ones, or both"
        )
    if counts.get("totalBytes") != manifest.total_bytes or counts.get("files") != len(files):
        reader.problems.append("counts: files or totalBytes do not match the list of files")
    if manifest.claim != FORMAL_CLAIM:
        _check_verdict(manifest, reader.problems)
    if reader.problems:
        raise IntegrityError("The statement of the package is malformed.", reader.problems)
    return manifest


def _claim(
    privacy: Mapping[str, Any], files: Mapping[str, FileEntry], reader: Reader
) -> dict[str, Any]:
    """The fields of a manifest that belong to its claim, and none of the other one's."""
    claim = reader.one_of(privacy, "claim", CLAIMS)
    for key in _AUDITED_KEYS if claim == FORMAL_CLAIM else _FORMAL_KEYS:
        if key in privacy:
            reader.problem(key, f"a package with the claim {claim or CLAIM} has none")
    if claim == FORMAL_CLAIM:
        digest = reader.match(reader.table(privacy, "statement"), "sha256", _DIGEST)
        _check_statement_files(digest, files, reader.problems)
        return {
            "claim": claim,
            "guarantee": read_guarantee(privacy, digest, reader.problems),
        }
    if {STATEMENT_FILE, STATEMENT_WORDS_FILE} & files.keys():
        reader.problem("claim", f"a package with {STATEMENT_FILE} claims {FORMAL_CLAIM}")
    return {
        "claim": claim,
        "verdict": reader.one_of(privacy, "verdict", VERDICTS),
        "reasons": reader.lines(privacy, "reasons"),
        "accepted_inconclusive": privacy.get("acceptedInconclusive") is True,
        "audit_sha256": reader.match(reader.table(privacy, "report"), "sha256", _DIGEST),
        "derived": reader.text(privacy, "derivedFromReal", 1000)
        if "derivedFromReal" in privacy
        else None,
    }


def _check_statement_files(
    digest: str, files: Mapping[str, FileEntry], problems: list[str]
) -> None:
    statement = files.get(STATEMENT_FILE)
    if statement is None or statement.sha256 != digest:
        problems.append(f"statement: is not the digest of {STATEMENT_FILE}")
    # An audit or an evaluation beside the images is a look at the patients that nobody counted.
    problems += [
        f"file {shown(name)}: a package with the claim {FORMAL_CLAIM} holds images, their papers "
        "and the statement, and nothing else"
        for name in files
        if name not in _FORMAL_FILES and not _SHARD.fullmatch(name)
    ]


def _check_verdict(manifest: Manifest, problems: list[str]) -> None:
    if manifest.verdict == "FAIL":
        problems.append("verdict: the privacy audit failed, so the package must not exist")
    if manifest.verdict == "INCONCLUSIVE" and manifest.derived is not None:
        problems.append("derivedFromReal: not with an inconclusive audit")
    if (manifest.verdict == "INCONCLUSIVE") != manifest.accepted_inconclusive:
        problems.append("acceptedInconclusive: does not fit the verdict")
    report = manifest.files.get(AUDIT_FILE)
    if report is None or report.sha256 != manifest.audit_sha256:
        problems.append("report: is not the digest of reports/audit.json")


class _ManifestReader(Reader):
    """A reader that knows the lists of a manifest."""

    def conditions(self, value: Any) -> dict[str, dict[str, int]]:
        result: dict[str, dict[str, int]] = {}
        if not isinstance(value, dict) or len(value) > 100:
            self.problems.append("conditions: expected an object of at most 100 columns")
            return result
        for column, words in value.items():
            if not isinstance(words, dict):
                self.problems.append("conditions: expected a number for each value")
                continue
            texts = [text_problem(text, what="conditions") for text in (column, *words)]
            self.problems += [problem for problem in texts if problem]
            result[column] = {word: self.count(words, word, "conditions") for word in words}
        return result

    def files(self, subject: Any) -> dict[str, FileEntry]:
        if not isinstance(subject, list) or not 0 < len(subject) <= MAX_FILES:
            self.problems.append(f"subject: expected a list of 1 to {MAX_FILES} files")
            return {}
        entries = [entry if isinstance(entry, dict) else {} for entry in subject]
        self.problems += names_problems(entry.get("name") for entry in entries)
        files: dict[str, FileEntry] = {}
        for entry in entries:
            name, digest = entry.get("name"), entry.get("digest")
            if not isinstance(name, str):
                continue
            if name.casefold() == ENVELOPE:
                self.problems.append(f"file {shown(name)}: the envelope cannot list itself")
            value = digest.get("sha256") if isinstance(digest, dict) else None
            if (
                not isinstance(digest, dict)
                or set(digest) != {"sha256"}
                or not isinstance(value, str)
                or not _DIGEST.fullmatch(value)
            ):
                self.problems.append(
                    f"file {shown(name)}: needs exactly one digest, sha256, of 64 lower-case "
                    "hexadecimal digits"
                )
                continue
            size = self.count(self.table(entry, "annotations"), "bytes")
            files[name] = FileEntry(value, size)
        return files
