"""Whose object is it: the patient's identifier, and the keyed pseudonym that replaces it.

The pseudonym is the one of ``privacy.pseudonym``, so a table keyed by patient numbers and a DICOM
folder give the same one. PS3.15 E.1.1 warns of plain hashes, which anybody can compute for all
numbers there are; an HMAC under the site's key is not open to that.
"""

from __future__ import annotations

import re
import warnings
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.dataset import Dataset

from privacy.deidentify.elements import find, plain_bytes, texts
from privacy.deidentify.errors import MissingIdentifierError, name_of
from privacy.pseudonym import SiteKey, SiteKeyError, pseudonym

__all__ = ["decoded_text", "patient_identifier", "patient_pseudonym"]

_PATIENT_ID: Final = 0x0010_0020
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# A backslash separates values; no identifier spans two of them (VM 1).
_DELIMITERS: Final = {0x09, 0x0A, 0x0C, 0x0D}


def patient_identifier(dataset: Dataset) -> str:
    r"""Return Patient ID (0010,0020) as text.

    ASCII is taken as it is. Other bytes are read in the declared character set, else as UTF-8,
    else as Latin-1, so that a wrong declaration cannot stop the work, nor can two different
    identifiers of one file system become one text unless they spell the same letters.

    Args:
        dataset: The untrusted data set.

    Returns:
        The identifier without surrounding white space.

    Raises:
        MissingIdentifierError: If it is absent, empty or holds control characters or several
            values. Without it nobody knows whose image it is, and images of one patient could
            end up on both sides of a split.
    """
    text = decoded_text(dataset, "PatientID")
    if not text:
        raise MissingIdentifierError(f"{name_of(_PATIENT_ID)} is absent or empty.")
    if _CONTROL.search(text) or "\\" in text:
        raise MissingIdentifierError(f"{name_of(_PATIENT_ID)} is no single line of text.")
    return text


def decoded_text(dataset: Dataset, keyword: str) -> str:
    """Return an element as text, in the declared character set if that is possible.

    Args:
        dataset: The untrusted data set.
        keyword: Which element.

    Returns:
        Its text without surrounding white space; empty if it is absent.
    """
    element = find(dataset, keyword)
    data = plain_bytes(element) if element is not None else b""
    return _decode(data, texts(dataset, "SpecificCharacterSet")).strip()


def patient_pseudonym(key: SiteKey, identifier: str) -> str:
    """Return the pseudonym of a patient.

    Args:
        key: The key of the site.
        identifier: From :func:`patient_identifier`.

    Returns:
        32 hex characters: the same for the same key and patient, unlinkable under another key.

    Raises:
        MissingIdentifierError: If the identifier is empty or no valid text.
    """
    try:
        return pseudonym(key, identifier)
    except SiteKeyError:
        raise MissingIdentifierError(f"{name_of(_PATIENT_ID)} is not usable text.") from None


def _decode(data: bytes, declared: tuple[str, ...]) -> str:
    if data.isascii() and b"\x1b" not in data:
        return data.decode("ascii")
    # pydicom would log a declaration that it does not know, which can be anything.
    if all(name in python_encoding for name in declared):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return decode_bytes(data, convert_encodings(list(declared)), _DELIMITERS)
        except Exception:  # lookup errors, decoding errors and warnings of many kinds
            pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
