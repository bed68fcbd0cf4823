"""A trained encoder as a feature space, and its file.

The weights were fitted to images of patients and remember something of them, as does any network
trained this long on this few images. They are personal data: they stay with the site, the file
is readable by its owner alone, and no package holds them.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.features.base import FloatArray
from audits.features.learned.architecture import Architecture
from audits.features.learned.pool import WORKING_SIDE
from audits.features.pixels import reduce_area
from audits.search.threads import one_thread_each

if TYPE_CHECKING:
    from audits.features.learned.network import Encoder

__all__ = ["SCHEMA", "LearnedMap"]

SCHEMA: Final = "bussynth-encoder/1"

_BLOCK = 64
"""Images computed together; the last block is filled up, so row i never sees another shape."""
_LARGEST = 1 << 28
_COUNTS = ("number", "seed", "steps", "images", "patients")


def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    import torch

    from audits.features.learned.network import Encoder

    with torch.device("meta"):
        state = Encoder(architecture).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _digest(architecture: Architecture, weights: Mapping[str, FloatArray]) -> str:
    total = hashlib.sha256(json.dumps(architecture.to_dict(), sort_keys=True).encode())
    for name in sorted(weights):
        total.update(name.encode() + np.ascontiguousarray(weights[name], "<f4").tobytes())
    return "sha256:" + total.hexdigest()


@dataclass(frozen=True, eq=False)
class LearnedMap:
    """A feature space learned from the site's own images.

    Attributes:
        architecture: Shape of the network.
        weights: float32 arrays by name. Personal data.
        counts: number (first or second encoder, from 1), seed, steps, images and
            patients of the training.
        pool: Digest of the images it was trained on.
    """

    architecture: Architecture
    weights: Mapping[str, FloatArray]
    counts: Mapping[str, int]
    pool: str

    def __post_init__(self) -> None:
        """Refuse weights that do not fit.

        Raises:
            AuditInputError: Lists every problem.
        """
        problems = []
        whole = all(type(value) is int for value in self.counts.values())
        if set(self.counts) != set(_COUNTS) or not whole:
            problems.append(f"expected whole numbers {', '.join(_COUNTS)}.")
        shapes = _shapes(self.architecture)
        if set(shapes) != set(self.weights):
            problems.append("weights are missing, or some are unknown.")
        else:
            for name, shape in shapes.items():
                array = self.weights[name]
                if array.shape != shape or array.dtype != np.float32:
                    problems.append(
                        f"{name}: expected float32 {shape}. Got {array.dtype} {array.shape}."
                    )
                elif not np.isfinite(array).all():
                    problems.append(f"{name}: not all values are finite.")
        if problems:
            raise AuditInputError("This encoder cannot be used.", problems)

    def __repr__(self) -> str:
        """No weight must reach a log."""
        return f"LearnedMap(name={self.name!r})"

    @property
    def name(self) -> str:
        """``"learned 1"`` for the first encoder."""
        return f"learned {self.counts['number']}"

    @property
    def family(self) -> str:
        """``"learned"``."""
        return "learned"

    @cached_property
    def _encoder(self) -> Encoder:
        import torch

        from audits.features.learned.network import Encoder

        with torch.device("meta"):
            encoder = Encoder(self.architecture)
        state = {name: torch.tensor(array) for name, array in self.weights.items()}
        encoder.load_state_dict(state, assign=True)
        return encoder.eval().requires_grad_(False)

    @cached_property
    def digest(self) -> str:
        """``"sha256:..."`` of architecture and weights."""
        return _digest(self.architecture, self.weights)

    def features(self, images: npt.NDArray[np.uint8], *, mirrored: bool = False) -> FloatArray:
        """Vectors of images; see :class:`audits.features.base.FeatureMap`.

        Args:
            images: uint8 (n, H, W).
            mirrored: Mirror left-right first.

        Returns:
            float32 (n, dimensions), unit norm; zeros for a flat image.
        """
        out = np.zeros((len(images), self.architecture.dimensions), np.float32)
        with one_thread_each("torch"):
            for begin in range(0, len(images), _BLOCK):
                part = images[begin : begin + _BLOCK]
                content = part.max(axis=(1, 2)) > part.min(axis=(1, 2))
                out[begin : begin + _BLOCK][content] = self._block(part, mirrored)[content]
        return out

    def _block(self, images: npt.NDArray[np.uint8], mirrored: bool) -> FloatArray:
        import torch

        values: FloatArray = images.astype(np.float32)
        if max(images.shape[1:]) > WORKING_SIDE:
            values = reduce_area(images, WORKING_SIDE)
        if mirrored:
            values = values[:, :, ::-1]
        block = np.zeros((_BLOCK, 1, *values.shape[1:]), np.float32)
        block[: len(images), 0] = values / 255.0
        with torch.inference_mode():
            vectors: FloatArray = self._encoder(torch.from_numpy(block)).numpy()
        return vectors[: len(images)]

    def describe(self) -> Mapping[str, Any]:
        """What a report says of the encoder."""
        return {
            "architecture": self.architecture.to_dict(),
            "parameters": sum(array.size for array in self.weights.values()),
            "digest": self.digest,
            "symmetric on train and control": True,
            **{name: self.counts[name] for name in _COUNTS if name != "number"},
        }

    def save(self, path: Path | str) -> None:
        """Write the encoder, readable by its owner alone. The file is personal data.

        Args:
            path: A ``.safetensors`` file; replaced whole or not at all.
        """
        from safetensors.numpy import save

        record = {
            "schema": SCHEMA,
            "architecture": self.architecture.to_dict(),
            "counts": dict(self.counts),
            "pool": self.pool,
            "digest": self.digest,
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in self.weights.items()}
        data = save(arrays, {"encoder": json.dumps(record, sort_keys=True)})
        path = Path(path)
        temporary = path.parent / f".{path.name}.partial-{secrets.token_hex(4)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path | str, *, expects: str | None) -> LearnedMap:
        """Read an encoder; no code runs.

        Args:
            path: The file.
            expects: Digest of the images it must have been trained on
                (:func:`audits.features.learned.pool.pool_digest`); None takes an encoder of any
                images. There is no default: an encoder that saw only one side favours that side.

        Returns:
            The encoder.

        Raises:
            AuditInputError: The file is missing, damaged or of another kind, or the encoder was
                trained on other images.
        """
        path = Path(path)
        try:
            if path.stat().st_size > _LARGEST:
                raise AuditInputError(f"{path} is too large to be an encoder.")
            record, weights = _parse(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, AuditInputError):
                raise
            raise AuditInputError(f"{path} cannot be read as an encoder.") from error
        if record.get("schema") != SCHEMA:
            found = record.get("schema")
            raise AuditInputError(f"{path} has schema {found!r}; this version reads {SCHEMA!r}.")
        if set(record) != {"schema", "architecture", "counts", "pool", "digest"}:
            raise AuditInputError(f"{path} lacks fields or has unknown ones.")
        architecture, counts = record["architecture"], record["counts"]
        if not isinstance(architecture, dict) or not isinstance(counts, dict):
            raise AuditInputError(f"{path} lacks fields or has unknown ones.")
        result = cls(Architecture.from_dict(architecture), weights, counts, str(record["pool"]))
        if result.digest != record["digest"]:
            raise AuditInputError(f"{path} was changed: its digest does not match.")
        if expects is not None and result.pool != expects:
            raise AuditInputError(
                f"{path} was trained on other images than these; train it anew, or say that an "
                "encoder of other images may be used."
            )
        return result


def _parse(data: bytes) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    record = json.loads(header["__metadata__"]["encoder"])
    if not isinstance(record, dict):
        raise ValueError("expected a table")
    try:
        return record, load(data)
    except SafetensorError as error:
        raise ValueError("damaged weights") from error
