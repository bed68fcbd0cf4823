"""The text gate: what engines find in tissue, and that they fail rather than find nothing.

Recall by size and contrast is measured by ``benchmarks.pixel_text``; here are the easy cases.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from privacy.deidentify import text_rapidocr
from privacy.deidentify.regions import Rectangle
from privacy.deidentify.text import (
    ENGINES,
    TextBox,
    TextDetector,
    TextEngineError,
    available,
    open_detector,
    text_box,
)
from privacy.deidentify.text_rapidocr import RapidocrDetector, RapidocrSettings
from privacy.deidentify.text_strokes import StrokesDetector
from privacy.deidentify.text_tesseract import TesseractDetector
from privacy.errors import InputError

Gray = NDArray[np.uint8]
CANARY = "ZZCANARY"

with_rapidocr = pytest.mark.skipif(
    "rapidocr" not in available(), reason="needs the extra ocr: pip install 'bussynth[ocr]'"
)
with_tesseract = pytest.mark.skipif(
    "tesseract" not in available(), reason="needs tesseract: apt install tesseract-ocr"
)


def tissue(seed: int, rows: int = 200, columns: int = 300) -> Gray:
    """Speckle in layers, without any text."""
    random = np.random.default_rng(seed)
    parts = [ndimage.gaussian_filter(random.normal(size=(rows, columns)), (1.2, 2.2)) for _ in "ri"]
    layers = ndimage.gaussian_filter(random.normal(size=(rows, columns)), (12, 40))
    layers = 0.05 + (layers - layers.min()) / np.ptp(layers)
    decibels = 20 * np.log10(np.hypot(*parts) * layers + 1e-4)
    return np.clip((decibels + 60) * 2.8, 0, 170).astype(np.uint8)


def lettered(image: Gray, text: str, place: tuple[int, int], size: int, level: int) -> NDArray[Any]:
    """Draw into an image; return its glyph pixels."""
    ink = Image.new("L", image.shape[::-1])
    ImageDraw.Draw(ink).text(place, text, fill=255, font=ImageFont.load_default(size))
    share = np.asarray(ink) / 255
    image[...] = np.rint(image * (1 - share) + level * share)
    return share > 0.3


def covered(boxes: tuple[TextBox, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    for box in boxes:
        place = box.rectangle
        assert place.fits(shape[0], shape[1])
        mask[place.top : place.bottom, place.left : place.right] = True
    return mask


def test_boxes_say_where_and_never_what() -> None:
    assert [field.name for field in dataclasses.fields(TextBox)] == ["rectangle", "score"]
    with pytest.raises(ValueError, match="within 0 to 1"):
        TextBox(rectangle=Rectangle(0, 0, 1, 1), score=1.5)
    box = text_box((2.4, 3, 7.2, 5), (2, 4), (8, 9), 2.0)
    assert box == TextBox(rectangle=Rectangle(0, 0, 9, 8), score=1.0)
    assert text_box((12, 3, 15, 5), (1, 1), (8, 9), 0.5) is None


def test_engines_are_named_and_opened() -> None:
    assert set(available()) <= set(ENGINES)
    assert {"strokes", "none"} <= set(available())
    assert open_detector("none").find(tissue(0)) == ()
    with pytest.raises(TextEngineError, match="no text engine 'other'") as caught:
        open_detector("none+other")
    assert isinstance(caught.value, InputError)
    with pytest.raises(ValueError, match="at least 1"):
        open_detector("none", threads=0)


@pytest.mark.parametrize("engine", ["strokes", "none", "strokes+none"])
def test_only_gray_images_are_taken(engine: str) -> None:
    detector = open_detector(engine)
    for bad in (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ValueError, match="gray images of 8 bits"):
            detector.find(bad)  # type: ignore[arg-type]


def test_strokes_take_lines_and_leave_calipers() -> None:
    image = np.full((120, 200), 60, np.uint8)
    glyphs = lettered(image, "NGUYEN 1961", (20, 20), 16, 240)
    for x, y in ((40, 90), (150, 90)):
        image[y - 6 : y + 7, x] = image[y, x - 6 : x + 7] = 240
    boxes = StrokesDetector().find(image)
    mask = covered(boxes, image.shape)
    assert mask[glyphs].all()
    assert not mask[70:].any()
    assert StrokesDetector().find(np.full((30, 40), 200, np.uint8)) == ()


def test_a_union_finds_what_any_finds() -> None:
    image = np.full((60, 200), 60, np.uint8)
    lettered(image, "NGUYEN 1961", (20, 20), 16, 240)
    union = open_detector("strokes+none+strokes")
    assert union.find(image) == StrokesDetector().find(image) != ()
    assert union.name == f"{StrokesDetector().name}; none"


# --- rapidocr


@pytest.fixture(scope="module")
def network() -> RapidocrDetector:
    return RapidocrDetector.load()


def network_of(
    answer: Callable[[NDArray[np.float32]], NDArray[np.float32]], **settings: Any
) -> RapidocrDetector:
    return RapidocrDetector(versions=("0", "0"), settings=RapidocrSettings(**settings), run=answer)


@with_rapidocr
def test_small_letters_in_tissue_are_found(network: RapidocrDetector) -> None:
    image = tissue(1)
    lines = [("NGUYEN THI MAI", (20, 15), 10, 255), ("ID 00382915", (120, 70), 14, 230)]
    lines += [("12/03/1961", (40, 120), 24, 20)]
    glyphs = [lettered(image, *line) for line in lines]
    mask = covered(network.find(image), image.shape)
    found = [float(mask[glyph].mean()) for glyph in glyphs]
    sys.stdout.write(f"glyph pixels in boxes: {found}, marked: {mask.mean():.3f}\n")
    assert min(found) >= 0.9
    assert mask.mean() < 0.2


@with_rapidocr
def test_tissue_without_text_is_left(network: RapidocrDetector) -> None:
    # Without its reference line the network takes nearly all of these images for text.
    shares = [float(covered(network.find(tissue(seed)), (200, 300)).mean()) for seed in range(3)]
    sys.stdout.write(f"tissue marked: {shares}\n")
    assert np.mean(shares) < 0.03


@with_rapidocr
def test_nothing_is_fetched_logged_or_imported(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    caplog.set_level(logging.DEBUG)
    image = tissue(2, 60, 120)
    lettered(image, CANARY, (10, 20), 14, 255)
    detector = open_detector("rapidocr", threads=2)
    assert detector.find(image)
    assert "rapidocr" not in sys.modules
    assert "PP-OCRv6_det_small" in detector.name
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@with_rapidocr
def test_images_of_any_size_go_through(network: RapidocrDetector) -> None:
    for shape in ((1, 1), (3, 500), (70, 2)):
        network.find(np.full(shape, 90, np.uint8))


@pytest.mark.parametrize("missing", ["rapidocr", "onnxruntime"])
def test_without_the_extra_the_message_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def find(name: str) -> object:
        return None if name == "rapidocr" else original(name)

    if missing == "rapidocr":
        original = text_rapidocr.importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", find)
        assert "rapidocr" not in available()
    else:
        monkeypatch.setattr(text_rapidocr, "_model", lambda: b"")
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(TextEngineError, match=rf"{missing} is not installed.*bussynth\[ocr\]"):
        open_detector("rapidocr")


@pytest.mark.parametrize("content", [None, b"another network"])
def test_another_network_is_refused(
    content: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "rapidocr"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    if content is not None:
        (folder / "models" / "PP-OCRv6_det_small.onnx").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "rapidocr", raising=False)
    with pytest.raises(TextEngineError, match="lacks the network"):
        RapidocrDetector.load()


def seeing(*places: tuple[int, int, int, int]) -> Callable[[Any], NDArray[np.float32]]:
    """A network that sees the reference line and what is told (enlarged pixels)."""

    def answer(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        chances = np.zeros((1, 1, *pixels.shape[2:]), np.float32)
        chances[0, 0, -64:] = 0.9
        for left, top, right, bottom in places:
            chances[0, 0, top:bottom, left:right] = 0.8
        return chances

    return answer


def test_cores_are_widened_to_the_glyphs() -> None:
    detector = network_of(seeing((40, 20, 120, 30)), scale=2.0, widen=1.6, margin=2)
    (box,) = detector.find(np.zeros((64, 96), np.uint8))
    # 80 x 10 enlarged pixels: 1.6 * 800 / 180 = 7.1 around, 3.6 in the image, and the margin.
    assert box.rectangle == Rectangle(14, 4, 66, 21)
    assert box.score == pytest.approx(0.8)
    assert (
        network_of(seeing((40, 20, 120, 30)), score=0.85).find(np.zeros((64, 96), np.uint8)) == ()
    )


def test_tiles_cover_the_image_and_join() -> None:
    sizes = []

    def answer(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(pixels.shape)
        return np.where(pixels[:, :1] > 0, np.float32(0.9), np.float32(0))

    image = np.zeros((300, 500), np.uint8)
    image[100:112, 20:480] = 255
    whole = network_of(answer, scale=1.0, tile=1024).find(image)
    tiled = network_of(answer, scale=1.0, tile=256, overlap=64).find(image)
    assert [box.rectangle for box in tiled] == [box.rectangle for box in whole]
    assert len(whole) == 1
    assert len(sizes) == 1 + 2 * 3
    assert all(height % 32 == width % 32 == 0 for *_, height, width in sizes)


@pytest.mark.parametrize(
    "answer",
    [
        lambda pixels: np.zeros((1, 1, *pixels.shape[2:]), np.float32),
        lambda pixels: np.full((1, 1, *pixels.shape[2:]), np.nan, np.float32),
        lambda pixels: np.ones((1, 1, 4, 4), np.float32),
    ],
)
def test_a_network_that_does_not_see_its_line_is_not_trusted(answer: Any) -> None:
    with pytest.raises(TextEngineError, match="nothing is known"):
        network_of(answer).find(tissue(3, 64, 64))


@pytest.mark.parametrize(
    "wrong",
    [{"scale": 0.5}, {"chance": 1.0}, {"score": -0.1}, {"margin": -1}, {"tile": 1000},
     {"tile": 256, "overlap": 128}],
)  # fmt: skip
def test_settings_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        RapidocrSettings(**wrong)  # type: ignore[arg-type]


# --- tesseract

TABLE = "\t".join(["level", "page", "block", "par", "line", "word", *"ltwh", "conf", "text"])


def word(left: int, top: int, width: int, height: int, confidence: float, text: str) -> str:
    numbers = [5, 1, 1, 1, 1, 1, left, top, width, height, confidence]
    return "\t".join([*map(str, numbers), text])


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], TextDetector]:
    """Put a program named tesseract on the path; it runs ``body`` with the image in ``given``."""

    def put(body: str) -> TextDetector:
        program = tmp_path / "tesseract"
        program.write_text(
            f"#!{sys.executable}\nimport os, sys, time\n"
            "if '--version' in sys.argv: print('tesseract 9.8.7'); sys.exit()\n"
            "if '--list-langs' in sys.argv: print('List:\\neng\\nosd'); sys.exit()\n"
            "given = sys.stdin.buffer.read()\n" + body
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(tmp_path))
        return open_detector("tesseract")

    return put


def test_tesseract_is_asked_through_pipes(
    fake: Callable[[str], TextDetector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", CANARY)
    rows = [word(40, 20, 60, 24, 91.0, "Nguyen"), word(0, 60, 8, 8, 95.0, "-|_"),
            word(10, 80, 20, 9, 5.0, "ab"), "4" + word(0, 0, 90, 90, -1, "")[1:], ""]  # fmt: skip
    detector = fake(
        "assert sys.argv[1:] == ['stdin', 'stdout', '-l', 'eng', '--psm', '11', 'tsv'], sys.argv\n"
        "assert given[:8] == b'\\x89PNG\\r\\n\\x1a\\n' and os.environ['OMP_THREAD_LIMIT'] == '1'\n"
        "assert 'SECRET' not in os.environ\n"
        f"print({TABLE!r}); print({chr(10).join(rows)!r})"
    )
    assert detector.name.startswith("tesseract 9.8.7, eng")
    (box,) = detector.find(np.zeros((60, 90), np.uint8))
    assert box == TextBox(rectangle=Rectangle(17, 7, 53, 25), score=0.91)
    assert [file.name for file in tmp_path.iterdir()] == ["tesseract"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"sys.stderr.write('{CANARY}'); sys.exit(3)", "failed; nothing is known"),
        (f"print('head'); print({word(1, 1, 1, 1, 50, CANARY)!r}.replace('50', 'x'))", "table"),
    ],
)
def test_a_tesseract_that_fails_is_told_without_what_it_said(
    fake: Callable[[str], TextDetector],
    capfd: pytest.CaptureFixture[str],
    body: str,
    message: str,
) -> None:
    with pytest.raises(TextEngineError, match=message) as caught:
        fake(body).find(np.zeros((8, 8), np.uint8))
    assert CANARY not in f"{caught.value!r}{capfd.readouterr()}"
    assert caught.value.__cause__ is None


def test_a_tesseract_that_hangs_is_ended(fake: Callable[[str], TextDetector]) -> None:
    detector = fake("time.sleep(60)")
    assert isinstance(detector, TesseractDetector)
    start = time.perf_counter()
    with pytest.raises(TextEngineError, match="time limit"):
        dataclasses.replace(detector, seconds=0.3).find(np.zeros((8, 8), np.uint8))
    assert time.perf_counter() - start < 20


def test_without_tesseract_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "tesseract" not in available()
    with pytest.raises(TextEngineError, match="apt install tesseract-ocr"):
        open_detector("tesseract")


@with_tesseract
def test_tesseract_finds_large_text() -> None:
    image = np.full((100, 300), 70, np.uint8)
    glyphs = lettered(image, "HOSPITAL 1961", (30, 30), 28, 255)
    mask = covered(open_detector("tesseract").find(image), image.shape)
    assert mask[glyphs].mean() >= 0.9
