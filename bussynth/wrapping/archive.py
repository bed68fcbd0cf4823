"""Tell a TorchScript archive from a pickle, without opening either."""

from __future__ import annotations

import io
import zipfile

from bussynth.errors import DataError

__all__ = ["check_archive", "no_archive"]


def check_archive(content: bytes, file: str) -> None:
    """Check that a file has the parts that ``torch.jit.save`` writes.

    A file of ``torch.save`` is a zip file too, but holds no code; an older one is no zip file.

    Args:
        content: Bytes of the file.
        file: Its name in messages.

    Raises:
        DataError: It is no TorchScript archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        names = []
    if not (
        any(name.endswith("/constants.pkl") for name in names)
        and any("/code/" in name for name in names)
    ):
        raise no_archive(file)


def no_archive(file: str) -> DataError:
    """Return the error that tells how to save a sampler."""
    return DataError(
        f"{file}: not a TorchScript archive. Save the sampler with torch.jit.save; files of "
        "torch.save are pickles and are not opened, for they can run anything."
    )
