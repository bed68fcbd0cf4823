"""A keyed, consistent map from the UIDs of the source to new ones.

PS3.15 E.1.1 asks that UIDs be replaced consistently within a set of instances. The map needs no
table: a new UID is a function of the old one and the site's key, so that objects of one study stay
together, files met again get the same name, and nobody without the key can go back.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from pydicom.dataset import Dataset

from privacy.deidentify.elements import tag_of, texts
from privacy.deidentify.errors import MissingIdentifierError, name_of
from privacy.pseudonym import SiteKey

__all__ = ["NEW_UID", "map_uid", "read_uid"]

NEW_UID: Final = re.compile(r"2\.25\.[1-9][0-9]{0,38}")
"""The form of every UID made here: an integer of 128 bits under 2.25 (PS3.5 B.2)."""

_DOMAIN: Final = "dicom-uid"


def read_uid(dataset: Dataset, keyword: str) -> str:
    """Read a UID that an object cannot be without.

    What it looks like does not matter, since it is only fed to the map; it never becomes part of
    a path or a message.

    Args:
        dataset: The untrusted data set.
        keyword: Which UID.

    Returns:
        Its text.

    Raises:
        MissingIdentifierError: If it is absent, empty or several.
    """
    values = texts(dataset, keyword)
    if len(values) != 1 or not values[0]:
        raise MissingIdentifierError(f"{name_of(tag_of(keyword))} is absent, empty or several.")
    return values[0]


def map_uid(key: SiteKey, uid: str, part: int = 0) -> str:
    """Return the UID that replaces another.

    Args:
        key: The key of the site.
        uid: The text of the source.
        part: Which of several objects made from one source; 0 for the first or only one.

    Returns:
        ``2.25.`` and the integer of a random-looking UUID.

    Raises:
        ValueError: If ``part`` is negative.
    """
    if part < 0:
        raise ValueError(f"part={part}: count from 0.")
    text = uid if part == 0 else f"{uid}\\{part}"
    digest = key.digest(_DOMAIN, text)
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"
