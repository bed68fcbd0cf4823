from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from bussynth.errors import DataError, UsageError
from bussynth.images import decode_image, encode_png, read_header

RAMP = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)


def save(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunks(width: int, height: int, *extra: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 64)
    parts = [(b"IHDR", header), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in parts)


def decode(data: bytes, **options: int) -> np.ndarray:
    return decode_image(data, what="row 3", **options)


def test_round_trip_is_exact_and_deterministic() -> None:
    assert np.array_equal(decode(encode_png(RAMP)), RAMP)
    assert encode_png(RAMP) == encode_png(np.asfortranarray(RAMP))
    assert encode_png(np.zeros((1, 1), np.uint8)).count(b"IDAT") == 1


@pytest.mark.parametrize(
    "pixels",
    [RAMP.astype(np.int32), RAMP[None], np.zeros((0, 4), np.uint8), RAMP.tolist()],
)
def test_encode_refuses(pixels: object) -> None:
    with pytest.raises(UsageError):
        encode_png(pixels)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_lossless_formats_are_exact(kind: str) -> None:
    assert np.array_equal(decode(save(Image.fromarray(RAMP), kind)), RAMP)


def test_jpeg_is_close() -> None:
    smooth = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    got = decode(save(Image.fromarray(smooth), "JPEG", quality=95))
    assert np.abs(got.astype(int) - smooth).max() <= 4


def test_grey_stored_as_rgb_or_palette_stays_exactly_as_it_is() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(decode(save(Image.fromarray(every).convert("RGB"))), every)
    palette = Image.fromarray(every[::-1].copy(), "L").convert("L")
    indexed = Image.frombytes("P", (16, 16), bytes(range(256)))
    indexed.putpalette([value for v in range(256) for value in (255 - v,) * 3])
    assert np.array_equal(decode(save(indexed)), np.asarray(255 - every))
    assert palette.mode == "L"


def test_colour_is_bt601_luma() -> None:
    assert decode(save(Image.new("RGB", (1, 1), (200, 100, 50))))[0, 0] == round(
        0.299 * 200 + 0.587 * 100 + 0.114 * 50
    )


def test_one_bit_becomes_0_and_255() -> None:
    bits = Image.fromarray(RAMP > 100).convert("1")
    assert np.array_equal(decode(save(bits)), np.where(RAMP > 100, 255, 0))


def test_alpha_is_composited_over_black_not_dropped() -> None:
    rgba = Image.new("RGBA", (2, 1), (200, 200, 200, 255))
    rgba.putpixel((1, 0), (200, 200, 200, 0))
    assert decode(save(rgba)).tolist() == [[200, 0]]
    grey = Image.merge("LA", (Image.new("L", (1, 1), 200), Image.new("L", (1, 1), 128)))
    assert abs(int(decode(save(grey))[0, 0]) - 100) <= 1


def test_transparent_colours_of_palette_grey_and_deep_grey_are_black() -> None:
    indexed = Image.frombytes("P", (2, 1), bytes([0, 1]))
    indexed.putpalette([50, 50, 50, 90, 90, 90])
    assert decode(save(indexed, transparency=1)).tolist() == [[50, 0]]
    grey = Image.frombytes("L", (2, 1), bytes([50, 90]))
    assert decode(save(grey, transparency=90)).tolist() == [[50, 0]]
    deep = Image.fromarray(np.array([[257 * 50, 257 * 90]], np.uint16))
    data = save(deep)
    clear = png_chunk_transparency(data, 257 * 90)
    assert decode(clear).tolist() == [[50, 0]]


def png_chunk_transparency(data: bytes, value: int) -> bytes:
    body = struct.pack(">H", value)
    chunk = struct.pack(">I", 2) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))
    at = data.index(b"IDAT") - 4
    return data[:at] + chunk + data[at:]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_grey_is_scaled_by_the_full_scale(kind: str) -> None:
    deep = np.array([[0, 128, 2048, 4095]], np.uint16)
    data = save(Image.fromarray(deep), kind)
    assert decode(data).tolist() == [[0, 0, 8, 16]]
    assert decode(data, full_scale=4095).tolist() == [[0, 8, 128, 255]]
    with pytest.raises(DataError, match="full scale"):
        decode(data, full_scale=4094)
    every = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    wanted = np.rint(every / 65_535 * 255)
    assert np.array_equal(decode(save(Image.fromarray(every), kind)), wanted)


def test_big_endian_tiff() -> None:
    deep = Image.frombytes("I;16B", (2, 1), struct.pack(">HH", 0, 65_535))
    assert decode(save(deep, "TIFF")).tolist() == [[0, 255]]


def test_negative_values_are_refused() -> None:
    with pytest.raises(DataError, match="range"):
        decode(save(Image.fromarray(np.array([[-1, 5]], np.int32)), "TIFF"))


@pytest.mark.parametrize("mode", ["CMYK", "F", "LAB"])
def test_modes_that_need_a_decision_are_refused(mode: str) -> None:
    with pytest.raises(DataError, match=f"row 3: colour mode {mode}"):
        decode(save(Image.new(mode, (4, 4)), "TIFF"))


def test_orientation_is_applied_and_the_header_agrees() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "TIFF"):
        data = save(Image.fromarray(RAMP), kind, exif=exif)
        header = read_header(data, what="x")
        assert decode(data).shape == (20, 12), kind
        assert (header.width, header.height) == (12, 20), kind
    png = save(Image.fromarray(RAMP), "PNG", exif=exif)
    assert np.array_equal(decode(png), np.rot90(RAMP, -1))


def test_size_is_capped_before_decoding() -> None:
    huge = png_chunks(65_535, 65_535)
    assert len(huge) < 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"row 3: .*larger"):
            decode(huge)
    # Above Pillow's warning but below its error, and a cap above both.
    with pytest.raises(DataError):
        decode(png_chunks(10_000, 10_000), max_pixels=10**9)
    with pytest.raises(DataError, match="above the limit of 239"):
        decode(encode_png(RAMP), max_pixels=239)
    assert decode(encode_png(RAMP), max_pixels=240).shape == (12, 20)


def test_no_pixels() -> None:
    for data in (png_chunks(0, 4), png_chunks(4, 0), b""):
        with pytest.raises(DataError, match="row 3"):
            decode(data)


def test_every_truncation_is_refused() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    for kind in ("PNG", "TIFF"):
        data = save(Image.fromarray(pixels), kind)
        for end in range(0, len(data) - 12, 7):
            with pytest.raises(DataError, match="row 3"):
                decode(data[:end])
    # A JPEG without its last two bytes (the end mark) is all there.
    data = save(Image.fromarray(pixels), "JPEG")
    for end in range(0, len(data) - 40, 7):
        with pytest.raises(DataError, match="row 3"):
            decode(data[:end])


def test_any_flipped_bit_of_a_png_is_refused() -> None:
    data = encode_png(RAMP)
    for position in range(8, len(data), 5):
        broken = bytearray(data)
        broken[position] ^= 1
        try:
            pixels = decode(bytes(broken))
        except DataError:
            continue
        # Only what stands after the pixels may be ignored.
        assert position >= data.index(b"IEND")
        assert np.array_equal(pixels, RAMP)


def test_several_frames_are_refused() -> None:
    frames = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    for kind in ("PNG", "TIFF", "MPO"):
        data = save(frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.raises(DataError, match="frames"):
            decode(data)
        with pytest.raises(DataError, match="frames"):
            read_header(data, what="x")


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"GIF89a" + bytes(40),
        b"BM" + bytes(60),
        bytes(500),
    ],
)
def test_other_formats_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="not a PNG, JPEG or TIFF"):
        decode(data)


def test_text_bomb_is_refused() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(8 * 2**20))
    with pytest.raises(DataError):
        decode(png_chunks(4, 4, (b"zTXt", bomb)))


def test_messages_quote_nothing_of_the_file() -> None:
    data = encode_png(RAMP)
    at = data.index(b"IDAT")
    with pytest.raises(DataError) as caught:
        decode(data[:at] + b"DOE^" + data[at + 4 :])
    assert "DOE" not in str(caught.value)


def test_truncated_mode_of_pillow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UsageError, match="TRUNCATED"):
        decode(encode_png(RAMP))


@pytest.mark.parametrize("full_scale", [0, 65_536])
def test_full_scale_range(full_scale: int) -> None:
    with pytest.raises(UsageError):
        decode(encode_png(RAMP), full_scale=full_scale)


def test_header_of_an_open_file_leaves_it_open() -> None:
    file = io.BytesIO(encode_png(RAMP))
    header = read_header(file, what="x")
    assert (header.width, header.height, header.format, header.mode) == (20, 12, "PNG", "L")
    assert not file.closed


def test_threads_leave_warning_filters_alone() -> None:
    before = list(warnings.filters)
    data = encode_png(RAMP)

    def work() -> None:
        for _ in range(50):
            decode(data)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
