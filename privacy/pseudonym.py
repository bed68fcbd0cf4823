"""Keyed pseudonyms: a patient key becomes 32 hex characters that only the site can link.

A plain or salted hash of a patient number is no pseudonym: there are few numbers, so anybody can
hash them all. HMAC-SHA-256 under a secret that never leaves the hospital cannot be reversed by
trying. Whoever holds the secret can link, so it is kept in a file of its own, readable by its
owner only, away from every cohort.

Keys are stripped of surrounding white space and brought to Unicode NFC; nothing else is touched.
Letter case and **leading zeros matter**: ``"007"`` and ``"7"`` are two patients.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

__all__ = ["SiteKey", "SiteKeyError", "pseudonym"]

_BYTES: Final = 32
_PREFIX: Final = "bussynth-site-key-v1:"
_TEXT: Final = re.compile(re.escape(_PREFIX) + r"([0-9a-f]{64})\n?")
_DOMAIN: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SHARED_BITS: Final = 0o077


class SiteKeyError(ValueError):
    """A site key file cannot be used or made; the message says why and never shows the key."""


class SiteKey:
    """The secret of one site, 32 random bytes, under which identifiers become pseudonyms.

    It shows itself in no ``repr``, has no public attribute and refuses to be pickled or copied.

    Args:
        secret: Exactly 32 bytes, from a cryptographic source.

    Raises:
        SiteKeyError: If the secret has another length or is constant, as a blank file would be.

    Example:
        >>> key = SiteKey(bytes(range(32)))
        >>> key
        SiteKey(<secret>)
        >>> pseudonym(key, "007") == pseudonym(key, " 007 "), pseudonym(key, "7")
        (True, '2addb7f58f5be0b3be2679cb3fa1c845')
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if not isinstance(secret, bytes) or len(secret) != _BYTES or len(set(secret)) == 1:
            raise SiteKeyError(f"A site key is {_BYTES} random bytes.")
        self._secret = secret

    def __repr__(self) -> str:
        return "SiteKey(<secret>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A site key is not pickled or copied; load it from its file.")

    @classmethod
    def create(cls, path: Path | str) -> SiteKey:
        """Draw a new key and write it to a file that only its owner can read (mode 0600).

        The file appears whole or not at all. An existing file is never replaced: a lost key
        cannot be restored, and with it goes every link from pseudonyms to patients.

        Args:
            path: The file to make; missing folders are made with mode 0700.

        Returns:
            The key.

        Raises:
            SiteKeyError: If the file exists or cannot be written.
        """
        path = Path(path)
        key = cls(secrets.token_bytes(_BYTES))
        try:
            if os.path.lexists(path):
                raise FileExistsError
            _make_folder(path.absolute().parent)
            # mkstemp makes the file with mode 0600.
            descriptor, name = tempfile.mkstemp(prefix=".site-key-", dir=path.absolute().parent)
            try:
                with os.fdopen(descriptor, "w", encoding="ascii", newline="\n") as file:
                    file.write(f"{_PREFIX}{key._secret.hex()}\n")
                    file.flush()
                    os.fsync(file.fileno())
                # Unlike a rename, a link fails when the name is taken: nobody's key is lost.
                path.hardlink_to(name)
            finally:
                with suppress(FileNotFoundError):
                    Path(name).unlink()
        except FileExistsError:
            raise SiteKeyError(f"{path} exists; a site key is never replaced.") from None
        except OSError as error:
            raise SiteKeyError(f"{path} cannot be written: {error.strerror}.") from error
        return key

    @classmethod
    def load(cls, path: Path | str) -> SiteKey:
        """Read a key from its file.

        Args:
            path: A file written by :meth:`create`.

        Returns:
            The key.

        Raises:
            SiteKeyError: If the file is missing, is not a regular file, holds something else or,
                on POSIX systems, belongs to somebody else or can be read by others.
        """
        path = Path(path)
        try:
            # Not blocking, so that a named pipe put in the place of the file cannot hang us.
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            raise SiteKeyError(f"{path} cannot be read: {error.strerror}.") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SiteKeyError(f"{path} is not a regular file.")
            if os.name == "posix":
                if status.st_mode & _SHARED_BITS:
                    raise SiteKeyError(
                        f"{path} is open to other users; if nobody read it, run: chmod 600 {path}"
                    )
                if status.st_uid != os.geteuid():
                    raise SiteKeyError(f"{path} belongs to another user.")
            data = os.read(descriptor, 1024)
        except OSError as error:
            raise SiteKeyError(f"{path} cannot be read: {error.strerror}.") from error
        finally:
            os.close(descriptor)
        match = _TEXT.fullmatch(data.decode("ascii", errors="replace"))
        if match is None:
            raise SiteKeyError(f"{path} is not a site key file.")
        return cls(bytes.fromhex(match[1]))

    @property
    def fingerprint(self) -> str:
        """16 hex characters that tell keys apart and reveal nothing of them.

        Pseudonyms of two cohorts can be compared only if these agree.
        """
        return self.digest("fingerprint", "").hex()[:16]

    def digest(self, domain: str, text: str) -> bytes:
        """Return the HMAC-SHA-256 of a text under this key, within a domain.

        Equal texts in different domains give unrelated digests, so that a patient number used
        as a file name links nothing.

        Args:
            domain: What the text is: lower-case letters, digits and hyphens.
            text: Used as it is, as UTF-8.

        Returns:
            32 bytes.

        Raises:
            SiteKeyError: If the domain has another form or the text is no valid Unicode.
        """
        if not _DOMAIN.fullmatch(domain):
            raise SiteKeyError(f"domain={domain!r}: use lower-case letters, digits and hyphens.")
        try:
            message = b"bussynth/v1\0" + domain.encode() + b"\0" + text.encode()
        except UnicodeEncodeError:
            raise SiteKeyError("The text to digest is not valid Unicode.") from None
        return hmac.new(self._secret, message, hashlib.sha256).digest()


def pseudonym(key: SiteKey, patient_key: str, *, domain: str = "patient") -> str:
    """Turn an identifier into its pseudonym under a site key.

    Args:
        key: The key of the site.
        patient_key: The identifier as text. Surrounding white space is stripped and the text is
            brought to Unicode NFC; case and leading zeros matter.
        domain: What is being named; ``"patient"`` or, for instance, ``"image"``.

    Returns:
        32 lower-case hex characters (128 bits of HMAC-SHA-256).

    Raises:
        SiteKeyError: If the identifier is not text (a number has lost its leading zeros) or is
            empty.
    """
    if not isinstance(patient_key, str):
        raise SiteKeyError("A patient key must be text: a number has lost its leading zeros.")
    text = unicodedata.normalize("NFC", patient_key.strip())
    if not text:
        raise SiteKeyError("A patient key is empty.")
    return key.digest(domain, text).hex()[:32]


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        # Made by somebody else just now, which is fine, or a file, which is not.
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
