"""Verify a package against pinned keys, or look into one without trusting it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bussynth.errors import IntegrityError
from bussynth.package.dp_statement import check_statement
from bussynth.package.folder import (
    check_package_folder,
    digest_problem,
    folder_problems,
    read_envelope,
    read_file,
)
from bussynth.package.info import PackageInfo
from bussynth.package.keys import Trust, load_trust
from bussynth.package.manifest import Manifest, parse_manifest
from bussynth.package.signature import MAX_ENVELOPE_BYTES, open_envelope, read_payload
from bussynth.package.strict_json import strict_json
from bussynth.progress import SILENT, Progress

__all__ = ["inspect_package", "open_manifest", "verify_package"]

_MAX_PAPER_BYTES = 16 * 2**20


def verify_package(
    path: str | os.PathLike[str],
    trust: Trust | Sequence[Trust],
    *,
    progress: Progress = SILENT,
) -> PackageInfo:
    """Check that a package is whole and that a trusted key signed it.

    The order matters: nothing of the manifest is believed before its signature is checked,
    and no file is opened that the manifest does not name.

    Args:
        path: The folder of the package.
        trust: Public key of the publisher, or its file, or several; there is no default.
        progress: Where to report bytes done.

    Returns:
        What the package is; its ``warnings`` are for people.

    Raises:
        UsageError: ``path`` is no folder, or ``trust`` no public key.
        IntegrityError: The package is unsigned, signed by another key, or was changed: a file
            added, removed, replaced or linked; or its privacy statement is malformed, or says
            something else than the signed manifest. Every problem is listed.
    """
    info = open_manifest(path, trust)
    files = info.manifest.files
    problems = folder_problems(info.path, files)
    if not problems:
        with progress.task("Verifying", info.manifest.total_bytes, unit="bytes") as task:
            for name, entry in files.items():
                problem = digest_problem(info.path, name, entry)
                if problem is not None:
                    problems.append(problem)
                task.advance(entry.bytes)
    if problems:
        raise IntegrityError("The package was changed after signing; do not use it.", problems)
    check_statement(info.path, info.manifest)
    _check_papers(info.path, info.manifest)
    return info


def open_manifest(path: str | os.PathLike[str], trust: Trust | Sequence[Trust]) -> PackageInfo:
    """Read the manifest of a package and check its signature, but not the files.

    Returns:
        The information as :func:`verify_package` would return it if the files match too.

    Raises:
        UsageError: See :func:`verify_package`.
        IntegrityError: The envelope or the manifest is missing, malformed or not trusted.
    """
    keys = load_trust(trust)
    root = Path(path)
    check_package_folder(root)
    payload, signers = open_envelope(read_envelope(root, MAX_ENVELOPE_BYTES), keys)
    return PackageInfo(path=root, manifest=parse_manifest(payload), verified=True, signers=signers)


def inspect_package(path: str | os.PathLike[str]) -> PackageInfo:
    """Read what a package says of itself WITHOUT checking signature or files.

    Args:
        path: The folder of the package.

    Returns:
        The claims of the package, with ``verified`` False and a warning that says so.

    Raises:
        UsageError: ``path`` is no folder.
        IntegrityError: There is no manifest, or it is malformed.
    """
    root = Path(path)
    check_package_folder(root)
    payload, claimed = read_payload(read_envelope(root, MAX_ENVELOPE_BYTES))
    return PackageInfo(path=root, manifest=parse_manifest(payload), verified=False, signers=claimed)


def _check_papers(root: Path, manifest: Manifest) -> None:
    """Compare the digests that ``croissant.json`` repeats with the signed ones."""
    entry = manifest.files.get("croissant.json")
    if entry is None:
        return
    data = read_file(root, "croissant.json", entry)
    papers = strict_json(data, what="croissant.json", max_bytes=_MAX_PAPER_BYTES)
    listed = papers.get("distribution") if isinstance(papers, dict) else None
    if not isinstance(listed, list):
        raise IntegrityError("croissant.json lists no files.")
    problems = []
    for item in listed:
        if not isinstance(item, dict) or "sha256" not in item:
            continue
        file = manifest.files.get(str(item.get("contentUrl")))
        if file is None or file.sha256 != item["sha256"]:
            problems.append("croissant.json names a file or a digest that the manifest lacks")
    if problems:
        raise IntegrityError("croissant.json disagrees with the signed manifest.", problems)
