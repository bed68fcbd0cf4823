"""Frames against what was put in, and compressed ones against an independent decoder."""

from __future__ import annotations

import io
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from privacy.deidentify import decode
from privacy.deidentify.colour import coloured_share, gray, gray_bytes
from privacy.deidentify.decode import decode_frame, decode_frames
from privacy.deidentify.limits import Limits
from privacy.deidentify.pixel_errors import (
    LimitError,
    PixelDataError,
    StructureError,
    UnsupportedPixelsError,
)
from privacy.deidentify.pixel_file import open_pixels

MakeFile = Callable[..., io.BytesIO]
Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(6)


def noise(*shape: int, high: int = 256) -> Array:
    return RANDOM.integers(0, high, shape, dtype=np.uint8 if high <= 256 else np.uint16)


def smooth(rows: int, columns: int) -> Array:
    y, x = np.mgrid[:rows, :columns]
    waves = [128 + 90 * np.sin(x / 7 + phase) * np.cos(y / 9 - phase) for phase in (0, 1, 2)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def rle(samples: Array) -> bytes:
    """One frame by run lengths, literal runs only (PS3.5 annex G), planes from the high byte on."""
    planes = samples[None] if samples.ndim == 2 else np.moveaxis(samples, -1, 0)
    octets = [
        plane.astype(">u2").view(np.uint8).reshape(-1, 2)[:, byte] if plane.itemsize == 2 else plane
        for plane in planes
        for byte in range(plane.itemsize)
    ]
    segments = []
    for plane in octets:
        flat = plane.tobytes()
        runs = [flat[at : at + 128] for at in range(0, len(flat), 128)]
        coded = b"".join(bytes([len(run) - 1]) + run for run in runs)
        segments.append(coded + b"\x80" * (len(coded) % 2))
    at, offsets = 64, []
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    header = np.array([len(segments), *offsets, *[0] * (15 - len(segments))], "<u4")
    return header.tobytes() + b"".join(segments)


def ybr(rgb: Array) -> Array:
    """PS3.3 C.7.6.3.1.2, YBR_FULL."""
    matrix = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )
    return np.clip(np.rint(rgb @ matrix.T + [0, 128, 128]), 0, 255).astype(np.uint8)


def one(file: io.BytesIO) -> Array:
    return decode_frame(open_pixels(file), 0)


class TestNative:
    @pytest.mark.parametrize(
        "syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
    )
    def test_gray(self, make_file: MakeFile, syntax: str | None) -> None:
        truth = noise(4, 6)
        kind = {} if syntax is None else {"syntax": syntax, "vr": "OW"}
        assert np.array_equal(one(make_file(truth.tobytes(), **kind)), truth)

    def test_white_as_zero_is_turned(self, make_file: MakeFile) -> None:
        truth = noise(4, 6)
        file = make_file((255 - truth).tobytes(), PhotometricInterpretation="MONOCHROME1")
        assert np.array_equal(one(file), truth)

    def test_white_as_zero_with_fewer_bits(self, make_file: MakeFile) -> None:
        truth = noise(4, 6, high=1024)
        file = make_file(
            (1023 - truth).tobytes(),
            vr="OW",
            PhotometricInterpretation="MONOCHROME1",
            BitsAllocated=16,
            BitsStored=10,
        )
        assert np.array_equal(one(file), truth)

    def test_bits_above_those_stored_are_masked(self, make_file: MakeFile) -> None:
        # Where old machines hid overlays, and with them text.
        truth = noise(4, 6, high=4096)
        hidden = truth | (noise(4, 6, high=16).astype(np.uint16) << 12)
        assert (hidden != truth).any()
        file = make_file(hidden.tobytes(), vr="OW", BitsAllocated=16, BitsStored=12)
        frame = one(file)
        assert frame.dtype == np.uint16
        assert np.array_equal(frame, truth)

    def test_overlay_planes_are_not_burnt_in(self, make_file: MakeFile) -> None:
        truth = noise(4, 6)

        def overlay(dataset: Dataset) -> None:
            dataset.add_new(0x60000010, "US", 4)
            dataset.add_new(0x60000011, "US", 6)
            dataset.add_new(0x60000100, "US", 1)
            dataset.add_new(0x60003000, "OW", b"\xff" * 4)

        assert np.array_equal(one(make_file(truth.tobytes(), extra=overlay)), truth)

    @pytest.mark.parametrize("planar", [0, 1])
    def test_colour_by_pixel_and_by_plane(self, make_file: MakeFile, planar: int) -> None:
        truth = noise(4, 6, 3)
        data = np.moveaxis(truth, -1, 0) if planar else truth
        file = make_file(data.tobytes(), shape=truth.shape, PlanarConfiguration=planar)
        frame = one(file)
        assert np.array_equal(frame, truth)
        assert frame.flags.c_contiguous

    def test_colours_of_sixteen_bits(self, make_file: MakeFile) -> None:
        truth = noise(4, 6, 3, high=65536)
        file = make_file(
            truth.tobytes(), shape=truth.shape, vr="OW", BitsAllocated=16, BitsStored=16
        )
        assert np.array_equal(one(file), truth)

    @pytest.mark.parametrize("planar", [0, 1])
    def test_luma_and_chroma(self, make_file: MakeFile, planar: int) -> None:
        truth = smooth(8, 10)
        data = ybr(truth)
        data = np.moveaxis(data, -1, 0) if planar else data
        file = make_file(
            data.tobytes(),
            shape=truth.shape,
            PhotometricInterpretation="YBR_FULL",
            PlanarConfiguration=planar,
        )
        assert np.abs(one(file).astype(int) - truth).max() <= 1

    def test_chroma_shared_by_two_pixels(self, make_file: MakeFile) -> None:
        truth = np.repeat(smooth(8, 10), 2, axis=1)
        whole = ybr(truth)
        quads = np.concatenate([whole[:, ::2, :1], whole[:, 1::2, :1], whole[:, ::2, 1:]], axis=-1)
        file = make_file(
            quads.tobytes(), shape=truth.shape, PhotometricInterpretation="YBR_FULL_422"
        )
        assert np.abs(one(file).astype(int) - truth).max() <= 1

    @pytest.mark.parametrize("bits", [8, 16])
    def test_palette(self, make_file: MakeFile, bits: int) -> None:
        colours = noise(20, 3)
        colours[0, 0] = 255  # a table of 16 bits reaches above 255
        stored = noise(4, 6, high=40)
        truth = colours[np.clip(stored.astype(int) - 10, 0, 19)]

        def palette(dataset: Dataset) -> None:
            for channel, name in enumerate(("Red", "Green", "Blue")):
                values = colours[:, channel]
                table = values.tobytes() if bits == 8 else (values.astype("<u2") << 8).tobytes()
                setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [20, 10, bits])
                setattr(dataset, f"{name}PaletteColorLookupTableData", table)

        file = make_file(stored.tobytes(), PhotometricInterpretation="PALETTE COLOR", extra=palette)
        assert np.array_equal(one(file), truth)

    @pytest.mark.parametrize(("vr", "allocated"), [("OB", 8), ("OW", 8), ("OW", 16)])
    def test_big_endian(self, make_file: MakeFile, vr: str, allocated: int) -> None:
        truth = noise(4, 6, high=1 << allocated)
        data = truth.astype(">u2").tobytes() if allocated == 16 else truth.tobytes()
        if (vr, allocated) == ("OW", 8):
            data = truth.view("<u2").astype(">u2").tobytes()
        file = make_file(
            data,
            syntax=ExplicitVRBigEndian,
            vr=vr,
            BitsAllocated=allocated,
            BitsStored=allocated,
        )
        assert np.array_equal(one(file), truth)

    def test_frames_of_odd_size(self, make_file: MakeFile) -> None:
        truth = noise(3, 5, 7)
        file = make_file(truth.tobytes() + b"\0", shape=(5, 7), NumberOfFrames="3")
        opened = open_pixels(file)
        assert np.array_equal(np.stack(list(decode_frames(opened))), truth)
        assert np.array_equal(np.stack(list(decode_frames(opened, [2, 0]))), truth[[2, 0]])
        with pytest.raises(IndexError):
            decode_frame(opened, 3)

    def test_memory_does_not_grow_with_the_frames(self, make_file: MakeFile) -> None:
        def peak(frames: int) -> int:
            file = make_file(bytes(frames * 40_000), shape=(200, 200), NumberOfFrames=str(frames))
            tracemalloc.start()
            for _ in decode_frames(open_pixels(file)):
                pass
            top = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return top

        assert peak(100) < peak(5) + 40_000


class TestRunLengths:
    @pytest.mark.parametrize(
        ("truth", "stored"),
        [(noise(4, 6), 8), (noise(9, 30, 3), 8), (noise(9, 30, high=4096), 12)],
        ids=["gray", "rgb", "deep"],
    )
    def test_frames(self, make_file: MakeFile, truth: Array, stored: int) -> None:
        file = make_file(
            [rle(truth), rle(truth[::-1])],
            shape=truth.shape,
            syntax=RLELossless,
            NumberOfFrames="2",
            BitsAllocated=8 * truth.itemsize,
            BitsStored=stored,
        )
        frames = list(decode_frames(open_pixels(file)))
        assert np.array_equal(frames[0], truth)
        assert np.array_equal(frames[1], truth[::-1])


LOSSLESS: dict[str, tuple[str, Callable[[Array], bytes]]] = {
    "jpeg-14": (JPEGLossless, lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=4)),
    "jpeg-14-1": (JPEGLosslessSV1, lambda a: imagecodecs.jpeg8_encode(a, lossless=True)),
    "jpeg-ls": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "jpeg-2000": (
        JPEG2000Lossless,
        lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, mct=False),
    ),
}


class TestLossless:
    @pytest.mark.parametrize("name", LOSSLESS)
    def test_gray(self, make_file: MakeFile, name: str) -> None:
        syntax, encode = LOSSLESS[name]
        truth = noise(40, 50)
        file = make_file([encode(truth)], shape=truth.shape, syntax=syntax)
        assert np.array_equal(one(file), truth)

    @pytest.mark.parametrize("name", LOSSLESS)
    def test_colour(self, make_file: MakeFile, name: str) -> None:
        syntax, encode = LOSSLESS[name]
        truth = noise(40, 50, 3)
        data = encode(truth)
        if name.startswith("jpeg-14"):
            options = {"predictor": 4 if name == "jpeg-14" else 1}
            data = imagecodecs.jpeg8_encode(truth, lossless=True, colorspace="rgb", **options)
        file = make_file([data], shape=truth.shape, syntax=syntax)
        assert np.array_equal(one(file), truth)

    @pytest.mark.parametrize("name", ["jpeg-ls", "jpeg-2000"])
    def test_luma_and_chroma(self, make_file: MakeFile, name: str) -> None:
        syntax, encode = LOSSLESS[name]
        truth = smooth(40, 50)
        file = make_file(
            [encode(ybr(truth))],
            shape=truth.shape,
            syntax=syntax,
            PhotometricInterpretation="YBR_FULL",
        )
        assert np.abs(one(file).astype(int) - truth).max() <= 1

    @pytest.mark.parametrize(
        ("syntax", "encode"),
        [
            (JPEGLosslessSV1, lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12)),
            (JPEGLSLossless, imagecodecs.jpegls_encode),
            (
                JPEG2000Lossless,
                lambda a: imagecodecs.jpeg2k_encode(
                    a, codecformat="j2k", reversible=True, bitspersample=12
                ),
            ),
        ],
        ids=["jpeg", "jpeg-ls", "jpeg-2000"],
    )
    def test_twelve_bits(
        self, make_file: MakeFile, syntax: str, encode: Callable[[Array], bytes]
    ) -> None:
        truth = noise(40, 50, high=4096)
        file = make_file(
            [encode(truth)], shape=truth.shape, syntax=syntax, BitsAllocated=16, BitsStored=12
        )
        assert np.array_equal(one(file), truth)

    def test_colour_transform_of_jpeg_2000(self, make_file: MakeFile) -> None:
        truth = noise(40, 50, 3)
        data = imagecodecs.jpeg2k_encode(truth, codecformat="j2k", reversible=True, mct=True)
        for space in ("YBR_RCT", "RGB"):  # some writers say RGB although a transform is inside
            file = make_file(
                [data], shape=truth.shape, syntax=JPEG2000Lossless, PhotometricInterpretation=space
            )
            assert np.array_equal(one(file), truth)

    def test_a_claimed_transform_that_is_not_there(self, make_file: MakeFile) -> None:
        data = LOSSLESS["jpeg-2000"][1](noise(40, 50, 3))
        file = make_file(
            [data],
            shape=(40, 50, 3),
            syntax=JPEG2000Lossless,
            PhotometricInterpretation="YBR_RCT",
        )
        with pytest.raises(PixelDataError, match="transform"):
            one(file)

    def test_high_throughput_jpeg_2000(self, make_file: MakeFile) -> None:
        truth = noise(40, 50)
        data = imagecodecs.htj2k_encode(truth, reversible=True)
        data = data[data.find(b"\xff\x4f\xff\x51") :]
        assert np.array_equal(one(make_file([data], shape=(40, 50), syntax=HTJ2KLossless)), truth)


class TestLossy:
    @pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
    def test_jpeg_in_colour(self, make_file: MakeFile, subsampling: str) -> None:
        out = io.BytesIO()
        Image.fromarray(smooth(48, 64)).save(out, "JPEG", subsampling=subsampling, quality=90)
        file = make_file(
            [out.getvalue()],
            shape=(48, 64, 3),
            syntax=JPEGBaseline8Bit,
            PhotometricInterpretation="YBR_FULL_422",
        )
        other = imagecodecs.jpeg8_decode(out.getvalue(), outcolorspace="rgb")
        assert np.abs(one(file).astype(int) - other).max() <= 1

    @pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
    def test_jpeg_in_gray(self, make_file: MakeFile, syntax: str) -> None:
        data = imagecodecs.jpeg8_encode(np.array(smooth(48, 64)[..., 0]), level=90)
        file = make_file([data], shape=(48, 64), syntax=syntax)
        assert np.abs(one(file).astype(int) - imagecodecs.jpeg8_decode(data)).max() <= 1

    @pytest.mark.parametrize("marked", [True, False])
    def test_jpeg_that_stores_rgb(self, make_file: MakeFile, marked: bool) -> None:
        truth = smooth(48, 64)
        data = imagecodecs.jpeg8_encode(truth, level=98, colorspace="rgb", outcolorspace="rgb")
        other = imagecodecs.jpeg8_decode(data, outcolorspace="rgb")
        if not marked:
            # Without Adobe's marker and with numbered components only DICOM tells the space.
            start = data.index(b"\xff\xee")
            length = int.from_bytes(data[start + 2 : start + 4])
            data = data[:start] + data[start + 2 + length :]
            frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
            patched = bytearray(data)
            for number in range(3):
                patched[frame + 10 + 3 * number] = patched[scan + 5 + 2 * number] = number + 1
            data = bytes(patched)
        file = make_file([data], shape=(48, 64, 3), syntax=JPEGBaseline8Bit)
        frame = one(file).astype(int)
        assert np.abs(frame - other).max() <= 1
        assert np.abs(frame - truth).mean() < 4

    def test_the_frame_knows_its_colours_better_than_the_header(self, make_file: MakeFile) -> None:
        # Photometric Interpretation says RGB; the JFIF header says luma and chroma.
        out = io.BytesIO()
        Image.fromarray(smooth(48, 64)).save(out, "JPEG", quality=95)
        file = make_file([out.getvalue()], shape=(48, 64, 3), syntax=JPEGBaseline8Bit)
        assert np.abs(one(file).astype(int) - smooth(48, 64)).mean() < 4

    def test_near_lossless_jpeg_ls(self, make_file: MakeFile) -> None:
        truth = noise(40, 50)
        data = imagecodecs.jpegls_encode(truth, level=2)
        frame = one(make_file([data], shape=truth.shape, syntax=JPEGLSNearLossless))
        assert np.array_equal(frame, imagecodecs.jpegls_decode(data))
        assert 0 < np.abs(frame.astype(int) - truth).max() <= 2

    def test_jpeg_2000(self, make_file: MakeFile) -> None:
        data = imagecodecs.jpeg2k_encode(smooth(48, 64), level=35, codecformat="j2k", mct=True)
        file = make_file(
            [data], shape=(48, 64, 3), syntax=JPEG2000, PhotometricInterpretation="YBR_ICT"
        )
        assert np.abs(one(file).astype(int) - imagecodecs.jpeg2k_decode(data)).max() <= 1

    @pytest.mark.parametrize("table", [True, False])
    @pytest.mark.parametrize("fragments", [1, 3])
    def test_frames_in_fragments(self, make_file: MakeFile, table: bool, fragments: int) -> None:
        frames = [
            imagecodecs.jpeg8_encode(np.array(smooth(48, 64)[..., i]), level=90) for i in range(3)
        ]
        file = make_file(
            frames,
            shape=(48, 64),
            syntax=JPEGBaseline8Bit,
            NumberOfFrames="3",
            table=table,
            fragments=fragments,
        )
        decoded = list(decode_frames(open_pixels(file)))
        for frame, data in zip(decoded, frames, strict=True):
            assert np.abs(frame.astype(int) - imagecodecs.jpeg8_decode(data)).max() <= 1


class TestRefused:
    def test_unknown_and_moving_pictures(self, make_file: MakeFile) -> None:
        file = make_file([b"\0" * 20], syntax=JPEGBaseline8Bit)
        for syntax in ("1.2.840.10008.1.2.4.99", "1.2.840.99999.1.2.4.50"):
            data = file.getvalue().replace(JPEGBaseline8Bit.encode(), syntax.encode())
            with pytest.raises(UnsupportedPixelsError, match="transfer syntax"):
                open_pixels(io.BytesIO(data))

    def test_a_decoder_that_is_not_installed(
        self, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = imagecodecs.jpegls_encode(noise(4, 6))
        opened = open_pixels(make_file([data], syntax=JPEGLSLossless))
        monkeypatch.setitem(decode._PLUGINS, JPEGLSLossless, ("nobody",))
        with pytest.raises(UnsupportedPixelsError, match=r"bussynth\[full\]"):
            decode_frame(opened, 0)

    @pytest.mark.parametrize(
        ("syntax", "encode"),
        [
            (JPEGBaseline8Bit, imagecodecs.jpeg8_encode),
            (JPEGLosslessSV1, LOSSLESS["jpeg-14-1"][1]),
            (JPEGLSLossless, imagecodecs.jpegls_encode),
            (JPEG2000Lossless, LOSSLESS["jpeg-2000"][1]),
            (RLELossless, rle),
        ],
        ids=["jpeg", "jpeg-lossless", "jpeg-ls", "jpeg-2000", "rle"],
    )
    def test_damaged_frames(
        self, make_file: MakeFile, syntax: str, encode: Callable[[Array], bytes]
    ) -> None:
        whole = encode(noise(40, 50))
        for data in (whole[: len(whole) // 3], whole[:20], b"\0" * 100, b"\xff" * 100):
            with pytest.raises(PixelDataError, match=r"[Ff]rame"):
                one(make_file([data], shape=(40, 50), syntax=syntax))

    @pytest.mark.parametrize(
        ("syntax", "encode"),
        [
            (JPEGBaseline8Bit, imagecodecs.jpeg8_encode),
            (JPEGLSLossless, imagecodecs.jpegls_encode),
            (JPEG2000Lossless, LOSSLESS["jpeg-2000"][1]),
        ],
        ids=["jpeg", "jpeg-ls", "jpeg-2000"],
    )
    def test_frames_of_another_size_or_kind(
        self, make_file: MakeFile, syntax: str, encode: Callable[[Array], bytes]
    ) -> None:
        for truth, wanted in ((noise(40, 51), "x 50"), (noise(40, 50, 3), "components")):
            with pytest.raises(PixelDataError, match=wanted):
                one(make_file([encode(truth)], shape=(40, 50), syntax=syntax))

    def test_a_frame_of_another_process(self, make_file: MakeFile) -> None:
        data = imagecodecs.jpeg8_encode(noise(40, 50))
        with pytest.raises(PixelDataError, match="another kind of JPEG"):
            one(make_file([data], shape=(40, 50), syntax=JPEGLosslessSV1))

    def test_frames_do_not_match_fragments(self, make_file: MakeFile) -> None:
        data = rle(noise(4, 6))
        for count in ("1", "3"):
            file = make_file([data, data], syntax=RLELossless, NumberOfFrames=count)
            with pytest.raises(PixelDataError, match="2 frames in 2 fragments"):
                open_pixels(file)

    def test_a_bomb_of_run_lengths(self, make_file: MakeFile) -> None:
        bomb = rle(noise(4, 6)) + b"\x81\x00" * 100_000
        with pytest.raises(LimitError, match="Frame 1"):
            open_pixels(make_file([bomb], syntax=RLELossless))

    def test_too_many_fragments(self, make_file: MakeFile) -> None:
        file = make_file([rle(noise(4, 6))] * 5, syntax=RLELossless, NumberOfFrames="5")
        with pytest.raises(LimitError, match="fragments"):
            open_pixels(file, Limits(fragments=4))

    def test_a_file_that_shrinks_while_it_is_read(self, make_file: MakeFile) -> None:
        file = make_file(noise(2, 4, 6).tobytes(), NumberOfFrames="2")
        opened = open_pixels(file)
        file.truncate(file.getbuffer().nbytes - 5)
        with pytest.raises(StructureError, match="Frame 2"):
            decode_frame(opened, 1)

    def test_threads_do_not_disturb_each_other(self, make_file: MakeFile) -> None:
        truth = noise(40, 50)
        data = make_file([imagecodecs.jpegls_encode(truth)], shape=(40, 50), syntax=JPEGLSLossless)
        good: list[bool] = []

        def work() -> None:
            for _ in range(5):
                good.append(np.array_equal(one(io.BytesIO(data.getvalue())), truth))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert good == [True] * 20


class TestColour:
    def test_gray_of_equal_channels_stays(self) -> None:
        ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
        assert np.array_equal(gray(np.stack([ramp] * 3, axis=-1)), ramp)
        assert gray(np.array([[[255, 0, 0]]], np.uint8)).item() == 76
        deep = np.full((2, 2, 3), 65535, np.uint16)
        assert gray(deep).max() == 65535

    def test_gray_of_deep_frames_is_scaled_by_the_bits_stored(self) -> None:
        deep = np.array([[0, 2047, 4095]], np.uint16)
        assert gray_bytes(deep, 12).tolist() == [[0, 127, 255]]
        assert gray_bytes(np.array([[0, 63]], np.uint8), 6).tolist() == [[0, 255]]

    def test_share_of_coloured_pixels(self) -> None:
        frame = np.stack([noise(20, 20)] * 3, axis=-1)
        assert coloured_share(frame) == 0
        frame[:5, :10] = (200, 30, 30)
        assert coloured_share(frame) == 50 / 400
        assert coloured_share(frame[..., 0]) == 0
        assert coloured_share(frame.astype(np.uint16) * 257) == 50 / 400

    def test_compression_makes_no_colour(self) -> None:
        shade = np.stack([smooth(64, 64)[..., 0] // 8 * 8 + noise(64, 64, high=8)] * 3, axis=-1)
        out = io.BytesIO()
        Image.fromarray(shade).save(out, "JPEG", quality=50)
        assert coloured_share(np.asarray(Image.open(out))) == 0
