from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bussynth.errors import DataError
from bussynth.images import decode_image, encode_png
from bussynth.package.marking import DERIVED_SOURCE_TYPE, DIGITAL_SOURCE_TYPE, is_marked, mark_png

PIXELS = np.arange(60, dtype=np.uint8).reshape(6, 10)


def test_mark_is_xmp_that_other_software_reads() -> None:
    marked = mark_png(encode_png(PIXELS))
    with Image.open(io.BytesIO(marked)) as image:
        image.load()
        assert DIGITAL_SOURCE_TYPE in str(image.info["XML:com.adobe.xmp"])
        assert set(image.info) <= {"XML:com.adobe.xmp", "xmp"}
    np.testing.assert_array_equal(decode_image(marked, what="it"), PIXELS)


def test_marking_twice_changes_nothing() -> None:
    plain = encode_png(PIXELS)
    marked = mark_png(plain)
    assert not is_marked(plain)
    assert is_marked(marked)
    assert mark_png(marked) == marked
    assert mark_png(plain) == marked


def test_marks_tell_what_they_say() -> None:
    derived = mark_png(encode_png(PIXELS), DERIVED_SOURCE_TYPE)
    assert is_marked(derived, DERIVED_SOURCE_TYPE)
    assert not is_marked(derived)
    with Image.open(io.BytesIO(derived)) as image:
        image.load()
        assert DERIVED_SOURCE_TYPE in str(image.info["XML:com.adobe.xmp"])


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff" + bytes(40)])
def test_no_png(data: bytes) -> None:
    with pytest.raises(DataError, match="not a PNG"):
        mark_png(data)
