"""The text gate: where in an image something is written. Boxes only, never what they say.

The gate asks for boxes, not for strings: a name that a machine cannot read is still a name. Five
engines, behind one interface:

* ``letters``: a small network of our own, trained on letters in ultrasound; quick, and the one
  that sees faint letters.
* ``rapidocr``: the detection network of PP-OCRv6, of the extra ``ocr``. It was made for Latin,
  Chinese and Japanese; what it finds of other scripts is measured by ``benchmarks.pixel_text``. No
  recognition is run, so no text ever exists in memory.
* ``tesseract``: the command line of Debian's tesseract-ocr. It reads documents; in speckle it
  misses most of what the network finds, and marks tissue.
* ``strokes``: lines of bright strokes by shape alone, without any model. Fast, blind to faint and
  dark text, and many a bright layer of tissue is marked.
* ``none``: finds nothing; for images that are known to carry no text.

Engines are joined by a plus sign: ``rapidocr+strokes`` finds what either finds.

**This is a detector, not a proof.** It misses text that hardly stands out of the tissue, and marks
some tissue. What removes identifiers is the crop to regions of tissue; a person looks at the rest.
Nothing is downloaded, logged or written.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.regions import Rectangle
from privacy.errors import InputError

__all__ = [
    "ENGINES",
    "TextBox",
    "TextDetector",
    "TextEngineError",
    "available",
    "check_gray",
    "open_detector",
    "text_box",
]

ENGINES: Final = ("letters", "rapidocr", "tesseract", "strokes", "none")


class TextEngineError(InputError):
    """An engine is unknown, not installed, not the one that was measured, or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBox:
    """A place where something is written; what it says is not known.

    Attributes:
        rectangle: All pixels of the glyphs, and a margin.
        score: How sure the engine is, 0 to 1; not comparable between engines.
    """

    rectangle: Rectangle
    score: float

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise ValueError(f"score={self.score!r} must be within 0 to 1.")


class TextDetector(Protocol):
    """What finds text."""

    @property
    def name(self) -> str:
        """Engine, version and model, for the record."""
        ...

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        """Find text.

        Args:
            image: Gray (H, W).

        Returns:
            Boxes, from top to bottom; they may overlap.

        Raises:
            ValueError: The image is of another kind.
            TextEngineError: The engine failed; nothing is known about the image.
        """
        ...


def available() -> tuple[str, ...]:
    """Name the engines that can be opened here, without loading any.

    Example:
        >>> "none" in available()
        True
    """
    found = {
        "letters": _installed("torch", "safetensors", "scipy"),
        "rapidocr": _installed("rapidocr", "onnxruntime", "scipy"),
        "tesseract": shutil.which("tesseract") is not None,
        "strokes": _installed("scipy"),
        "none": True,
    }
    return tuple(engine for engine in ENGINES if found[engine])


def open_detector(engine: str, *, threads: int = 1) -> TextDetector:
    """Open an engine, once a process: it holds a model and cannot be sent to another process.

    Args:
        engine: One of ``ENGINES``, or several joined by ``+``.
        threads: Threads of ``rapidocr`` for one image; one, since files are processed in parallel.

    Returns:
        What finds text.

    Raises:
        TextEngineError: The engine is unknown or not installed; the message says what to install.
        ValueError: Fewer than one thread.

    Example:
        >>> open_detector("none").find(np.zeros((8, 8), np.uint8))
        ()
    """
    if threads < 1:
        raise ValueError(f"threads={threads!r} must be at least 1.")
    names = engine.split("+")
    unknown = [name for name in names if name not in ENGINES]
    if unknown:
        raise TextEngineError(
            f"There is no text engine {unknown[0]!r}; there are {', '.join(ENGINES)}."
        )
    opened = [_open(name, threads) for name in dict.fromkeys(names)]
    return opened[0] if len(opened) == 1 else _Union(tuple(opened))


def check_gray(image: NDArray[np.uint8]) -> None:
    """Refuse what is no gray image of 8 bits.

    Raises:
        ValueError: The image is of another kind.
    """
    if image.dtype != np.uint8 or image.ndim != 2 or not image.size:
        raise ValueError("Text is looked for in gray images of 8 bits.")


def text_box(
    edges: tuple[float, float, float, float],
    margins: tuple[float, float],
    shape: tuple[int, int],
    score: float,
) -> TextBox | None:
    """Make a box with margins, within the image.

    Args:
        edges: Left, top, right and bottom, in pixels; right and bottom do not belong to it.
        margins: Pixels added beside, and above and below.
        shape: Height and width of the image.
        score: How sure the engine is; cut to 0 to 1.

    Returns:
        The box; None where it lies outside of the image.
    """
    left, top, right, bottom = edges
    beside, above = margins
    x0, y0 = max(int(np.floor(left - beside)), 0), max(int(np.floor(top - above)), 0)
    x1 = min(int(np.ceil(right + beside)), shape[1])
    y1 = min(int(np.ceil(bottom + above)), shape[0])
    if x0 >= x1 or y0 >= y1:
        return None
    return TextBox(rectangle=Rectangle(x0, y0, x1, y1), score=float(min(max(score, 0.0), 1.0)))


def _installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)


def _open(engine: str, threads: int) -> TextDetector:
    if engine == "letters":
        from privacy.deidentify.text_letters import LettersDetector

        return LettersDetector.load()
    if engine == "rapidocr":
        from privacy.deidentify.text_rapidocr import RapidocrDetector

        return RapidocrDetector.load(threads=threads)
    if engine == "tesseract":
        from privacy.deidentify.text_tesseract import TesseractDetector

        return TesseractDetector.load()
    if engine == "strokes":
        from privacy.deidentify.text_strokes import StrokesDetector

        return StrokesDetector()
    return _Nothing()


class _Nothing:
    """The engine ``none``."""

    @property
    def name(self) -> str:
        return "none"

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        check_gray(image)
        return ()


@dataclass(frozen=True, slots=True)
class _Union:
    """What any of several engines finds."""

    detectors: tuple[TextDetector, ...]

    @property
    def name(self) -> str:
        return "; ".join(detector.name for detector in self.detectors)

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        found = [box for detector in self.detectors for box in detector.find(image)]
        return tuple(sorted(found, key=lambda box: (box.rectangle.top, box.rectangle.left)))
