"""What each reason of a decision means, and what a site can do about it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

__all__ = ["REASONS", "told"]

REASONS: Final = MappingProxyType(
    {
        # What the file says of its regions.
        "absent": "no ultrasound region is described; --site-rules can give it",
        "not-tissue": "no region is a two-dimensional image of tissue",
        "malformed": "a region lacks a number or has several",
        "reversed": "a region ends before it begins",
        "empty": "a region has no area",
        "outside": "a region reaches out of the frame",
        "whole-frame": "a region covers the whole frame, with its text; --site-rules can help",
        "overlap": "a region of tissue overlaps another one",
        "too-many": "more regions than any machine shows",
        "small": "a region is too small to be an image of tissue",
        # What the pixels show.
        "colour": "a map of colour over the tissue, such as Doppler",
        "text": "text inside the region",
        "mostly-text": "a large part of the region is taken for text or marks",
        "text-remains": "text is still found after cleaning",
        "flagged": "only images with a flag that was to be left out",
        # Whose it is.
        "no-identifier": "no usable Patient ID, or no UID",
        "no-label": "the attribute that names its row is empty or several",
        "not-in-table": "no row of the table names it",
        "two-patients-one-id": "one Patient ID with several birth dates",
        "one-patient-two-ids": "one name and birth date under several Patient IDs",
        "one-study-two-patients": "one study under several Patient IDs",
        "one-image-two-patients": "the very same image is another patient's",
        "two-objects-one-uid": "two files with one UID and different pixels",
        # What cannot be read.
        "secondary-capture": "a secondary capture, in which nothing says what the pixels are",
        "unsupported": "a codec or kind of pixels that is not read",
        "structure": "not a whole DICOM object",
        "damaged": "damaged or contradictory pixels",
        "too-large": "above a limit of size",
        "nesting": "sequences nested too deep",
        "unreadable": "an element that cannot be parsed",
        "not-writable": "pixels that cannot be written as ultrasound",
        "second-check": "the second check found something that must not be there",
        "refused": "refused",
        "cannot-be-read": "the file system does not let it be read",
        "changed": "it changed while it was read",
        "text-engine": "the text engine failed on it",
        "timed-out": "took longer than --time-limit",
        "crashed": "a library crashed on it",
        "out-of-memory": "needed more than --memory-limit",
        "error": "an unexpected error; please report it",
        # What is left out.
        "not-dicom": "not a DICOM file",
        "not-ultrasound": "not an ultrasound image",
        "duplicate": "the same object as another file",
    }
)
"""A sentence for each code."""


def told(reasons: dict[str, int]) -> list[str]:
    """Return a line for each reason, the most frequent first.

    Example:
        >>> told({"text": 2, "outside": 11})
        ['  11  outside: a region reaches out of the frame', '   2  text: text inside the region']
    """
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return [f"{count:>4}  {reason}: {REASONS.get(reason, reason)}" for reason, count in ordered]
