"""Marking PNG images as synthetic in a way that other software reads.

The mark is the IPTC digital source type "trainedAlgorithmicMedia" in an XMP packet, which
sits in an ``iTXt`` chunk. Re-encoding an image loses it; the signed manifest does not.
See https://cv.iptc.org/newscodes/digitalsourcetype/ and ISO 16684-1 (XMP).
"""

from __future__ import annotations

import struct
import zlib

from bussynth.errors import DataError

__all__ = ["DIGITAL_SOURCE_TYPE", "is_marked", "mark_png"]

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

_PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<Iptc4xmpExt:DigitalSourceType>{DIGITAL_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
# Keyword, not compressed, compression method 0, no language, no translated keyword, text.
_BODY = b"iTXt" + b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + _PACKET.encode()
_CHUNK = struct.pack(">I", len(_BODY) - 4) + _BODY + struct.pack(">I", zlib.crc32(_BODY))
# Signature (8 bytes) and the IHDR chunk (length, type, 13 bytes, checksum), always first.
_AFTER_HEADER = 8 + 25


def mark_png(png: bytes) -> bytes:
    """Return the PNG with the mark after its header; a marked PNG is returned as it is.

    Args:
        png: The bytes of a PNG file.

    Raises:
        DataError: The bytes are no PNG.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        raise DataError("An image to mark is not a PNG.")
    if is_marked(png):
        return png
    return png[:_AFTER_HEADER] + _CHUNK + png[_AFTER_HEADER:]


def is_marked(png: bytes) -> bool:
    """Tell whether a PNG carries the mark that :func:`mark_png` puts on it."""
    return png[_AFTER_HEADER : _AFTER_HEADER + len(_CHUNK)] == _CHUNK
