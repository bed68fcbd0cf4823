"""Open a sampler in ONNX; needs the extra ``onnx``."""

from __future__ import annotations

import importlib
import tempfile
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bussynth.errors import DataError, MissingDependencyError
from bussynth.wrapping.forward import SHOWN, Forward, ForwardError

__all__ = ["onnx_runtime", "open_onnx"]

_WEIGHTS_FOLDER: Final = "session.model_external_initializers_file_folder_path"
_TYPES: Final = {"noise": "tensor(float)", "conditions": "tensor(int64)"}


def onnx_runtime(file: str) -> Any:
    """Return the module ``onnxruntime``.

    Args:
        file: What needs it, in messages.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingDependencyError(
            f"{file}: ONNX samplers need onnxruntime. Install it: pip install 'bussynth[onnx]'."
        ) from error


def open_onnx(content: bytes, file: str, *, conditional: bool) -> Forward:
    """Open an ONNX model with its weights inside; it runs on the CPU.

    Args:
        content: Bytes of the file.
        file: Its name in messages.
        conditional: Whether it takes ``conditions`` beside ``noise``.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        DataError: It is no ONNX model, or has other inputs or outputs.
    """
    runtime = onnx_runtime(file)
    try:
        session = _session(runtime, content)
        inputs = {entry.name: entry for entry in session.get_inputs()}
        outputs = list(session.get_outputs())
    except Exception as error:  # onnxruntime raises classes of its own
        raise DataError(f"{file}: not an ONNX model with its weights inside.") from error
    wanted = {key: kind for key, kind in _TYPES.items() if conditional or key == "noise"}
    problems = []
    if set(inputs) != set(wanted):
        problems.append(f"expected the inputs {', '.join(wanted)}, found {', '.join(inputs)}")
    problems += [
        f"input {name}: expected {kind}, found {inputs[name].type}"
        for name, kind in wanted.items()
        if name in inputs and inputs[name].type != kind
    ]
    if len(outputs) != 1 or outputs[0].type != "tensor(float)":
        problems.append("expected one output, of type tensor(float)")
    if problems:
        raise DataError(f"{file}: the ONNX model breaks the contract of a sampler.", problems)
    # Many exports fix the number of images, mostly to one.
    shape = inputs["noise"].shape
    first = shape[0] if shape else None
    fixed = first if isinstance(first, int) and first > 0 else None

    def run(
        noise: npt.NDArray[np.float32], codes: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[Any]:
        n = len(noise)
        feed: dict[str, npt.NDArray[Any]] = {"noise": noise}
        if codes is not None:
            feed["conditions"] = codes
        step = fixed or n
        parts = []
        try:
            for start in range(0, n, step):
                part = {
                    name: _filled(array[start : start + step], step) for name, array in feed.items()
                }
                parts.append(np.asarray(session.run(None, part)[0]))
        except Exception as error:  # as above
            raise ForwardError(" ".join(str(error).split())[:SHOWN]) from error
        if any(part.ndim == 0 or len(part) != step for part in parts):
            raise ForwardError("it returns another number of images than it is given rows")
        return np.concatenate(parts)[:n]

    return Forward(run, {"onnxruntime": str(runtime.__version__)})


def _session(runtime: Any, content: bytes) -> Any:
    """Open a model that has nothing outside its own bytes, which the digest covers."""
    options = runtime.SessionOptions()
    with tempfile.TemporaryDirectory() as empty:
        # Otherwise weights in other files would be looked for in the working folder.
        options.add_session_config_entry(_WEIGHTS_FOLDER, empty)
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _filled(rows: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
    """Fill a part up with its last row."""
    return (
        rows if len(rows) == step else np.concatenate([rows, rows[-1:].repeat(step - len(rows), 0)])
    )
