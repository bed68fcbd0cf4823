"""Dates moved back by a secret number of days, the same for all of one patient (PS3.15 E.3.6)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from privacy.pseudonym import SiteKey

__all__ = ["LEAST_DAYS", "MOST_DAYS", "offset_days", "shift_date"]

LEAST_DAYS: Final = 366
"""The least that dates are moved, so that no date stays near its own."""

MOST_DAYS: Final = 3652
"""The most, ten years; still a time at which ultrasound was made as it is today."""

_DOMAIN: Final = "date-offset"
# PS3.5 6.2; the form with full stops is of ACR-NEMA.
_DATE: Final = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
_FIRST_YEAR: Final = 1950


def offset_days(key: SiteKey, patient: str) -> int:
    """Return by how many days the dates of a patient are moved back.

    Args:
        key: The key of the site.
        patient: The patient's pseudonym under that key.

    Returns:
        A number from :data:`LEAST_DAYS` to :data:`MOST_DAYS`.
    """
    number = int.from_bytes(key.digest(_DOMAIN, patient), "big")
    return LEAST_DAYS + number % (MOST_DAYS - LEAST_DAYS + 1)


def shift_date(text: str, days: int) -> str | None:
    """Move a date back.

    Args:
        text: A date of the source, ``YYYYMMDD``.
        days: By how many days.

    Returns:
        The date as ``YYYYMMDD``, or None if the text is no date since 1950.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        date = dt.date(*(int(part) for part in match.groups()))
    except ValueError:
        return None
    if date.year < _FIRST_YEAR:
        return None
    return (date - dt.timedelta(days=days)).strftime("%Y%m%d")
