"""Who looks for text: the engine that was asked for, opened once a process."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from bussynth.errors import UsageError

if TYPE_CHECKING:
    from privacy.deidentify.text import TextDetector

__all__ = ["engine_name", "open_engine", "resolve_engine"]

# letters finds more, in a twentieth of the time (docs/results.md).
_BEST: Final = ("letters", "rapidocr")


def resolve_engine(asked: str) -> str:
    """Return the engine to use.

    Args:
        asked: A name of ``privacy.deidentify.text.ENGINES``, or ``"auto"`` for the best installed.

    Returns:
        Its name.

    Raises:
        UsageError: If ``"auto"`` finds none that finds text.
    """
    from privacy.deidentify.text import available

    if asked != "auto":
        return asked
    installed = available()
    for engine in _BEST:
        if engine in installed:
            return engine
    raise UsageError(
        "No text engine is installed, so burned-in text would not be found: "
        "pip install 'bussynth[full]', or choose another --text-engine knowingly."
    )


def engine_name(engine: str) -> str:
    """Return engine, version and model for the record; this opens it.

    Raises:
        UsageError: If it is not installed.
    """
    from privacy.deidentify.text import TextEngineError

    try:
        return open_engine(engine).name
    except TextEngineError as error:
        raise UsageError(str(error)) from None


@lru_cache(maxsize=1)
def open_engine(engine: str) -> TextDetector:
    """Open an engine, or return the one that is open.

    Raises:
        TextEngineError: If it is not installed.
    """
    from privacy.deidentify.text import open_detector

    return open_detector(engine)
