"""What can be wrong with a DICOM file or its pixels.

::

    DeidentifyError (ValueError)
    └── PixelDataError              damaged      the pixels cannot be trusted
        ├── StructureError          structure    the file is no whole DICOM object
        ├── LimitError              too-large    above a limit, so nothing was decoded
        └── UnsupportedPixelsError  unsupported  legal DICOM that is not decoded here

Messages name attributes, sizes and frames by number. They never hold a value of another kind: a
hostile or careless file may have a patient's name in any element.
"""

from __future__ import annotations

from privacy.deidentify.errors import DeidentifyError

__all__ = ["LimitError", "PixelDataError", "StructureError", "UnsupportedPixelsError"]


class PixelDataError(DeidentifyError):
    """The pixels are damaged, or contradict what the header says of them."""

    reason = "damaged"


class StructureError(PixelDataError):
    """The file is not a whole, well-formed DICOM object with pixels."""

    reason = "structure"


class LimitError(PixelDataError):
    """The file asks for more than the limits allow; nothing was decoded."""

    reason = "too-large"


class UnsupportedPixelsError(PixelDataError):
    """The pixels are of a kind that is not decoded here."""

    reason = "unsupported"
