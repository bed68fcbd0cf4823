"""Signatures over a statement: the Dead Simple Signing Envelope (DSSE) with Ed25519.

The envelope and its pre-authentication encoding follow
https://github.com/secure-systems-lab/dsse (protocol and envelope, v1.0.0). Only what this
format needs is accepted: one payload type, standard base64, Ed25519.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bussynth.atomic import canonical_json
from bussynth.errors import IntegrityError
from bussynth.package.keys import PublicKey
from bussynth.package.strict_json import strict_json

__all__ = ["MAX_ENVELOPE_BYTES", "PAYLOAD_TYPE", "open_envelope", "read_payload", "sign_payload"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_ENVELOPE_BYTES = 16 * 2**20
_MAX_SIGNATURES = 16
_WHAT = "The signature envelope"


def pre_authentication_encoding(payload: bytes) -> bytes:
    """Return the bytes that are signed: payload type and payload, each with its length."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_payload(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """Wrap a statement in an envelope signed by ``key``.

    Args:
        payload: Serialised in-toto statement.
        key: Private key of the publisher.

    Returns:
        The envelope, UTF-8 JSON.
    """
    public = PublicKey(key.public_key().public_bytes_raw())
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {
                "keyid": public.key_id,
                "sig": base64.b64encode(key.sign(pre_authentication_encoding(payload))).decode(),
            }
        ],
    }
    return (canonical_json(envelope, indent=2) + "\n").encode()


def open_envelope(data: bytes, trust: Sequence[PublicKey]) -> tuple[bytes, tuple[str, ...]]:
    """Return the payload of an envelope that at least one trusted key has signed.

    Args:
        data: The envelope.
        trust: Pinned keys. The key id inside the envelope is a hint that anybody can write,
            so each signature is tried against each key.

    Returns:
        The payload, and the ids of the trusted keys that signed it.

    Raises:
        IntegrityError: The envelope is malformed, or no trusted key has signed it.
    """
    payload, signatures = _parse(data)
    message = pre_authentication_encoding(payload)
    signers = tuple(
        key.key_id
        for key in trust
        if any(key.verifies(message, signature) for _, signature in signatures)
    )
    if not signers:
        named = ", ".join(sorted({hint[:16] for hint, _ in signatures if hint})) or "none"
        pinned = ", ".join(key.key_id[:16] for key in trust) or "none"
        raise IntegrityError(
            "The package is not signed by a key that you trust, or was changed after signing; "
            "do not use it.",
            [f"keys the package names: {named}", f"keys you trust: {pinned}"],
        )
    return payload, signers


def read_payload(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the payload and the claimed key ids WITHOUT checking any signature.

    Raises:
        IntegrityError: The envelope is malformed.
    """
    payload, signatures = _parse(data)
    return payload, tuple(hint for hint, _ in signatures if hint)


def _parse(data: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    envelope = strict_json(data, what=_WHAT, max_bytes=MAX_ENVELOPE_BYTES, max_depth=4)
    if not isinstance(envelope, dict):
        raise IntegrityError(f"{_WHAT} is not a JSON object.")
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise IntegrityError(f"{_WHAT} has another payload type than {PAYLOAD_TYPE}.")
    payload = _decode(envelope.get("payload"), "payload")
    entries = envelope.get("signatures")
    if not isinstance(entries, list) or not entries:
        raise IntegrityError(f"{_WHAT} holds no signature.")
    if len(entries) > _MAX_SIGNATURES:
        raise IntegrityError(f"{_WHAT} holds more than {_MAX_SIGNATURES} signatures.")
    signatures = [_signature(entry) for entry in entries]
    hints = [hint for hint, _ in signatures if hint]
    if len(set(hints)) != len(hints):
        raise IntegrityError(f"{_WHAT} holds two signatures of the same key id.")
    return payload, signatures


def _signature(entry: Any) -> tuple[str, bytes]:
    if not isinstance(entry, dict):
        raise IntegrityError(f"{_WHAT} holds a signature that is not a JSON object.")
    hint = entry.get("keyid", "")
    if not isinstance(hint, str) or len(hint) > 64 or not set(hint) <= set("0123456789abcdef"):
        raise IntegrityError(f"{_WHAT} holds a key id that is not hexadecimal.")
    signature = _decode(entry.get("sig"), "signature")
    if len(signature) != 64:
        raise IntegrityError(f"{_WHAT} holds a signature that is not 64 bytes long.")
    return hint, signature


def _decode(text: Any, what: str) -> bytes:
    if not isinstance(text, str):
        raise IntegrityError(f"{_WHAT} has no {what}.")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise IntegrityError(f"The {what} of the envelope is not base64.") from error
    # Several texts can decode to the same bytes (unused bits); exactly one is canonical.
    if base64.b64encode(data).decode() != text:
        raise IntegrityError(f"The {what} of the envelope is not canonical base64.")
    return data
