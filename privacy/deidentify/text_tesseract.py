"""Text by the command line of tesseract-ocr, as a second engine.

The image goes in through a pipe, boxes come out through another: no shell and no temporary file.
Tesseract reads before it tells where; what it read is looked at here only to drop words without a
letter or digit, which speckle gives by the hundred, and is never kept. Its messages are discarded.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from privacy.deidentify.text import TextBox, TextEngineError, check_gray, text_box

__all__ = ["TesseractDetector"]

_LANGUAGE: Final = "eng"
_FIELDS: Final = 12
_WORD: Final = "5"
_INSTALL: Final = "Install it: apt install tesseract-ocr."


@dataclass(frozen=True, slots=True, kw_only=True)
class TesseractDetector:
    """Finds words that tesseract can read; open one by `load`.

    Attributes:
        command: Path of the program.
        version: What it says of its version.
        scale: Images are enlarged so many times: small letters are lost otherwise.
        least: Confidence of a word, at least, 0 to 1.
        letters: Letters and digits of a word, at least.
        margin: Pixels added around a word.
        seconds: Time limit for one image.
    """

    command: str
    version: str
    scale: int = 2
    least: float = 0.3
    letters: int = 2
    margin: int = 3
    seconds: float = 60.0

    @classmethod
    def load(cls) -> TesseractDetector:
        """Find the program and ask for its version and languages.

        Raises:
            TextEngineError: It or its English data are not installed, or it does not answer.
        """
        command = shutil.which("tesseract")
        if command is None:
            raise TextEngineError(f"Tesseract is not installed. {_INSTALL}")
        said = _run([command, "--version"], b"", 20.0).split()
        if _LANGUAGE not in _run([command, "--list-langs"], b"", 20.0).split():
            raise TextEngineError(f"Tesseract lacks its data for {_LANGUAGE!r}. {_INSTALL}")
        return cls(command=os.path.abspath(command), version=said[1] if len(said) > 1 else "?")

    @property
    def name(self) -> str:
        """Engine, version and settings, for the record."""
        return (
            f"tesseract {self.version}, {_LANGUAGE}, x{self.scale}, confidence {self.least}, "
            f"{self.letters} letters"
        )

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        """Find words; see `TextDetector`."""
        check_gray(image)
        height, width = image.shape
        large = Image.fromarray(image).resize(
            (width * self.scale, height * self.scale), Image.Resampling.BICUBIC
        )
        out = io.BytesIO()
        large.save(out, "PNG", compress_level=1)
        arguments = [self.command, "stdin", "stdout", "-l", _LANGUAGE, "--psm", "11", "tsv"]
        table = _run(arguments, out.getvalue(), self.seconds)
        return tuple(
            box for line in table.splitlines()[1:] if (box := self._box(line, image.shape))
        )

    def _box(self, line: str, shape: tuple[int, int]) -> TextBox | None:
        """Read a line of the table: level, five counters, box, confidence in percent, word."""
        fields = line.split("\t", _FIELDS - 1)
        if len(fields) != _FIELDS or fields[0] != _WORD:
            return None
        if sum(character.isalnum() for character in fields[11]) < self.letters:
            return None
        try:
            left, top, width, height = (int(field) / self.scale for field in fields[6:10])
            score = float(fields[10]) / 100
        except ValueError:
            raise TextEngineError("Tesseract wrote a table that cannot be read.") from None
        if not score >= self.least:
            return None
        edges = (left, top, left + width, top + height)
        return text_box(edges, (self.margin, self.margin), shape, score)


def _run(arguments: list[str], given: bytes, seconds: float) -> str:
    """Run the program; what it says when it fails may quote the image and is not told."""
    known = ("PATH", "TESSDATA_PREFIX", "LD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in known if name in os.environ}
    # Files are processed in parallel; more threads make tesseract slower then.
    environment |= {"OMP_THREAD_LIMIT": "1", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            arguments,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TextEngineError("Tesseract took longer than its time limit.") from None
    except OSError:
        raise TextEngineError(f"Tesseract cannot be started. {_INSTALL}") from None
    if done.returncode:
        raise TextEngineError("Tesseract failed; nothing is known about the image.")
    return done.stdout.decode("utf-8", "replace")
