"""Ed25519 keys: make a pair, sign with the private half, trust by the public half.

A key id is the SHA-256 of the public key in DER form (SubjectPublicKeyInfo). Compare it
over the telephone with the publisher: it is what trust in a package rests on.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from bussynth.atomic import write_bytes
from bussynth.errors import UsageError

__all__ = [
    "PublicKey",
    "Trust",
    "generate_key",
    "load_private_key",
    "load_public_key",
    "load_trust",
]

_MAX_BYTES = 16_384
_PRIVATE, _PUBLIC = b"PRIVATE KEY-----", b"-----BEGIN PUBLIC KEY-----"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key pair.

    Attributes:
        raw: The 32 bytes of the Ed25519 public key.
        path: The file it was read from or written to, if any.
    """

    raw: bytes
    path: Path | None = None

    @property
    def key_id(self) -> str:
        """SHA-256 of the key in DER form, 64 hexadecimal digits."""
        der = self._key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    @property
    def pem(self) -> bytes:
        """The key in PEM form, as written to ``NAME.pub``."""
        return self._key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether ``signature`` over ``message`` was made by the private half."""
        try:
            self._key().verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)


Trust = str | os.PathLike[str] | PublicKey
"""A pinned public key, or the file that holds it."""


def generate_key(
    path: str | os.PathLike[str], *, force: bool = False, passphrase: str | None = None
) -> PublicKey:
    """Make a key pair: ``NAME`` (private, mode 0600) and ``NAME.pub`` beside it.

    Args:
        path: File of the private key. Keep it where only the person who signs can read it.
        force: Replace an existing key pair. What the old one signed stays valid for those
            who trust it, but nothing more can be signed with it.
        passphrase: Encrypts the private key.

    Returns:
        The public key; its ``path`` names the file to give to collaborators.

    Raises:
        UsageError: A file exists and ``force`` is not set, or is no key; the passphrase is
            empty; the folder cannot be written.
    """
    private_path = Path(path)
    if private_path.suffix == ".pub":
        raise UsageError(f"{private_path} is the name of a public key; leave out '.pub'.")
    if passphrase is not None and not passphrase:
        raise UsageError("The passphrase is empty; give one, or leave the key unencrypted.")
    public_path = private_path.with_name(private_path.name + ".pub")
    for taken in (private_path, public_path):
        _check_free(taken, force)
    private = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = (
        NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    )
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    public = PublicKey(private.public_key().public_bytes_raw(), public_path)
    try:
        private_path.parent.mkdir(parents=True, exist_ok=True)
        _write_secret(private_path, pem)
    except OSError as error:
        raise UsageError(f"Cannot write {private_path}: {error.strerror}.") from error
    write_bytes(public_path, public.pem)
    return public


def load_private_key(
    path: str | os.PathLike[str], *, passphrase: str | None = None
) -> Ed25519PrivateKey:
    """Read a private key made by :func:`generate_key`.

    Args:
        path: The file.
        passphrase: Needed if the key is encrypted.

    Raises:
        UsageError: The file is missing, readable by others, a public key, no Ed25519 key, or
            the passphrase is missing or wrong.
    """
    path = Path(path)
    data, mode = _read(path, "private key")
    if _PUBLIC in data:
        raise UsageError(f"{path} is a public key; sign with the private key, not its .pub file.")
    if os.name == "posix" and mode & 0o077:
        raise UsageError(
            f"{path} can be read by other users; restrict it first: chmod 600 {path.name}"
        )
    if _PRIVATE not in data:
        raise UsageError(f"{path} holds no private key; make one with: bussynth keygen")
    try:
        key = load_pem_private_key(data, None if passphrase is None else passphrase.encode())
    except TypeError as error:
        remedy = "give its passphrase" if passphrase is None else "leave the passphrase out"
        state = "encrypted" if passphrase is None else "not encrypted"
        raise UsageError(f"The private key {path} is {state}; {remedy}.") from error
    except Exception as error:  # cryptography raises several types for damaged keys
        raise UsageError(
            f"The private key {path} cannot be read: it is damaged or the passphrase is wrong."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is not an Ed25519 key; make one with: bussynth keygen")
    return key


def load_public_key(path: str | os.PathLike[str]) -> PublicKey:
    """Read a public key, the ``.pub`` file made by :func:`generate_key`.

    Raises:
        UsageError: The file is missing, a private key, or no Ed25519 public key.
    """
    path = Path(path)
    data, _ = _read(path, "public key")
    if _PRIVATE in data:
        raise UsageError(
            f"{path} is a private key; trust is given by the public key, its .pub file. "
            "If the private key was sent to you, tell its owner: it must be replaced."
        )
    if data.count(b"-----BEGIN") != 1 or _PUBLIC not in data:
        raise UsageError(f"{path} does not hold exactly one public key in PEM form.")
    try:
        key = load_pem_public_key(data)
    except Exception as error:  # cryptography raises several types for damaged keys
        raise UsageError(f"The public key {path} cannot be read: it is damaged.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path} is not an Ed25519 public key.")
    return PublicKey(key.public_bytes_raw(), path)


def load_trust(trust: Trust | Sequence[Trust]) -> tuple[PublicKey, ...]:
    """Return the pinned keys; there is no default trust.

    Args:
        trust: A public key or its file, or several of them.

    Raises:
        UsageError: Nothing is given, or something given is no public key.
    """
    several = [trust] if isinstance(trust, (str, os.PathLike, PublicKey)) else list(trust or ())
    if not several:
        raise UsageError(
            "No trusted key given: nothing is trusted by default. Ask the publisher for the "
            "public key and compare its id with them by another channel."
        )
    keys = [item if isinstance(item, PublicKey) else load_public_key(item) for item in several]
    return tuple({key.raw: key for key in keys}.values())


def _check_free(path: Path, force: bool) -> None:
    if path.is_symlink():
        raise UsageError(f"{path} is a symbolic link; choose another name.")
    if not path.exists():
        return
    if not force:
        raise UsageError(f"{path} exists; choose another name, or use --force to replace the key.")
    data, _ = _read(path, "key")
    if _PRIVATE not in data and _PUBLIC not in data:
        raise UsageError(f"{path} is not a key, so it is not replaced; choose another name.")


def _read(path: Path, what: str) -> tuple[bytes, int]:
    try:
        # Without O_NONBLOCK a FIFO would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"The {what} {path} is not a regular file.")
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"Cannot read the {what} {path}: {error.strerror}.") from error
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{path} is too large for a {what}.")
    return data, stat.S_IMODE(status.st_mode)


def _write_secret(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    # The mode is given at creation: at no time may another user open the file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
