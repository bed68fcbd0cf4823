"""Pixels as machines store them: gray or colour, with a palette, with or without compression."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from bussynth.cohort.phantom.hospital.machines import Machine, Storage
from bussynth.cohort.phantom.hospital.screen import flow_colours

__all__ = ["store_pixels"]

Frames = list[NDArray[np.uint8]]

_QUALITY = 92
_GRAYS = 176  # entries of the palette; the rest are colours


def store_pixels(dataset: Dataset, frames: Frames, machine: Machine, *, colour: bool) -> UID:
    """Fill the Image Pixel module (PS3.3 C.7.6.3) of a dataset.

    Args:
        dataset: The dataset to fill.
        frames: Each (rows, columns, 3), uint8, all of one size.
        machine: Whose way of storing is followed.
        colour: Whether colour must survive: then a gray machine stores RGB.

    Returns:
        The transfer syntax.
    """
    storage = machine.storage
    if colour and storage in (Storage.GRAY, Storage.GRAY_RLE):
        storage = Storage.RGB
    dataset.Rows, dataset.Columns = frames[0].shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    if storage is Storage.JPEG:
        return _jpeg(dataset, frames)
    if storage is Storage.PALETTE:
        stored = _palette(dataset, frames)
    elif storage in (Storage.GRAY, Storage.GRAY_RLE):
        stored = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in frames])
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
    else:
        stored = np.stack(frames)
        dataset.SamplesPerPixel = 3
        dataset.PhotometricInterpretation = "RGB"
        dataset.PlanarConfiguration = 0
    data = stored.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if machine.implicit else "OB"
    if storage in (Storage.GRAY_RLE, Storage.RGB_RLE):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        # One encoder by name: another one may pack the same pixels into other bytes.
        dataset.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        return RLELossless
    return ImplicitVRLittleEndian if machine.implicit else ExplicitVRLittleEndian


def _jpeg(dataset: Dataset, frames: Frames) -> UID:
    packed = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=_QUALITY, subsampling="4:2:2")
        packed.append(stream.getvalue())
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PlanarConfiguration = 0
    dataset.PixelData = encapsulate(packed)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.LossyImageCompression = "01"
    ratio = sum(frame.nbytes for frame in frames) / sum(map(len, packed))
    dataset.LossyImageCompressionRatio = f"{ratio:.2f}"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    return JPEGBaseline8Bit


def _palette(dataset: Dataset, frames: Frames) -> NDArray[np.uint8]:
    colours = _colours()
    book = Image.new("P", (1, 1))
    book.putpalette(colours.tobytes())
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for channel, name in enumerate(("Red", "Green", "Blue")):
        # PS3.3 C.7.6.3.1.5: entries, first value mapped, bits an entry.
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = colours[:, channel].astype("<u2") * 257
        setattr(dataset, f"{name}PaletteColorLookupTableData", table.tobytes())
    return np.stack(
        [
            np.asarray(Image.fromarray(one).quantize(palette=book, dither=Image.Dither.NONE))
            for one in frames
        ]
    )


def _colours() -> NDArray[np.uint8]:
    """256 colours: grays, those of flow, and shades of what the screen is drawn with."""
    grays = np.repeat(np.linspace(0, 255, _GRAYS).round()[:, None], 3, axis=1)
    flow = flow_colours(np.linspace(-1.0, 1.0, 40))
    shades = np.linspace(0.1, 1.0, 10)[:, None]
    inks = [shades * np.array(ink) for ink in ((255, 170, 90), (255, 225, 80), (225, 225, 215))]
    grounds = np.array([[30, 20, 34]] * 10)
    return np.concatenate([grays, flow, *inks, grounds]).round().astype(np.uint8)
