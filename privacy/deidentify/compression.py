"""What the source says of lossy compression: once pixels were lossy, the object says so for ever.

PS3.3 C.7.6.1.1.5. The transfer syntax is believed before the header, which may be silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset

from privacy.deidentify.elements import texts

__all__ = ["Loss", "read_loss"]

# Transfer syntaxes that lose something, with the defined terms of (0028,2114).
_LOSSY: Final = MappingProxyType(
    {
        "1.2.840.10008.1.2.4.50": "ISO_10918_1",
        "1.2.840.10008.1.2.4.51": "ISO_10918_1",
        "1.2.840.10008.1.2.4.81": "ISO_14495_1",
        "1.2.840.10008.1.2.4.91": "ISO_15444_1",
        "1.2.840.10008.1.2.4.93": "ISO_15444_2",
        "1.2.840.10008.1.2.4.203": "ISO_15444_15",
        "1.2.840.10008.1.2.4.111": "ISO_18181_1",
        "1.2.840.10008.1.2.4.112": "ISO_18181_1",
    }
)
_TERMS: Final = frozenset(_LOSSY.values())


@dataclass(frozen=True, slots=True)
class Loss:
    """What is known of lossy compression.

    Attributes:
        lossy: ``"00"`` or ``"01"``, or None if nothing is known.
        method: A defined term of (0028,2114), or None.
    """

    lossy: str | None
    method: str | None


def read_loss(source: Dataset) -> Loss:
    """Read what the source says of lossy compression.

    Args:
        source: The untrusted data set; its file meta information is used if there is any.

    Returns:
        What is known.
    """
    meta = getattr(source, "file_meta", None)
    syntax = texts(meta, "TransferSyntaxUID") if isinstance(meta, Dataset) else ()
    method = _LOSSY.get(syntax[0]) if syntax else None
    said = texts(source, "LossyImageCompression")
    if method is None and said[:1] != ("01",):
        return Loss("00" if said == ("00",) else None, None)
    stated = texts(source, "LossyImageCompressionMethod")
    if method is None and len(stated) == 1 and stated[0] in _TERMS:
        method = stated[0]
    return Loss("01", method)
