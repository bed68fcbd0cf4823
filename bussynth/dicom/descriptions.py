"""What a header says of where an image was taken, for the flag of the axilla and nothing else.

The words are free text of the source: they are looked at in the worker and go no further.
"""

from __future__ import annotations

import re
from typing import Final

from pydicom.dataset import Dataset

from bussynth.cleaning.axilla import names_axilla
from privacy.deidentify.elements import items
from privacy.deidentify.pseudonyms import decoded_text

__all__ = ["describes_axilla"]

# Of the series and the image; the study's words are those of all its images.
_KEYWORDS: Final = (
    *("BodyPartExamined", "SeriesDescription", "ProtocolName"),
    *("ImageComments", "StageName", "ViewName"),
)
_REGIONS: Final = ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")
# "Breast and axilla" does not say which of them this image is.
_BREAST: Final = re.compile(r"\b(?:breasts?|mam[aá]s?|mam[aá]ri\w*|mamm\w*|seins?|brust|sen[oi])\b")


def describes_axilla(dataset: Dataset) -> bool:
    """Say whether a header names the axilla, and not the breast with it.

    Args:
        dataset: The untrusted object.

    Raises:
        UnreadableError: If a sequence cannot be parsed.
    """
    said = [decoded_text(dataset, keyword) for keyword in _KEYWORDS]
    for keyword in _REGIONS:
        said += [decoded_text(item, "CodeMeaning") for item in items(dataset, keyword)]
    return names_axilla(text for text in said if not _BREAST.search(text.casefold()))
