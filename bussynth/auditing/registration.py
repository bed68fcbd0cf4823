"""Pre-registration: the settings of an audit, written down before any synthetic image is seen."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audits.settings import AuditSettings
from bussynth import atomic
from bussynth.auditing.comparison import open_real
from bussynth.auditing.config import AuditConfig
from bussynth.auditing.encoders import find_encoders
from bussynth.auditing.history import append_to_first, ledger_places, settings_digest
from bussynth.auditing.ledger import LedgerEntry
from bussynth.auditing.places import place_of, refuse_overlap
from bussynth.auditing.sources import RoleImages, Source
from bussynth.errors import DataError, UsageError

__all__ = ["Registered", "check_register", "register", "registration_file", "settings_toml"]

_WIDTH = 95


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What was registered.

    Attributes:
        file: The TOML file; ``bussynth audit --config`` reads it.
        sha256: Of the file.
        settings: Digest of the settings, with which audits are compared.
        time: When, UTC.
        notes: What the user should know.
    """

    file: Path
    sha256: str
    settings: str
    time: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON types."""
        return {
            "file": str(self.file),
            "sha256": self.sha256,
            "settings": self.settings,
            "time": self.time,
            "notes": list(self.notes),
        }


def registration_file(out: Path) -> Path:
    """Return the file that registering an audit with this output writes.

    Example:
        >>> print(registration_file(Path("results/audit")).as_posix())
        results/audit.toml
    """
    return out if out.suffix == ".toml" else out.with_name(f"{out.name}.toml")


def settings_toml(
    settings: AuditSettings, *, encoders: Sequence[str] = (), release_model: bool = False
) -> str:
    """Write settings as TOML, each with what it is and why it has this value by default.

    Args:
        settings: All of them.
        encoders: Digests of the user's encoders, for the reader; they are given as flags.
        release_model: Whether the model is audited too, for the reader.
    """
    lines = ["# Settings of an audit, fixed before any synthetic image was looked at."]
    lines += ["# Give this file to the audit: bussynth audit ... --config FILE"]
    lines += [f"# With --encoder of {digest}" for digest in encoders]
    lines += ["# With --release-model: the model is audited too."] if release_model else []
    lines += ["", "[audit]"]
    for name, entry in settings.describe().items():
        comment = textwrap.wrap(entry["help"], _WIDTH) + textwrap.wrap(
            f"Why: {entry['reference']}", _WIDTH
        )
        lines += ["", *(f"# {line}" for line in comment), f"{name} = {_toml(entry['value'])}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (int, float)) else atomic.canonical_json(value)


def register(
    *,
    out: Path | str,
    train: Source | None = None,
    control: Source | None = None,
    real: Source | None = None,
    config: AuditConfig | None = None,
    release_model: bool = False,
    encoders: Sequence[Path | str] = (),
    force: bool = False,
) -> Registered:
    """Fix the settings of an audit to come; no synthetic image is opened.

    Writes them as a TOML file beside ``out`` and an entry into the run ledger; the report of a
    later audit says whether it kept to them.

    Args:
        out: Output of the audit to come.
        train: As in :func:`bussynth.auditing.run.audit`.
        control: As there.
        real: As there.
        config: What is registered.
        release_model: As there.
        encoders: As there.
        force: Replace the file.

    Raises:
        UsageError: Arguments contradict each other, or the file exists.
        DataError: The real images cannot be read, or no ledger can be written.
    """
    prepared = _prepare(out, train, control, real, config, release_model, encoders, force)
    file, digest, text = prepared.file, prepared.digest, prepared.text
    seen, unseen = prepared.real
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    entry = LedgerEntry(
        kind="registration",
        document=sha256,
        time="",
        settings=digest,
        train=seen.digest(),
        control=unseen.digest(),
    )
    file.absolute().parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(file, text)
    _, before, written = append_to_first(ledger_places(unseen, Path(out)), entry)
    if written is None:
        file.unlink(missing_ok=True)
        raise DataError("No ledger can be written, so nothing was registered.", before.problems)
    earlier = sum(e.kind == "audit" and e.control == entry.control for e in before.entries)
    notes = list(before.problems)
    if earlier:
        notes.append(f"Audits of these control patients before this registration: {earlier}.")
    return Registered(
        file=file,
        sha256=sha256,
        settings=digest,
        time=written.time,
        notes=tuple(notes),
    )


def check_register(
    *,
    out: Path | str,
    train: Source | None = None,
    control: Source | None = None,
    real: Source | None = None,
    config: AuditConfig | None = None,
    release_model: bool = False,
    encoders: Sequence[Path | str] = (),
    force: bool = False,
) -> Path:
    """Make every check of :func:`register` and write nothing; returns the file it would write."""
    return _prepare(out, train, control, real, config, release_model, encoders, force).file


@dataclass(frozen=True)
class _Prepared:
    file: Path
    text: str
    digest: str
    real: tuple[RoleImages, RoleImages]


def _prepare(
    out: Path | str,
    train: Source | None,
    control: Source | None,
    real: Source | None,
    config: AuditConfig | None,
    release_model: bool,
    encoders: Sequence[Path | str],
    force: bool,
) -> _Prepared:
    settings = (config or AuditConfig()).settings()
    digests = [file.digest for file in find_encoders(encoders)]
    file = registration_file(Path(out))
    if file.exists() and (not force or not file.is_file()):
        raise UsageError(f"{file} exists; choose another name with --out, or use --force.")
    places = {"train": train, "control": control, "real": real}
    refuse_overlap(file, {name: place_of(source) for name, source in places.items()})
    return _Prepared(
        file=file,
        text=settings_toml(settings, encoders=digests, release_model=release_model),
        digest=settings_digest(settings, encoders=digests, release_model=release_model),
        real=open_real(train=train, control=control, real=real),
    )
