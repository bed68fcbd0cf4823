"""What the light core leaves out, and the line that installs it."""

from __future__ import annotations

from bussynth.errors import MissingDependencyError

__all__ = ["missing_dependency"]

_FULL = {
    *("diffusers", "dp_accounting", "faiss", "matplotlib", "opacus", "pandas", "pydicom"),
    *("safetensors", "scipy", "skimage", "torch"),
}


def missing_dependency(error: ModuleNotFoundError) -> MissingDependencyError | None:
    """Return the error that tells what to install, or None if that is not what is wrong.

    Args:
        error: Raised by an import.
    """
    name = (error.name or "").partition(".")[0]
    if name not in _FULL:
        return None
    return MissingDependencyError(
        f"This needs {name}, which the light core leaves out; install it: "
        "pip install 'bussynth[full]'"
    )
