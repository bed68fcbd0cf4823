"""Text by the detection network of PP-OCRv6, as the package rapidocr carries it.

Only the network is used, by onnxruntime: rapidocr itself is never imported, so that neither its
downloads nor its log exist here. Its file is named and known by its SHA-256, and what was measured
is what runs. The network gives each pixel a chance to lie in the core of a line of text
(differentiable binarization, Liao et al. 2020, AAAI, arXiv:1911.08947); here pixels above a
threshold that touch are a line, and the core is widened to the glyphs.

Images are enlarged first, since the letters of ultrasound machines are smaller than those the
network was trained on, and cut into tiles that overlap, so that memory does not grow with them.

The network judges by comparison: in an image without any text it takes all of the speckle for text.
So a **reference line** is written below every tile, plain letters on black, along all of its width
(a single word is lost beside smooth bright tissue). It gives the network what to compare with, and
is a control: where the network does not see it, `find` fails rather than find nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from privacy.deidentify.text import TextBox, TextEngineError, check_gray, text_box
from privacy.deidentify.tiles import tiles

__all__ = ["RapidocrDetector", "RapidocrSettings"]

_MODEL: Final = "PP-OCRv6_det_small"
_SHA256: Final = "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"
_INSTALL: Final = "Install it: pip install 'bussynth[ocr]'."
_STEP: Final = 32  # the network halves its input five times
_LINE: Final = "Reference 0123 "
_LINE_SIZE: Final = 28
_LINE_ROWS: Final = 64
_CONTROL: Final = 0.5  # share of the columns of the reference line that must be seen

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class RapidocrSettings:
    """How lines of text are read from the network, as measured by ``benchmarks.pixel_text``.

    Attributes:
        scale: Images are enlarged so many times.
        inverse: Look at the negative too, and take what either shows.
        chance: A pixel above this chance belongs to the core of a line.
        score: A line is believed if its core has this mean chance, at least.
        widen: A core is widened by this times its area over its perimeter, on all sides.
        margin: Pixels that are added to that.
        tile: Largest edge of what the network sees at once, in enlarged pixels.
        overlap: Enlarged pixels that neighbouring tiles share.
    """

    scale: float = 2.0
    inverse: bool = False
    chance: float = 0.3
    score: float = 0.4
    widen: float = 1.6
    margin: int = 2
    tile: int = 1024
    overlap: int = 192

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= 8:
            raise ValueError(f"scale={self.scale!r} must be within 1 to 8.")
        if not 0 < self.chance < 1 or not 0 <= self.score < 1:
            raise ValueError("chance and score must be within 0 to 1.")
        if self.widen < 0 or self.margin < 0:
            raise ValueError("widen and margin must not be negative.")
        if self.overlap < 0 or self.tile % _STEP or self.tile < 2 * self.overlap + _STEP:
            raise ValueError(f"tile={self.tile!r} must be a multiple of 32, over twice overlap.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RapidocrDetector:
    """Finds lines of text; open one by `load`, once a process.

    Attributes:
        versions: Versions of rapidocr and onnxruntime, for the record.
        settings: How lines are read from the network.
        run: The network: float32 (1, 3, H, W) to float32 (1, 1, H, W), chances.
    """

    versions: tuple[str, str]
    settings: RapidocrSettings
    run: Callable[[Floats], Floats]

    @classmethod
    def load(
        cls, *, threads: int = 1, settings: RapidocrSettings | None = None
    ) -> RapidocrDetector:
        """Load the network from the installed package; nothing is downloaded.

        Args:
            threads: Threads for one image.
            settings: How lines are read from the network.

        Raises:
            TextEngineError: rapidocr or onnxruntime is not installed, or the network is another.
        """
        content = _model()
        try:
            onnxruntime = importlib.import_module("onnxruntime")
        except ImportError:
            raise TextEngineError(f"onnxruntime is not installed. {_INSTALL}") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Tiles differ in size; an arena would keep the memory of the largest for good.
        options.enable_cpu_mem_arena = False
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0].name

        def run(pixels: Floats) -> Floats:
            try:
                return np.asarray(session.run(None, {entry: pixels})[0], np.float32)
            except Exception:  # onnxruntime raises classes of its own
                raise TextEngineError("The network failed; nothing is known.") from None

        return cls(
            versions=(metadata.version("rapidocr"), str(onnxruntime.__version__)),
            settings=settings or RapidocrSettings(),
            run=run,
        )

    @property
    def name(self) -> str:
        """Engine, versions, model and settings, for the record."""
        own = self.settings
        return (
            f"rapidocr {self.versions[0]}, {_MODEL}, onnxruntime {self.versions[1]}, "
            f"x{own.scale:g}{' and negative' if own.inverse else ''}, score {own.score:g}"
        )

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        """Find lines; see `TextDetector`."""
        check_gray(image)
        chances = self._chances(image)
        if self.settings.inverse:
            chances = np.maximum(chances, self._chances(255 - image))
        return tuple(self._boxes(chances, image.shape))

    def _chances(self, image: NDArray[np.uint8]) -> Floats:
        """Return the chance of each enlarged pixel to lie in the core of a line."""
        own = self.settings
        height, width = (max(round(edge * own.scale), 1) for edge in image.shape)
        large = Image.fromarray(image)
        if own.scale != 1:
            large = large.resize((width, height), Image.Resampling.BICUBIC)
        pixels = np.asarray(large)
        chances = np.zeros((height, width), np.float32)
        for rows in tiles(height, own.tile, own.overlap):
            for columns in tiles(width, own.tile, own.overlap):
                seen = self._tile(pixels[rows, columns])
                here = chances[rows, columns]
                np.maximum(here, seen, out=here)
        return chances

    def _tile(self, part: NDArray[np.uint8]) -> Floats:
        """Return the chances of a tile, after a look at the reference line below it."""
        rows, columns = part.shape
        line = _reference_line(columns)
        # Narrow tiles are filled up on the right, so that the line fits.
        wide = max(columns, line.shape[1]) - columns
        part = np.pad(part, [(0, 0), (0, wide + -(columns + wide) % _STEP)], mode="edge")
        below = np.zeros((_LINE_ROWS + -(rows + _LINE_ROWS) % _STEP, part.shape[1]), np.uint8)
        below[: line.shape[0], : line.shape[1]] = line
        whole = np.concatenate([part, below]).astype(np.float32) / 127.5 - 1
        given = np.ascontiguousarray(np.broadcast_to(whole, (1, 3, *whole.shape)))
        seen = self.run(given)
        if seen.shape != (1, 1, *whole.shape) or not np.isfinite(seen).all():
            raise TextEngineError("The network gave no chances; nothing is known of the image.")
        control = seen[0, 0, rows:][: line.shape[0], : line.shape[1]] > self.settings.chance
        if control.any(axis=0).mean() < _CONTROL:
            raise TextEngineError(
                "The network did not see the reference line; nothing is known of the image."
            )
        return seen[0, 0, :rows, :columns]

    def _boxes(self, chances: Floats, shape: tuple[int, ...]) -> Iterator[TextBox]:
        """Make boxes, from top to bottom, of pixels that touch and have a chance."""
        from scipy import ndimage

        own = self.settings
        labels, found = ndimage.label(chances > own.chance, np.ones((3, 3)))
        scores = ndimage.mean(chances, labels, np.arange(1, found + 1))
        # Enlarged sizes are rounded.
        across, down = shape[1] / chances.shape[1], shape[0] / chances.shape[0]
        for (rows, columns), score in zip(ndimage.find_objects(labels), scores, strict=True):
            if score < own.score:
                continue
            height, width = rows.stop - rows.start, columns.stop - columns.start
            distance = own.widen * height * width / (2 * (height + width))
            edges = (
                columns.start * across,
                rows.start * down,
                columns.stop * across,
                rows.stop * down,
            )
            margins = (distance * across + own.margin, distance * down + own.margin)
            box = text_box(edges, margins, (shape[0], shape[1]), float(score))
            if box is not None:
                yield box


@lru_cache(maxsize=64)
def _reference_line(columns: int) -> NDArray[np.uint8]:
    """Write the reference line, white on black, as often as it fits; once if it does not."""
    font = ImageFont.load_default(_LINE_SIZE)
    length = font.getlength(_LINE)
    times = max(int((columns - _STEP) // length), 1)
    image = Image.new("L", (_STEP + int(times * length), _LINE_ROWS))
    ImageDraw.Draw(image).text((_STEP // 2, _LINE_ROWS // 4), _LINE * times, fill=255, font=font)
    return np.asarray(image)


def _model() -> Any:
    """Read the network of the installed package and check that it is the one that was measured."""
    found = importlib.util.find_spec("rapidocr")  # does not import it
    if found is None or found.origin is None:
        raise TextEngineError(f"rapidocr is not installed. {_INSTALL}")
    try:
        content = (Path(found.origin).parent / "models" / f"{_MODEL}.onnx").read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise TextEngineError(
            f"The installed rapidocr lacks the network {_MODEL} that was measured. "
            "Install the version that constraints.txt names."
        )
    return content
