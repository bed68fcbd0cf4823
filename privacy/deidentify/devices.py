"""Makers and models of ultrasound machines, in one spelling each.

Free text of a header is never kept, and sites do type their name into it. What is kept is the
entry of this table that the text begins with, so the result can say nothing that is not here.
An unknown machine is dropped, not guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Device", "normalise_device"]

_NOISE: Final = re.compile(r"[^A-Z0-9]")


@dataclass(frozen=True, slots=True)
class Device:
    """A machine in the spelling of the table.

    Attributes:
        manufacturer: The maker.
        model: The model; None if the maker is known and the model is not.
    """

    manufacturer: str
    model: str | None


# How makers sign, without spaces and signs; older names of a maker count as the maker.
_MAKERS: Final = {
    "BK Medical": ("BK",),
    "Canon": ("CANON", "TOSHIBA"),
    "Esaote": ("ESAOTE",),
    "Fujifilm": ("FUJIFILM", "HITACHI", "ALOKA", "SONOSITE"),
    "GE": ("GE", "GEMS", "GENERALELECTRIC", "KRETZ"),
    "Mindray": ("MINDRAY", "SHENZHENMINDRAY", "ZONARE"),
    "Philips": ("PHILIPS", "ATL", "ADVANCEDTECHNOLOGYLABORATORIES"),
    "Samsung": ("SAMSUNG", "MEDISON"),
    "Siemens": ("SIEMENS", "ACUSON"),
    "SuperSonic Imagine": ("SUPERSONIC",),
    "Hologic": ("HOLOGIC",),
    "Ultrasonix": ("ULTRASONIX",),
}
# Short signatures are only taken whole or before one of these, or half the world would match.
_SHORT: Final = re.compile(r"(MEDICAL|HEALTH|ULTRASOUND|VINGMED|TECHNOLOG|ULTRA|$)")
_MODELS: Final = {
    "BK Medical": ("bk3000", "bk5000", "Flex Focus"),
    "Canon": (
        *("Aplio 300", "Aplio 400", "Aplio 500", "Aplio XG", "Aplio MX"),
        *("Aplio a450", "Aplio a550", "Aplio i600", "Aplio i700", "Aplio i800", "Aplio i900"),
        *("Xario 100", "Xario 200", "Nemio"),
    ),
    "Esaote": ("MyLab 25", "MyLab 50", "MyLab 60", "MyLab 70", "MyLab Twice", "MyLab X8"),
    "Fujifilm": (
        *("HI VISION Preirus", "HI VISION Ascendus", "HI VISION Avius", "EUB-7500"),
        *("ARIETTA 60", "ARIETTA 65", "ARIETTA 70", "ARIETTA 750", "ARIETTA 850"),
        *("ProSound Alpha 7", "ProSound Alpha 10", "SonoSite Edge", "M-Turbo", "X-Porte"),
    ),
    "GE": (
        *("LOGIQ 5", "LOGIQ 7", "LOGIQ 9", "LOGIQ E9", "LOGIQ E10", "LOGIQ E20", "LOGIQ e"),
        *("LOGIQ P5", "LOGIQ P6", "LOGIQ P9", "LOGIQ S7", "LOGIQ S8", "LOGIQ Fortis"),
        *("LOGIQ 400", "LOGIQ 500", "LOGIQ 700"),
        *("Voluson 730", "Voluson E6", "Voluson E8", "Voluson E10", "Voluson S8", "Invenia"),
        *("Vivid 7", "Vivid E9", "Vivid E95", "Vivid i"),
    ),
    "Hologic": ("SuperSonic MACH 20", "SuperSonic MACH 30", "SuperSonic MACH 40"),
    "Mindray": ("DC-7", "DC-8", "DC-70", "DC-80", "M5", "M7", "M9", "Resona 6", "Resona 7"),
    "Philips": (
        *("EPIQ 5", "EPIQ 7", "EPIQ Elite", "iU22", "iE33", "HD11", "HD15", "HDI 5000"),
        *("HDI 3000", "Affiniti 30", "Affiniti 50", "Affiniti 70", "CX50", "ClearVue"),
    ),
    "Samsung": (
        *("RS80A", "RS85", "HS40", "HS50", "HS60", "HS70A", "WS80A", "Accuvix V10"),
        *("Accuvix V20", "Accuvix XG", "UGEO H60", "V7", "V8"),
    ),
    "Siemens": (
        *("ACUSON S1000", "ACUSON S2000", "ACUSON S3000", "ACUSON Sequoia", "ACUSON Antares"),
        *("ACUSON NX3", "ACUSON X300", "ACUSON X700", "ACUSON Juniper", "ACUSON Redwood"),
    ),
    "SuperSonic Imagine": ("Aixplorer", "Aixplorer MACH 20", "Aixplorer MACH 30"),
    "Ultrasonix": ("SonixTouch", "SonixRP", "SonixOne"),
}


def normalise_device(manufacturer: str, model: str) -> Device | None:
    """Find a machine in the table.

    Args:
        manufacturer: Manufacturer (0008,0070) as it stands in the header.
        model: Manufacturer's Model Name (0008,1090) as it stands there.

    Returns:
        The table's entry, or None if the maker is not in it.
    """
    signed = _plain(manufacturer)
    for maker, signatures in _MAKERS.items():
        if any(_signs(signed, signature) for signature in signatures):
            return Device(maker, _model(maker, signed, _plain(model)))
    return None


def _plain(text: str) -> str:
    return _NOISE.sub("", text[:64].upper())


def _signs(signed: str, signature: str) -> bool:
    rest = signed.removeprefix(signature)
    if len(rest) == len(signed):
        return False
    return len(signature) > 4 or _SHORT.match(rest) is not None


def _model(maker: str, signed: str, text: str) -> str | None:
    text = text.removeprefix(signed)
    best = None
    for name in _MODELS.get(maker, ()):
        # "S2000" is written for "ACUSON S2000" too.
        for wanted in {_plain(name), _plain(name.removeprefix("ACUSON "))}:
            if _begins(text, wanted) and (best is None or len(name) > len(best)):
                best = name
    return best


def _begins(text: str, wanted: str) -> bool:
    # Behind a number come variants ("EPIQ 7G"); behind letters, another model ("Vivid iq").
    rest = text.removeprefix(wanted)
    if not rest:
        return bool(text)
    return len(rest) < len(text) and wanted[-1].isdigit() and not rest[0].isdigit()
