"""The contract of a sampler in TorchScript or ONNX, and the record that lies beside it.

::

    forward(noise, conditions) -> images          with a vocabulary
    forward(noise) -> images                      without one

===========  =========================================================================
noise        float32 (n, c, h, w), standard normal, c, h, w = ``noise_shape``
conditions   int64 (n, columns): columns in alphabetical order, 0 = not stated, values
             from 1 in the order of the vocabulary
images       float32 (n, 1, H, W) in [0, 1], H, W = ``image_size``
===========  =========================================================================

``sampler.json`` beside the model::

    {
        "schema": "bussynth-sampler/1",
        "image_size": [64, 64],
        "noise_shape": [1, 64, 64],
        "vocabulary": {"device": ["x", "y"], "pathology": ["normal", "benign", "malignant"]},
    }

An ONNX model names its inputs ``noise`` and ``conditions``, has one output and its weights
inside. A sampler may draw no randomness of its own: one that needs noise in several steps takes
it as further channels of ``noise``. Image i must depend on row i alone, whatever n.

Opening a TorchScript file runs the program in it, and ONNX runs its operators: use files from
people you trust. Pickled models are never opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bussynth.cohort.schema import check_vocabulary
from bussynth.config import suggest
from bussynth.errors import DataError
from bussynth.wrapping.conditions import cohort_vocabulary
from bussynth.wrapping.records import parse_record
from bussynth.wrapping.source import SPEC_FILE

__all__ = ["SCHEMA", "SamplerSpec", "parse_spec"]

SCHEMA: Final = "bussynth-sampler/1"
_MAX_EDGE: Final = 4096
_MAX_NOISE: Final = 2**26


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSpec:
    """What a sampler says of itself.

    Attributes:
        image_size: Height and width of its images, in pixels.
        noise_shape: Channels, height and width of its noise.
        vocabulary: Values of each condition column, in the order of their codes; may be empty.
    """

    image_size: tuple[int, int]
    noise_shape: tuple[int, int, int]
    vocabulary: Mapping[str, tuple[str, ...]]


def parse_spec(data: bytes) -> SamplerSpec:
    """Parse the content of a ``sampler.json``.

    Raises:
        DataError: It is not valid; all problems are listed.
    """
    record = parse_record(data, what=SPEC_FILE)
    if record.get("schema") != SCHEMA:
        raise DataError(
            f"{SPEC_FILE} has schema {record.get('schema')!r}, but this version reads {SCHEMA!r}."
        )
    known = ("schema", "image_size", "noise_shape", "vocabulary")
    problems = [f"unknown key {key!r}{suggest(key, known)}" for key in record if key not in known]
    problems += [f"missing key {key!r}" for key in known if key not in record]
    size, noise = record.get("image_size", []), record.get("noise_shape", [])
    if "image_size" in record and not _are_edges(size, 2):
        problems.append(f"image_size: expected [height, width], each in 1..{_MAX_EDGE}")
    if "noise_shape" in record and not _are_edges(noise, 3):
        problems.append(f"noise_shape: expected [c, h, w], each in 1..{_MAX_EDGE}")
    words = record.get("vocabulary", {})
    if not _are_words(words):
        problems.append("vocabulary: expected a list of words for each column, or {}")
    else:
        try:
            check_vocabulary(cohort_vocabulary(words))
        except DataError as error:
            problems += [f"vocabulary: {problem}" for problem in error.problems]
    if problems:
        raise DataError(f"{SPEC_FILE} is not valid.", problems)
    return SamplerSpec(
        image_size=tuple(size),
        noise_shape=tuple(noise),
        vocabulary={column: tuple(values) for column, values in words.items()},
    )


def _are_edges(value: Any, count: int) -> bool:
    if not isinstance(value, list) or len(value) != count:
        return False
    if any(isinstance(edge, bool) or not isinstance(edge, int) for edge in value):
        return False
    total = 1
    for edge in value:
        total *= edge
    return all(1 <= edge <= _MAX_EDGE for edge in value) and total <= _MAX_NOISE


def _are_words(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(words, list) and all(isinstance(word, str) for word in words)
        for words in value.values()
    )
