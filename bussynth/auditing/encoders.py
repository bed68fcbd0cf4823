"""The user's own encoders of images: checked by existence and digest, loaded when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audits.errors import AuditInputError
from bussynth.errors import DataError, UsageError

if TYPE_CHECKING:
    from audits.features.base import FeatureMap

__all__ = ["EncoderFile", "find_encoders", "load_encoders"]


@dataclass(frozen=True)
class EncoderFile:
    """A TorchScript or ONNX file.

    Attributes:
        path: The file.
        digest: ``"sha256:…"`` of it.
    """

    path: Path
    digest: str


def find_encoders(files: Sequence[Path | str]) -> tuple[EncoderFile, ...]:
    """Find the files and take their digests; nothing is loaded.

    Raises:
        UsageError: Files are missing; all are listed.
    """
    paths = [Path(file) for file in files]
    problems = [f"{path} is no file" for path in paths if not path.is_file()]
    if problems:
        raise UsageError("Encoders cannot be read; give TorchScript or ONNX files.", problems)
    return tuple(EncoderFile(path, _sha256(path)) for path in paths)


def load_encoders(
    files: Sequence[EncoderFile], image_size: tuple[int, int]
) -> tuple[FeatureMap, ...]:
    """Load encoders as feature spaces; loading a file runs what is in it.

    Args:
        files: See :func:`find_encoders`.
        image_size: (height, width) of the images to be encoded.

    Raises:
        DataError: A file is no encoder, its output is of no use, or what runs it is not installed.
    """
    if not files:
        return ()
    from audits.features.user_encoder import UserEncoder

    try:
        return tuple(UserEncoder.load(file.path, image_size=image_size) for file in files)
    except AuditInputError as error:
        raise DataError(error.message, error.problems) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
