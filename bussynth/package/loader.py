"""Load a package: verify first, then parse the very bytes that were verified."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bussynth.cohort.row import Row
from bussynth.errors import DataError, IntegrityError, MissingDependencyError, UsageError
from bussynth.package.dataset import PackageDataset, check_split
from bussynth.package.dp_statement import check_statement
from bussynth.package.folder import digest_problem, folder_problems, read_file
from bussynth.package.info import warn_of
from bussynth.package.keys import Trust
from bussynth.package.manifest import FileEntry
from bussynth.package.shards import CohortFace, read_cohort, read_shard
from bussynth.package.verify import open_manifest
from bussynth.progress import SILENT, Progress

__all__ = ["load"]

_FRAMEWORKS = ("auto", "torch", "numpy")


def load(
    path: str | os.PathLike[str],
    *,
    trust: Trust | Sequence[Trust],
    split: str | None = None,
    transform: Callable[[Any], Any] | None = None,
    framework: str = "auto",
    progress: Progress = SILENT,
) -> PackageDataset:
    """Verify a package and return its images and labels.

    Each file is read once: what is hashed is what is parsed, so a file that is exchanged in
    between does no harm. All images are held in memory as PNG bytes.

    Args:
        path: The folder of the package.
        trust: Public key of the publisher, or its file, or several; there is no default.
        split: None or ``"train"``, the one split of a package.
        transform: Applied to each image, float32 (1, H, W) in [0, 1].
        framework: ``"torch"``, ``"numpy"``, or ``"auto"``: torch if it is installed.
        progress: Where to report images done.

    Returns:
        A dataset; with torch, a ``torch.utils.data.Dataset``.

    Raises:
        UsageError: An argument is wrong.
        MissingDependencyError: ``framework="torch"`` and torch is not installed.
        IntegrityError: The package is not signed by a trusted key, was changed, or its privacy
            statement is malformed or says something else than the signed manifest.
        DataError: The package is signed, but its content is not what a package may hold.

    Warns:
        PackageWarning: The privacy audit of the package was inconclusive, or its images were
            derived from real ones.
    """
    check_split(split)
    dataset_class = _dataset_class(framework)
    info = open_manifest(path, trust)
    files = info.manifest.files
    problems = folder_problems(info.path, files)
    # Small papers first: a changed file is reported before large shards are read.
    problems = problems or [
        problem
        for name, entry in files.items()
        if not name.endswith(".parquet")
        and (problem := digest_problem(info.path, name, entry)) is not None
    ]
    if problems:
        raise IntegrityError("The package was changed after signing; do not use it.", problems)
    check_statement(info.path, info.manifest)
    if "cohort.json" not in files:
        raise DataError("The package lists no cohort.json; it holds no images to load.")
    face = read_cohort(read_file(info.path, "cohort.json", files["cohort.json"]), info.manifest)
    rows = _read_rows(info.path, face, files, info.images, progress)
    warn_of(info)
    return dataset_class(rows, face, info, transform)


def _read_rows(
    root: Path,
    face: CohortFace,
    files: Mapping[str, FileEntry],
    images: int,
    progress: Progress,
) -> list[Row]:
    rows: list[Row] = []
    with progress.task("Loading", images) as task:
        for shard in face.shards:
            found = read_shard(read_file(root, shard.path, files[shard.path]), shard, face)
            rows += found
            task.advance(len(found))
    if len({row.id for row in rows}) != len(rows):
        raise DataError("Two images of the package have the same id.")
    return rows


def _dataset_class(framework: str) -> type[PackageDataset]:
    if framework not in _FRAMEWORKS:
        raise UsageError(f"framework={framework!r}: must be one of {', '.join(_FRAMEWORKS)}.")
    if framework == "numpy":
        return PackageDataset
    try:
        if framework == "auto" and importlib.util.find_spec("torch") is None:
            return PackageDataset
        from bussynth.package.torch_dataset import TorchPackageDataset
    except ImportError as error:
        if framework == "auto":
            return PackageDataset
        raise MissingDependencyError(
            "framework='torch' needs torch; install it: pip install torch"
        ) from error
    return TorchPackageDataset
