from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.phantom.patient import simulate_patient
from privacy.deidentify import text_letters
from privacy.deidentify.text import TextEngineError, open_detector
from privacy.deidentify.text_letters import LettersDetector

Gray = NDArray[np.uint8]


@pytest.fixture(scope="module")
def detector() -> LettersDetector:
    return LettersDetector.load()


@pytest.fixture(scope="module")
def tissue() -> list[Gray]:
    # Other phantoms than those the network has seen.
    config = PhantomConfig(image_size=320, seed=71, min_views=1, max_views=1)
    return [simulate_patient(number, config)[0].image for number in range(4)]


def written(
    image: Gray, text: str, size: int, gray: int, place: tuple[int, int]
) -> tuple[Gray, Gray]:
    """The image with text so many grays above what is under it, and a mask of the letters."""
    canvas = Image.new("L", image.shape[::-1])
    ImageDraw.Draw(canvas).text(place, text, fill=255, font=ImageFont.load_default(size))
    ink = np.asarray(canvas, np.float64) / 255
    drawn = np.clip(image + gray * ink, 0, 255)
    return drawn.astype(np.uint8), (ink > 0.5).astype(np.uint8)


def covered(detector: LettersDetector, image: Gray, mask: Gray) -> float:
    inside = np.zeros(image.shape, bool)
    for box in detector.find(image):
        edges = box.rectangle
        inside[edges.top : edges.bottom, edges.left : edges.right] = True
    return float(inside[mask > 0].mean())


@pytest.mark.parametrize("gray", [60, 110, -80])
@pytest.mark.parametrize("size", [12, 16, 28])
def test_text_is_found(detector: LettersDetector, tissue: list[Gray], size: int, gray: int) -> None:
    found = []
    for number, image in enumerate(tissue):
        # Dark text needs something bright under it.
        under = np.clip(image.astype(int) + (90 if gray < 0 else 0), 0, 255).astype(np.uint8)
        drawn, mask = written(under, f"MEIER, A{number} 17", size, gray, (40, 60 + 40 * number))
        found.append(covered(detector, drawn, mask) >= 0.9)
    assert sum(found) >= 3


def test_tissue_is_left_alone(detector: LettersDetector, tissue: list[Gray]) -> None:
    # One image in forty is marked somewhere (docs/results.md).
    assert sum(bool(detector.find(image)) for image in tissue) <= 1


def speckle(rng: np.random.Generator, shape: tuple[int, int]) -> Gray:
    """Log-compressed speckle, finer than that of the phantoms."""
    echoes = ndimage.uniform_filter(rng.normal(size=(2, *shape)), (0, 3, 5), mode="wrap")
    envelope = np.hypot(*echoes)
    decibels = 20 * np.log10(envelope / envelope.mean() + 1e-3)
    return np.clip(85 + 255 / 60 * decibels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(110, 203), (113, 208), (128, 192)])
def test_fine_speckle_of_any_size_is_left_alone(
    detector: LettersDetector, shape: tuple[int, int]
) -> None:
    # A first network took all of it for text, and the second one what had been added at the edges.
    rng = np.random.default_rng(5)
    assert sum(bool(detector.find(speckle(rng, shape))) for _ in range(12)) <= 1


def test_letters_in_fine_speckle_are_found(detector: LettersDetector) -> None:
    rng = np.random.default_rng(6)
    found = []
    for number in range(8):
        drawn, mask = written(speckle(rng, (110, 203)), f"NGUYEN{number}", 14, 100, (40, 50))
        found.append(covered(detector, drawn, mask) >= 0.9)
    assert sum(found) >= 7


def test_large_images_are_looked_at_in_parts(detector: LettersDetector, tissue: list[Gray]) -> None:
    drawn, mask = written(tissue[0], "MEIER, ANNA", 18, 120, (90, 120))
    # The text lies across the border of two parts.
    assert covered(replace(detector, tile=128, overlap=64), drawn, mask) >= 0.9
    assert detector.find(drawn) == detector.find(drawn)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (17, 300)])
@pytest.mark.parametrize("value", [0, 255])
def test_empty_images(detector: LettersDetector, shape: tuple[int, int], value: int) -> None:
    assert detector.find(np.full(shape, value, np.uint8)) == ()


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = bytearray(text_letters.WEIGHTS.read_bytes())
    data[-1] ^= 1
    changed = tmp_path / "weights"
    changed.write_bytes(data)
    for path in (changed, tmp_path / "none"):
        monkeypatch.setattr(text_letters, "WEIGHTS", path)
        with pytest.raises(TextEngineError, match="weights"):
            open_detector("letters")


def test_it_is_named_for_the_record() -> None:
    assert open_detector("letters").name.startswith("letters, weights ")
