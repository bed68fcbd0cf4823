"""A user's own encoder as a feature space: a TorchScript or ONNX file.

Contract: float32 (n, 1, H, W) in [0, 1] in (a model that wants three channels gets the grey image
three times), (n, d) or (n, d, h, w) out, the latter averaged over h and w. Everything is
checked before use: a row must depend on its own image only, and different images must differ.

Opening a TorchScript file runs the program in it, and ONNX runs its operators: use files from
people you trust. Pickled models (``torch.load``) are never opened.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.features.base import FloatArray
from audits.features.gradients import unit_rows

__all__ = ["UserEncoder"]

_Run = Callable[[FloatArray], npt.NDArray[Any]]
"""A forward pass: float32 (n, channels, H, W) to whatever the model returns, as an array."""

_TOLERANCE = 1e-4
"""Largest change of an entry of a unit row when other images share the batch."""
_LEAST_DIFFERENCE = 1e-6
"""Entries of unit rows of unlike images that differ less mean a constant output."""
_PROBES = 4
_SHOWN = 300
"""Characters of a model's own error message that are passed on."""
_CONTRACT = "expected float32 (n, 1 or 3, H, W) in [0, 1] in and (n, d) or (n, d, h, w) out"


class _ForwardError(Exception):
    """The model could not run on what it was given."""


def _torchscript(content: bytes, file: str) -> _Run:
    import torch

    jit: Any = torch.jit  # untyped
    with warnings.catch_warnings():
        # Newer versions of torch call TorchScript deprecated on every use.
        warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
        try:
            module = jit.load(io.BytesIO(content), map_location="cpu").eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise AuditInputError(
                f"{file}: not a TorchScript archive. Save the model with torch.jit.save; "
                "files of torch.save are not opened, for they can run anything."
            ) from error

    def run(pixels: FloatArray) -> npt.NDArray[Any]:
        try:
            with torch.inference_mode():
                out = module(torch.from_numpy(pixels))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            # The last line names the cause; those before trace the model's source.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise _ForwardError(lines[-1][:_SHOWN]) from error
        if not isinstance(out, torch.Tensor):
            raise _ForwardError(f"it returns {type(out).__name__}, not one tensor")
        result: npt.NDArray[Any] = out.to(torch.float32).numpy()
        return result

    return run


def _onnx(content: bytes, file: str) -> _Run:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise AuditInputError(
            f"{file}: ONNX encoders need onnxruntime. Install it: pip install 'bussynth[onnx]'."
        ) from error
    try:
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        (entry,) = session.get_inputs()
    except Exception as error:  # onnxruntime raises classes of its own
        raise AuditInputError(
            f"{file}: not an ONNX model with one input and its weights inside."
        ) from error

    # Many exports fix the number of images, mostly to one.
    first = entry.shape[0] if entry.shape else None
    fixed = first if isinstance(first, int) and first > 0 else None

    def run(pixels: FloatArray) -> npt.NDArray[Any]:
        step = len(pixels) if fixed is None else fixed
        if len(pixels) % step:
            raise _ForwardError(f"it takes {fixed} images at a time: pass a multiple as batch")
        try:
            parts = [
                np.asarray(session.run(None, {entry.name: pixels[i : i + step]})[0])
                for i in range(0, len(pixels), step)
            ]
        except Exception as error:  # as above
            raise _ForwardError(" ".join(str(error).split())[:_SHOWN]) from error
        result: npt.NDArray[Any] = np.concatenate(parts)
        return result

    return run


_LOADERS = {".pt": ("TorchScript", _torchscript), ".ts": ("TorchScript", _torchscript)}
_LOADERS[".onnx"] = ("ONNX", _onnx)


def _pooled(out: npt.NDArray[Any], n: int) -> npt.NDArray[np.float64]:
    """The output as (n, d), or an error that says what is wrong with it."""
    if out.ndim not in (2, 4) or out.shape[0] != n or out.shape[1] < 2 or 0 in out.shape:
        raise _ForwardError(f"{n} images give an output of shape {out.shape}; d must be at least 2")
    wide = out.astype(np.float64)
    pooled: npt.NDArray[np.float64] = wide.mean(axis=(2, 3)) if out.ndim == 4 else wide
    if not np.isfinite(pooled).all():
        raise _ForwardError("its output holds NaN or infinity")
    return pooled


@dataclass(frozen=True, eq=False)
class UserEncoder:
    """An encoder read from a file; make one by :meth:`load`.

    Attributes:
        digest: SHA-256 of the file, hexadecimal.
        format: ``"TorchScript"`` or ``"ONNX"``.
        channels: Channels that it takes, 1 or 3.
        dimensions: Length of its vectors.
        batch: Images a forward pass, always filled up, so that shapes never change.
        run: The forward pass.
    """

    digest: str
    format: str
    channels: int
    dimensions: int
    batch: int
    run: _Run

    @classmethod
    def load(
        cls, path: str | Path, *, image_size: tuple[int, int] = (64, 64), batch: int = 32
    ) -> UserEncoder:
        """Read an encoder and try it on made-up images.

        Args:
            path: A ``.pt`` or ``.ts`` (TorchScript) or ``.onnx`` file. Loading runs it.
            image_size: Height and width of the images to be encoded.
            batch: Images a forward pass, at least 4; never changes a vector by more than 1e-4.

        Returns:
            The encoder.

        Raises:
            AuditInputError: No such file, another format, or an encoder that breaks the contract
                (see the module).
        """
        path = Path(path)
        file = path.name
        if path.suffix.lower() not in _LOADERS:
            raise AuditInputError(
                f"{file}: expected a TorchScript (.pt, .ts) or ONNX (.onnx) encoder."
            )
        if batch < _PROBES:
            raise AuditInputError(f"batch: expected at least {_PROBES}. Got {batch!r}.")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise AuditInputError(f"{file}: cannot be read ({error.strerror}).") from error
        kind, loader = _LOADERS[path.suffix.lower()]
        # Hash and model come from the same bytes, whatever happens to the file meanwhile.
        run = loader(content, file)
        digest = hashlib.sha256(content).hexdigest()
        rng = np.random.default_rng(0)
        probes = rng.integers(0, 256, (_PROBES, *image_size), dtype=np.uint8)
        problems = []
        for channels in (1, 3):
            encoder = cls(digest, kind, channels, 0, batch, run)
            try:
                vectors = encoder._encode(probes)
            except _ForwardError as error:
                problems.append(f"given {channels} channel(s): {error}")
                continue
            encoder._check(probes, vectors, file)
            return cls(digest, kind, channels, vectors.shape[1], batch, run)
        raise AuditInputError(
            f"{file}: cannot encode images of {image_size[0]}x{image_size[1]}; {_CONTRACT}.",
            problems,
        )

    def _encode(self, images: npt.NDArray[np.uint8]) -> FloatArray:
        """Unit rows, one fixed-size forward pass after the other."""
        parts = []
        for begin in range(0, len(images), self.batch):
            block = images[begin : begin + self.batch]
            pixels = np.zeros((self.batch, self.channels, *images.shape[1:]), np.float32)
            pixels[: len(block)] = block[:, None] / np.float32(255)
            parts.append(_pooled(self.run(pixels), self.batch)[: len(block)])
        return unit_rows(np.concatenate(parts), 1e-12)

    def _check(self, probes: npt.NDArray[np.uint8], vectors: FloatArray, file: str) -> None:
        alone = np.concatenate([self._encode(probe[None]) for probe in probes])
        change = float(np.abs(alone - vectors).max())
        if change > _TOLERANCE:
            raise AuditInputError(
                f"{file}: the vector of an image changes by {change:.1g} with the images beside "
                "it. Export the model in evaluation mode (no batch statistics, no dropout)."
            )
        if float(np.ptp(vectors, axis=0).max()) < _LEAST_DIFFERENCE:
            raise AuditInputError(
                f"{file}: unlike images get the same vector. Is it the encoder, with its weights?"
            )

    @property
    def name(self) -> str:
        """``"user encoder"`` and the beginning of the digest."""
        return f"user encoder {self.digest[:8]}"

    @property
    def family(self) -> str:
        """``"user"``."""
        return "user"

    def features(self, images: npt.NDArray[np.uint8], *, mirrored: bool = False) -> FloatArray:
        """Vectors of images.

        Args:
            images: uint8 (n, H, W).
            mirrored: Mirror left-right first.

        Returns:
            float32 (n, dimensions), unit norm; zeros for images of one grey value.

        Raises:
            AuditInputError: The encoder fails on these images.
        """
        if mirrored:
            images = images[:, :, ::-1]
        if len(images) == 0:
            return np.empty((0, self.dimensions), np.float32)
        try:
            out = self._encode(images)
        except _ForwardError as error:
            raise AuditInputError(
                f"{self.name}: fails on images of {images.shape[1]}x{images.shape[2]}: {error}."
            ) from error
        out[images.max(axis=(1, 2)) == images.min(axis=(1, 2))] = 0.0
        return out

    def describe(self) -> Mapping[str, Any]:
        """Family, dimensions, format and SHA-256 of the file."""
        return {
            "name": self.name,
            "family": self.family,
            "dimensions": self.dimensions,
            "format": self.format,
            "channels": self.channels,
            "sha256": self.digest,
        }
