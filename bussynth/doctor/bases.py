"""Whether the bases in the box are whole."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from bussynth.builtin import builtin_names
from bussynth.doctor.finding import Finding
from bussynth.errors import BussynthError

__all__ = ["look_at_bases"]

_AGAIN: Final = "pip install --force-reinstall bussynth"
_DAMAGED: Final = 5


def look_at_bases() -> list[Finding]:
    """A finding on each base: it loads, and every file has the digest that its record names."""
    names = builtin_names()
    if not names:
        return [
            Finding(
                name="bases",
                state="problem",
                text="there are none in the box",
                remedy=_AGAIN,
                code=_DAMAGED,
            )
        ]
    if any(find_spec(module) is None for module in ("torch", "safetensors")):
        return [Finding(name="bases", state="ok", text=f"{', '.join(names)}; not opened")]
    return [_look_at(name) for name in names]


def _look_at(name: str) -> Finding:
    from bussynth.generator.base import open_base

    try:
        model = open_base(name).model
    except BussynthError as error:
        return Finding(
            name=name,
            state="problem",
            text=error.message,
            remedy=_AGAIN,
            details=error.problems,
            code=error.exit_code,
        )
    height, width = model.architecture.image_size
    weights = sum(tensor.numel() for tensor in model.weights.values())
    return Finding(
        name=name,
        state="ok",
        text=f"{width}x{height} pixels, {weights / 1e6:.2f} million weights, {model.digest[:19]}…",
        data={"digest": model.digest, "weights": weights},
    )
