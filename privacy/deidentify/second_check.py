"""An independent look at a finished object: the table of PS3.15 against what is in it.

It knows nothing of the allow-list or of how the object was made. It asks of every element, at
every depth, what the table says of it; compares values of listed attributes with the originals;
and takes whatever it does not understand for a leak.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from privacy.deidentify.elements import Element, plain_bytes, tag_of, tags_of, walk
from privacy.deidentify.errors import LeakError, name_of
from privacy.deidentify.policy import Dates, Policy
from privacy.deidentify.profile import Action, Profile, load_profile
from privacy.deidentify.uids import NEW_UID

__all__ = ["check"]

_REGISTERED: Final = re.compile(rb"1\.2\.840\.10008(\.[0-9]{1,6}){1,12}")
# Where text may stand at all; everything else with these VRs is free text.
_FREE_TEXT: Final = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"})
_TEXT_ALLOWED: Final = tags_of(
    "PatientName PatientID StudyID AccessionNumber ReferringPhysicianName Manufacturer "
    "ManufacturerModelName DeidentificationMethod CodeValue CodingSchemeDesignator "
    "CodeMeaning ImplementationVersionName"
)
_TIMES: Final = frozenset({"DA", "DT", "TM"})
_BULK: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_PIXELS: Final = tags_of("PixelData")
_BULK_ALLOWED: Final = _PIXELS | tags_of("FileMetaInformationVersion")
# Curves and overlays (PS3.5 7.6): a dozen attributes in each of sixteen groups.
_REPEATING: Final = (0x50, 0x60)
_CHARACTERISTICS: Final = {
    tag_of("PatientAge"): re.compile(rb"0[0-9][05]Y"),
    tag_of("PatientSex"): re.compile(rb"[FMO]"),
}
_SHIFTED: Final = tags_of("StudyDate SeriesDate AcquisitionDate ContentDate")
_META: Final = tags_of(
    "FileMetaInformationGroupLength FileMetaInformationVersion MediaStorageSOPClassUID "
    "MediaStorageSOPInstanceUID TransferSyntaxUID ImplementationClassUID "
    "ImplementationVersionName"
)
_FILE_META_GROUP: Final = 0x0002
_REMOVE: Final = frozenset({Action.REMOVE})
# Shorter values ("1", "F", "0001") are in every object and identify nobody.
_SHORTEST: Final = 4
_DEPTH: Final = 3


@dataclass(slots=True)
class _Originals:
    """Values of the source's listed attributes, and of all its UIDs."""

    top: dict[int, set[bytes]] = field(default_factory=dict)
    anywhere: dict[int, set[bytes]] = field(default_factory=dict)
    all: set[bytes] = field(default_factory=set)


def check(result: Dataset, source: Dataset, policy: Policy) -> None:
    """Compare a de-identified object with the table of PS3.15 and with its source.

    Args:
        result: The finished object, with its file meta information.
        source: The object that it was made from.
        policy: What the site keeps beyond the Basic Profile.

    Raises:
        LeakError: If a private or unknown attribute is in the result, or free text, or a listed
            attribute that keeps an original value or should have been removed, or a UID that was
            not made here. The message names tags only.
        NestingError: If the source is nested too deep to be compared.
        UnreadableError: If a sequence of the source cannot be parsed.
        ProfileError: If the table is missing.
    """
    profile = load_profile()
    originals = _originals(source, profile)
    problems = _meta_problems(result)
    parts = [result]
    meta = getattr(result, "file_meta", None)
    if isinstance(meta, Dataset):
        parts.append(meta)
    for part in parts:
        for found in walk(part, max_depth=_DEPTH):
            reason = _reason(found.tag, found.element, profile, originals, policy)
            if reason is not None:
                problems.append(f"{name_of(found.tag)}: {reason}")
    if problems:
        raise LeakError("The rebuilt object fails the second check.", sorted(set(problems)))


def _originals(source: Dataset, profile: Profile) -> _Originals:
    originals = _Originals()
    parts = [source]
    meta = getattr(source, "file_meta", None)
    if isinstance(meta, Dataset):
        parts.append(meta)
    for part in parts:
        for found in walk(part):
            if BaseTag(found.tag).is_private or found.tag in _PIXELS:
                continue
            uid = found.element.VR == "UI"
            if profile.action(found.tag) is None and not uid:
                continue
            for value in _values(found.element):
                if uid and _REGISTERED.fullmatch(value):
                    continue
                originals.anywhere.setdefault(found.tag, set()).add(value)
                if found.depth == 0:
                    originals.top.setdefault(found.tag, set()).add(value)
                if len(value) >= _SHORTEST:
                    originals.all.add(value)
    return originals


def _reason(
    tag: int, element: Element, profile: Profile, originals: _Originals, policy: Policy
) -> str | None:
    vr = str(element.VR)
    if BaseTag(tag).is_private:
        return "is private"
    if tag >> 24 in _REPEATING:
        return "is of a curve or overlay"
    if vr in _BULK:
        return None if tag in _BULK_ALLOWED else "is bulk data"
    if vr == "SQ":
        return None if profile.action(tag) is None else "is to be removed or replaced"
    values = _values(element)
    if any(not value.isascii() or re.search(rb"[\x00-\x1f\x7f]", value) for value in values) and (
        vr in _FREE_TEXT or vr in {"CS", "UI", "DS", "IS", "AS"} | _TIMES
    ):
        return "holds letters or signs outside ASCII"
    if vr in _FREE_TEXT and tag not in _TEXT_ALLOWED:
        return "is free text"
    if vr == "UI":
        return _uid_reason(values, originals)
    if vr in _TIMES and values and not (tag in _SHIFTED and policy.dates is Dates.SHIFT):
        return "holds a date or time"
    action = profile.action(tag)
    if action is None:
        return None
    return _listed_reason(tag, vr, values, action, originals, policy)


def _uid_reason(values: list[bytes], originals: _Originals) -> str | None:
    for value in values:
        if value in originals.all:
            return "keeps an original value"
        made_here = NEW_UID.fullmatch(value.decode("latin-1"))
        if made_here is None and _REGISTERED.fullmatch(value) is None:
            return "is a UID of unknown origin"
    return None


def _listed_reason(
    tag: int,
    vr: str,
    values: list[bytes],
    action: Action,
    originals: _Originals,
    policy: Policy,
) -> str | None:
    if tag in _CHARACTERISTICS and policy.patient_characteristics:
        fits = all(_CHARACTERISTICS[tag].fullmatch(value) for value in values)
        return None if fits else "is not in the form that is kept"
    if vr == "DA" and tag in _SHIFTED and policy.dates is Dates.SHIFT:
        # Another of the patient's dates may by chance fall on the shifted one.
        kept = originals.top.get(tag, set()).intersection(values)
        return "keeps an original value" if kept else None
    if action in _REMOVE:
        return "is to be removed"
    for value in values:
        if value in originals.anywhere.get(tag, set()) or value in originals.all:
            return "keeps an original value"
    return None


def _meta_problems(result: Dataset) -> list[str]:
    problems = []
    preamble = getattr(result, "preamble", None)
    if preamble is not None and preamble != b"\0" * 128:
        problems.append("the preamble is not empty")
    meta = getattr(result, "file_meta", None)
    if not isinstance(meta, Dataset):
        return [*problems, "there is no file meta information"]
    problems += [
        f"{name_of(int(tag))}: does not belong into the file meta information"
        for tag in meta.keys()  # noqa: SIM118
        if int(tag) not in _META
    ]
    problems += [
        f"{name_of(int(tag))}: belongs into the file meta information"
        for tag in result.keys()  # noqa: SIM118
        if int(tag) >> 16 <= _FILE_META_GROUP
    ]
    if meta.get("MediaStorageSOPInstanceUID") != result.get("SOPInstanceUID"):
        problems.append("the file meta information names another object")
    return problems


def _values(element: Element) -> list[bytes]:
    data = plain_bytes(element)
    return [part for value in data.split(b"\\") if (part := value.strip(b" \0"))]
