"""Marking PNG images as synthetic in a way that other software reads.

The mark is an IPTC digital source type in an XMP packet, which sits in an ``iTXt`` chunk:
"trainedAlgorithmicMedia", or "compositeWithTrainedAlgorithmicMedia" where a model altered a
real image. Re-encoding an image loses it; the signed manifest does not.
See https://cv.iptc.org/newscodes/digitalsourcetype/ and ISO 16684-1 (XMP).
"""

from __future__ import annotations

import struct
import zlib

from bussynth.errors import DataError

__all__ = ["DERIVED_SOURCE_TYPE", "DIGITAL_SOURCE_TYPE", "is_marked", "mark_png"]

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DIGITAL_SOURCE_TYPE = f"{_VOCABULARY}trainedAlgorithmicMedia"
DERIVED_SOURCE_TYPE = f"{_VOCABULARY}compositeWithTrainedAlgorithmicMedia"

_PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    "<Iptc4xmpExt:DigitalSourceType>{}</Iptc4xmpExt:DigitalSourceType>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
# Signature (8 bytes) and the IHDR chunk (length, type, 13 bytes, checksum), always first.
_AFTER_HEADER = 8 + 25


def _chunk(source_type: str) -> bytes:
    # Keyword, not compressed, compression method 0, no language, no translated keyword, text.
    packet = _PACKET.format(source_type).encode()
    body = b"iTXt" + b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + packet
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def mark_png(png: bytes, source_type: str = DIGITAL_SOURCE_TYPE) -> bytes:
    """Return the PNG with the mark after its header; a PNG so marked is returned as it is.

    Args:
        png: The bytes of a PNG file.
        source_type: What the mark says.

    Raises:
        DataError: The bytes are no PNG.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        raise DataError("An image to mark is not a PNG.")
    if is_marked(png, source_type):
        return png
    return png[:_AFTER_HEADER] + _chunk(source_type) + png[_AFTER_HEADER:]


def is_marked(png: bytes, source_type: str = DIGITAL_SOURCE_TYPE) -> bool:
    """Tell whether a PNG carries the mark that :func:`mark_png` puts on it."""
    return png.startswith(_chunk(source_type), _AFTER_HEADER)
