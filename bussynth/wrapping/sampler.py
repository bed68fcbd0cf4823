"""A sampler in a file: checked before use, then drawn from by number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from bussynth.errors import DataError
from bussynth.generator.seeds import derive_seed
from bussynth.ingest.notes import Note
from bussynth.wrapping.archive import check_archive
from bussynth.wrapping.conditions import codes, requested
from bussynth.wrapping.digest import source_digest
from bussynth.wrapping.forward import Forward, ForwardError
from bussynth.wrapping.onnx import onnx_runtime, open_onnx
from bussynth.wrapping.records import MAX_RECORD_BYTES
from bussynth.wrapping.source import SPEC_FILE, Source
from bussynth.wrapping.spec import SamplerSpec, parse_spec

__all__ = ["FileSampler", "SamplerPlan", "check_sampler"]

_PROBES: Final = 4
_TOLERANCE: Final = 1 / 255
"""Largest change of a pixel when other rows share the batch: one grey level."""
_OVERSHOOT: Final = 1e-3
"""How far rounding may carry a pixel out of [0, 1]."""
_LEAST_DIFFERENCE: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class SamplerPlan:
    """A sampler whose record was read, and whose model was not opened yet.

    Attributes:
        kind: ``"torchscript"`` or ``"onnx"``.
        file: Name of the model file.
        content: Its bytes; digest and model come from the same ones.
        spec: What it says of itself.
        digest: ``"sha256:…"`` of model and record.
    """

    kind: str
    file: str
    content: bytes = field(repr=False)
    spec: SamplerSpec
    digest: str

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images it makes."""
        return self.spec.image_size

    def open(self, *, seed: int, device: str = "auto") -> FileSampler:
        """Open the model and try it.

        Args:
            seed: Of the noise.
            device: Device of torch, for TorchScript.

        Raises:
            DataError: The file is not what it should be, or breaks the contract.
            MissingDependencyError: ONNX without onnxruntime.
        """
        if self.kind == "onnx":
            conditional = bool(self.spec.vocabulary)
            forward = open_onnx(self.content, self.file, conditional=conditional)
        else:
            from bussynth.wrapping.torchscript import open_torchscript

            forward = open_torchscript(self.content, self.file, device)
        sampler = FileSampler(forward, self.spec, self.file, seed)
        sampler.check()
        return sampler


def check_sampler(source: Source) -> SamplerPlan:
    """Read a sampler's record and bytes; runs nothing of it.

    Raises:
        DataError: ``sampler.json`` is missing or not valid, or the model is a pickle or cannot be
            read.
        MissingDependencyError: ONNX without onnxruntime.
    """
    beside = source.path.parent / SPEC_FILE
    if not beside.is_file():
        raise DataError(
            f"{SPEC_FILE} is missing beside {source.path.name}: it says what goes in and out, see "
            "`bussynth wrap --help`."
        )
    record, content = _read(beside, MAX_RECORD_BYTES + 1), _read(source.path)
    if source.kind == "torchscript":
        check_archive(content, source.path.name)
    else:
        onnx_runtime(source.path.name)
    files = [("model", hashlib.sha256(content)), ("record", hashlib.sha256(record))]
    return SamplerPlan(
        kind=source.kind,
        file=source.path.name,
        content=content,
        spec=parse_spec(record),
        digest=source_digest(source.kind, [(name, value.hexdigest()) for name, value in files]),
    )


def _read(path: Path, limit: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror}).") from error


@dataclass(frozen=True, eq=False)
class FileSampler:
    """An opened sampler.

    Attributes:
        forward: Its forward pass.
        spec: What it says of itself.
        file: Its name in messages.
        seed: Of the noise.
    """

    forward: Forward
    spec: SamplerSpec
    file: str
    seed: int

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the libraries that run it."""
        return self.forward.versions

    def draw(
        self, rows: Sequence[int], conditions: Sequence[Mapping[str, str | None]]
    ) -> npt.NDArray[np.uint8]:
        """Draw images by number: uint8 (n, H, W).

        Image i starts from the noise of the seed and i, as in :mod:`bussynth.generator`.

        Args:
            rows: Numbers of the images.
            conditions: What each is asked to be.

        Raises:
            DataError: The sampler breaks its contract.
        """
        images = self._images([derive_seed("noise", self.seed, row) for row in rows], conditions)
        return np.asarray(np.rint(images * 255), dtype=np.uint8)

    def check(self) -> None:
        """Try the sampler on a few rows.

        Raises:
            DataError: Shape, type or range are wrong, images change with the rows beside them or
                from call to call, or do not change with the noise.
        """
        seeds = [derive_seed("probe", row) for row in range(_PROBES)]
        asked = [requested(self.spec.vocabulary, {}, 0, row) for row in range(_PROBES)]
        together = self._images(seeds, asked)
        again = self._images(seeds, asked)
        if _change(together, again) > _TOLERANCE:
            raise DataError(
                f"{self.file}: the same noise gives other images on a second call, so the sampler "
                "draws randomness of its own and no image could be made again. Take all "
                "randomness from the noise; it may have as many channels as needed."
            )
        alone = np.concatenate(
            [self._images([seed], [row]) for seed, row in zip(seeds, asked, strict=True)]
        )
        if _change(together, alone) > _TOLERANCE:
            raise DataError(
                f"{self.file}: an image changes with the rows that share its batch. Export the "
                "sampler in evaluation mode (no batch statistics, no dropout)."
            )
        same = self._images(seeds, [asked[0]] * _PROBES)
        if float(np.ptp(same, axis=0).max()) < _LEAST_DIFFERENCE:
            raise DataError(f"{self.file}: unlike noise gives the same image.")

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the user should know: which conditions change no image on a trial."""
        if not self.spec.vocabulary:
            return ()
        seed = derive_seed("probe", 0)
        unsaid = self._images([seed], [{}])
        deaf = [
            column
            for column, words in sorted(self.spec.vocabulary.items())
            if all(
                _change(unsaid, self._images([seed], [{column: word}])) < _LEAST_DIFFERENCE
                for word in words
            )
        ]
        if not deaf:
            return ()
        text = f"on a trial the sampler did not heed the conditions {', '.join(deaf)}"
        return (Note("conditions-without-effect", text),)

    def _images(
        self, seeds: Sequence[int], conditions: Sequence[Mapping[str, str | None]]
    ) -> npt.NDArray[np.float32]:
        """Pixels float32 (n, H, W) in [0, 1], checked."""
        from bussynth.generator.sampler import initial_noise

        noise = initial_noise(seeds, self.spec.noise_shape).numpy()
        words = self.spec.vocabulary
        try:
            out = self.forward.run(noise, codes(conditions, words) if words else None)
            self._check_output(out, len(seeds))
        except ForwardError as error:
            raise DataError(
                f"{self.file}: fails as a sampler of {len(seeds)} images with noise "
                f"{list(self.spec.noise_shape)}: {error}."
            ) from error
        return np.asarray(out[:, 0].clip(0, 1), dtype=np.float32)

    def _check_output(self, out: npt.NDArray[np.generic], n: int) -> None:
        shape = (n, 1, *self.spec.image_size)
        if out.shape != shape or out.dtype != np.float32:
            raise ForwardError(f"expected float32 {shape}, got {out.dtype} {out.shape}")
        pixels = np.asarray(out, dtype=np.float32)
        if not np.isfinite(pixels).all():
            raise ForwardError("its output holds NaN or infinity")
        low, high = float(pixels.min()), float(pixels.max())
        if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
            raise ForwardError(f"its grey values span {low:.3g} .. {high:.3g}, not 0 .. 1")


def _change(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max())
