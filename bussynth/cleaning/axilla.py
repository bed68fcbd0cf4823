"""The axilla, where somebody wrote that it is one.

Nothing in the pixels of the tissue says reliably that an image is of the axilla and not of the
breast, so images without a text that says so are **not covered**. The text gate gives boxes and no
words on purpose; `bussynth.dicom.descriptions` asks here about the words of a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["names_axilla"]

# The word in Portuguese, Spanish, Italian, English, French and German, and how it is shortened.
_AXILLA: Final = re.compile(r"\b(?:axill?[a-z]*|asc?ella|ascellare|aisselle|achsel[a-zö]*|ax)\b")
# The tail of Spence reaches toward the axilla but is breast: axillary tail, prolongamento axilar,
# prolongement axillaire.
_TAIL: Final = re.compile(
    r"\b(?:prol[a-z]*\.?|cola|cauda|queue)\s+(?:de\s+la\s+|da\s+)?axill?[a-z]*"
    r"|\baxill?[a-z]*\s+(?:tail|process)\b"
)
# What readers take for the letters i and l between letters.
_MISREAD: Final = re.compile(r"(?<=[a-z])[1|](?=[a-z])")


def names_axilla(texts: Iterable[str]) -> bool:
    """Say whether a text names the axilla.

    Args:
        texts: Lines of one image as read, or descriptions of it.

    Example:
        >>> names_axilla(["REG. AXILAR DIR."]), names_axilla(["MAMA DIREITA", "PROL. AXILAR"])
        (True, False)
    """
    for text in texts:
        line = _MISREAD.sub("i", text.casefold())
        if _AXILLA.search(_TAIL.sub(" ", line)):
            return True
    return False
