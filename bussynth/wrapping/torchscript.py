"""Open a sampler in TorchScript."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bussynth.generator.device import resolve_device
from bussynth.wrapping.archive import no_archive
from bussynth.wrapping.forward import SHOWN, Forward, ForwardError

__all__ = ["open_torchscript"]


def open_torchscript(content: bytes, file: str, device: str = "auto") -> Forward:
    """Open a TorchScript archive; this runs the program in it.

    Args:
        content: Bytes of the file, which passed :mod:`bussynth.wrapping.archive`.
        file: Its name in messages.
        device: Device of torch.

    Raises:
        DataError: It is damaged.
        UsageError: The device does not exist.
    """
    place = resolve_device(device)
    jit: Any = torch.jit  # untyped
    with warnings.catch_warnings():
        # Newer versions of torch call TorchScript deprecated on every use.
        warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
        try:
            module = jit.load(io.BytesIO(content), map_location=place).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise no_archive(file) from error

    def run(
        noise: npt.NDArray[np.float32], codes: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[Any]:
        arrays = [noise] if codes is None else [noise, codes]
        try:
            with torch.inference_mode():
                out = module(*(torch.from_numpy(array).to(place) for array in arrays))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            # The last line names the cause; those before trace the model's source.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ForwardError(lines[-1][:SHOWN]) from error
        if not isinstance(out, torch.Tensor):
            raise ForwardError(f"it returns {type(out).__name__}, not one tensor")
        if out.dtype != torch.float32:
            raise ForwardError(f"it returns {out.dtype}, not torch.float32")
        result: npt.NDArray[Any] = out.cpu().numpy()
        return result

    return Forward(run, {"torch": torch.__version__})
