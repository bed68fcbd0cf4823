"""Random words that stand for identifiers, and every form in which their bytes may come back.

A canary is a word found nowhere else, so that finding it means that it leaked. It is searched for
in the character sets of DICOM, as text that was misread and written again, escaped, in base64, in
hex digits, with swapped bytes, and as the plain hash that PS3.15 E.1.1 warns of. Letter case does
not matter.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import quote

__all__ = ["SCRIPTS", "Canary", "Planter", "Script", "forms"]

SHORTEST: Final = 8
"""Bytes of the shortest form that is searched for; fewer would be found by chance."""

_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
_HASHES: Final = ("md5", "sha1", "sha224", "sha256", "sha512")


@dataclass(frozen=True, slots=True)
class Script:
    """A way to write.

    Attributes:
        name: Its name.
        charset: Specific Character Set (0008,0005).
        codec: Python's name of the character set.
        letters: What words are drawn from.
        escape: What is written before each word (PS3.5 6.1.2.5), and behind it.
    """

    name: str
    charset: str
    codec: str
    letters: str
    escape: tuple[bytes, bytes] = (b"", b"")

    def encode(self, text: str) -> bytes:
        """Return the bytes of a word as they stand in a file."""
        data = text.encode(self.codec)
        return data if text.isascii() else self.escape[0] + data + self.escape[1]

    def bare(self, text: str) -> bytes:
        """Return the bytes of a word without escape sequences."""
        data = text.encode(self.codec)
        return data[3:-3] if self.codec == "iso2022_jp" and not text.isascii() else data


def _usable(letters: str, codec: str) -> str:
    # Bytes that separate values, components or groups would cut a word in two.
    bad = set(b"\\^=@")
    return "".join(one for one in letters if not bad & set(one.encode(codec)[-5:-3] or b""))


_KANA: Final = _usable("".join(map(chr, range(0x3042, 0x3090))), "iso2022_jp")
SCRIPTS: Final = (
    Script("Latin", "ISO_IR 100", "latin-1", "àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþ"),
    Script("Cyrillic", "ISO_IR 144", "iso8859_5", "абвгдежзийклмнопрстуфхцчшщъыьэюя"),
    Script("Greek", "ISO_IR 126", "iso8859_7", "αβγδεζηθικλμνξοπρστυφχψω"),
    Script("Japanese", r"\ISO 2022 IR 87", "iso2022_jp", _KANA),
    Script(
        "Korean",
        r"\ISO 2022 IR 149",
        "euc_kr",
        "가각간갈감강개거건걸고곡공관교구국군권규김나남노다단대도동라마만명모문미민박",
        (b"\x1b$)C", b""),
    ),
    Script("Arabic", "ISO_IR 127", "iso8859_6", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"),
    Script("Hebrew", "ISO_IR 138", "iso8859_8", "אבגדהוזחטיךכלםמןנסעףפץצקרשת"),
    Script("Chinese", "ISO_IR 192", "utf-8", "一二三王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁"),
)
"""Scripts, each with the character set that its words are written in."""

_PARTS: Final = frozenset({"family", "given", *(one.name for one in SCRIPTS)})


@dataclass(frozen=True)
class Canary:
    """A word that was planted in one place.

    Attributes:
        place: Which place.
        group: Which kind of place.
        text: The word.
        codec: Character set in which it was written.
    """

    place: str
    group: str
    text: str
    codec: str = "ascii"

    @cached_property
    def forms(self) -> frozenset[bytes]:
        """What to search for, in lower case."""
        return forms(self.text, self.codec)

    @property
    def where(self) -> str:
        """The place without script and part of a name, so that it is the same in all objects."""
        last = self.place.rsplit(", ", 1)
        return last[0] if last[-1] in _PARTS else self.place

    @property
    def whole(self) -> bool:
        """Whether only a whole number counts, since eight digits are also found by chance."""
        return len(self.text) <= SHORTEST and self.text.isdigit()


def forms(text: str, codec: str) -> frozenset[bytes]:
    """Return the bytes in which a word may come back.

    Args:
        text: The word.
        codec: Character set in which it was planted.

    Returns:
        Forms of at least eight bytes; ASCII letters in lower case, as in data brought to it.
    """
    plain = {text.encode("utf-8"), _bare(text, codec)}
    found = set(plain)
    for word in {text, text.upper(), text.lower(), text.title()}:
        for one in ("utf-8", "utf-16-le", "utf-16-be", "gb18030", "shift_jis", "latin-1", codec):
            found.add(_bare(word, one))
        for one in ("utf-8", codec):
            found.add(_bare(word, one).decode("latin-1").encode("utf-8"))
        if not word.isascii():
            found |= {
                json.dumps(word)[1:-1].encode(),
                quote(word).encode(),
                word.encode("ascii", "xmlcharrefreplace"),
                repr(word.encode("utf-8"))[2:-1].encode(),
                repr(_bare(word, codec))[2:-1].encode("utf-8"),
            }
    if len(text) > SHORTEST:
        for data in plain:
            found.add(data.hex().encode())
            found |= set(_base64(data)) | set(_swapped(data))
            # Half of a digest is enough to be sure, and shortened digests are found too.
            found |= {hashlib.new(one, data).hexdigest()[:16].encode() for one in _HASHES}
    return frozenset(one.lower() for one in found if len(one) >= SHORTEST)


def _bare(text: str, codec: str) -> bytes:
    try:
        data = text.encode(codec)
    except UnicodeEncodeError:
        return b""
    return data[3:-3] if codec == "iso2022_jp" and not text.isascii() else data


def _base64(data: bytes) -> Iterator[bytes]:
    for skip in range(3):
        whole = base64.b64encode(b"\0" * skip + data)
        # Signs that depend on what stands before or behind are left out.
        first, last = -(-skip * 8 // 6), (skip + len(data)) * 8 // 6
        yield whole[first:last]


def _swapped(data: bytes) -> Iterator[bytes]:
    for part in (data, data[1:]):
        even = part[: len(part) // 2 * 2]
        yield bytes(even[at ^ 1] for at in range(len(even)))


class Planter:
    """Draws words for the places of one object, and remembers them.

    Args:
        chance: Where words come from.
        script: How names and texts are written.
        days: Days of 2024 from which dates are drawn, each at most once.
    """

    def __init__(self, chance: random.Random, script: Script, days: range) -> None:
        self.chance = chance
        self.script = script
        self.canaries: list[Canary] = []
        self._days = iter(chance.sample(days, len(days)))

    def _keep(self, place: str, group: str, text: str, codec: str = "ascii") -> str:
        self.canaries.append(Canary(place, group, text, codec))
        return text

    def word(self, place: str, group: str, length: int = 10) -> str:
        """Draw a word of Latin capitals."""
        return self._keep(place, group, "".join(self.chance.choices(_LETTERS, k=length)))

    def raw(self, place: str, group: str, length: int = 10) -> bytes:
        """Draw a word of Latin capitals as bytes."""
        return self.word(place, group, length).encode()

    def foreign(self, place: str, group: str) -> bytes:
        """Draw a word in the script of the object; the bytes as they stand in the file."""
        script = self.script
        text = "".join(self.chance.choices(script.letters, k=9))
        self._keep(f"{place}, {script.name}", group, text, script.codec)
        return script.encode(text)

    def text(self, place: str, group: str) -> bytes:
        """Draw free text: a word in Latin capitals or in the script of the object."""
        if self.chance.random() < 0.5:
            return self.foreign(place, group)
        return self.raw(place, group)

    def name(self, place: str, group: str) -> bytes:
        """Draw a person's name: family and given name, again in the script of the object."""
        latin = self.raw(f"{place}, family", group) + b"^" + self.raw(f"{place}, given", group)
        return latin + b"=" + self.foreign(place, group)

    def digits(self, place: str, group: str, length: int = 12) -> str:
        """Draw a number that may start with zeros."""
        return self._keep(place, group, "".join(self.chance.choices("0123456789", k=length)))

    def uid(self, place: str, group: str) -> str:
        """Draw a UID; its last component is what is searched for."""
        return f"1.2.826.0.1.3680043.{self.chance.randint(1, 9)}" + self.digits(place, group, 16)

    def date(self, place: str, group: str) -> str:
        """Draw a date of 2024."""
        date = dt.date(2024, 1, 1) + dt.timedelta(days=next(self._days))
        return self._keep(place, group, date.strftime("%Y%m%d"))

    def time(self, place: str, group: str) -> str:
        """Draw a time of day to the microsecond."""
        hour, minute, second = (self.chance.randrange(most) for most in (24, 60, 60))
        text = f"{hour:02}{minute:02}{second:02}.{self.chance.randrange(10**6):06}"
        return self._keep(place, group, text)
