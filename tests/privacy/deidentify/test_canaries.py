"""Planted files through the engine alone: what it writes and says holds nothing of them."""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest

# Opacus installs a top-level package of the same name, which would be found first.
sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.deidentify.canaries import IRREGULAR, Planted, write_objects
from benchmarks.deidentify.search import Index, views
from privacy.deidentify.colour import gray_bytes
from privacy.deidentify.decode import decode_frames
from privacy.deidentify.frame_data import FrameFormat
from privacy.deidentify.pixel_file import open_pixels
from privacy.deidentify.policy import Dates, Policy
from privacy.deidentify.rebuild import rebuild
from privacy.deidentify.regions import Kept, crop, kept_regions
from privacy.errors import InputError
from privacy.pseudonym import SiteKey

EVERYTHING = Policy(dates=Dates.SHIFT, patient_characteristics=True, device=True)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Planted, bytes]]:
    folder = tmp_path_factory.mktemp("planted")
    planted = write_objects(folder, 3 * len(IRREGULAR), 3)
    chosen = [one for one in planted if one.irregular or one.number < 8]
    return [(one, (folder / one.path).read_bytes()) for one in chosen]


def cleaned(data: bytes, key: SiteKey) -> bytes:
    """Take a file the whole way, without looking for text on the tissue."""
    file = open_pixels(io.BytesIO(data))
    kept = kept_regions(file.dataset, file.pixels.rows, file.pixels.columns)
    assert isinstance(kept, Kept)
    bits = file.pixels.stored
    frames = [
        gray_bytes(crop(frame, kept.rectangles[0]), min(bits, 16)) for frame in decode_frames(file)
    ]
    pixels = np.stack(frames)
    given = FrameFormat.of(pixels, cleaned=True)
    return rebuild(file.dataset, given, key, EVERYTHING).to_bytes(pixels)


def test_no_canary_of_any_file_comes_out(
    objects: list[tuple[Planted, bytes]],
    site_key: SiteKey,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    written, refused = 0, []
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for planted, data in objects:
            index = Index(planted.canaries)
            try:
                out = cleaned(data, site_key)
                written += 1
            except InputError as error:
                out = "".join(traceback.format_exception(error)).encode()
                refused.append(planted)
            found = {one.place for _, view in views("", out) for one in index.find(view)}
            assert not found, (planted.number, planted.irregular)
    told = f"{caplog.text} {capfd.readouterr()} {[str(one.message) for one in caught]}"
    assert not Index(one for each, _ in objects for one in each.canaries).find(told.encode())
    # Only what is wrong may be refused, and most of what is wrong is not even copied.
    assert all(planted.irregular for planted in refused)
    assert written > len(objects) / 2
