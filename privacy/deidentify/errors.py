"""The errors of de-identification; no message holds a value of the file.

    InputError
    └── DeidentifyError              what all of these have in common
        ├── UnsupportedObjectError   not an ultrasound image that can be rebuilt
        ├── MissingIdentifierError   no patient or no UID, so that nothing can be linked
        ├── NestingError             deeper or larger than any ultrasound object
        ├── UnreadableError          an element cannot be parsed
        ├── PixelError               cleaned frames or their description cannot be written
        ├── PixelDataError           the source's pixels cannot be used, see pixel_errors
        ├── QuarantineError          legal, but a person must decide
        ├── ProfileError             the table of PS3.15 is not there or is another one
        └── LeakError                the second check found what must not be there

They name tags by number and keyword. Who calls adds which file it was, by a number of its own.
"""

from __future__ import annotations

from pydicom.datadict import keyword_for_tag
from pydicom.tag import BaseTag

from privacy.errors import InputError

__all__ = [
    "DeidentifyError",
    "LeakError",
    "MissingIdentifierError",
    "NestingError",
    "PixelError",
    "ProfileError",
    "QuarantineError",
    "UnreadableError",
    "UnsupportedObjectError",
    "name_of",
]


class DeidentifyError(InputError):
    """An object cannot be de-identified; the message shows no value of it."""

    reason: str = "refused"
    """A short code of what is wrong, for tables."""


class UnsupportedObjectError(DeidentifyError):
    """The object is not of a class that can be rebuilt."""

    reason = "not-ultrasound"


class MissingIdentifierError(DeidentifyError):
    """The object does not say whose it is, or which object it is."""

    reason = "no-identifier"


class NestingError(DeidentifyError):
    """Sequences are nested deeper, or there are more elements, than is read."""

    reason = "nesting"


class UnreadableError(DeidentifyError):
    """An element cannot be parsed."""

    reason = "unreadable"


class PixelError(DeidentifyError):
    """The cleaned frames, or what is told of them, cannot be written."""

    reason = "not-writable"


class QuarantineError(DeidentifyError):
    """The object is legal, but what is kept of it must be decided by a person.

    Args:
        reason: A short code, for tables.
        message: Why, as a sentence.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProfileError(DeidentifyError):
    """The confidentiality profile's table is missing or is not the edition expected."""


class LeakError(DeidentifyError):
    """The rebuilt object holds what the profile forbids; it must not be written."""

    reason = "second-check"


def name_of(tag: int) -> str:
    """Name a tag by number and, if it is a standard one, by keyword.

    Args:
        tag: The tag as a number.

    Returns:
        For instance ``"(0010,0010) PatientName"``; of a private tag the group only, since its
        element number is the maker's.
    """
    if BaseTag(tag).is_private:
        return f"({tag >> 16:04x},xxxx) private"
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x}) {keyword_for_tag(tag)}".rstrip()
