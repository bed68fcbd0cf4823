from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from bussynth.errors import IntegrityError
from bussynth.package.keys import PublicKey, generate_key, load_private_key
from bussynth.package.signature import PAYLOAD_TYPE, open_envelope, read_payload, sign_payload

PAYLOAD = '{"a": "ä"}'.encode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[PublicKey, PublicKey, bytes]:
    folder = tmp_path_factory.mktemp("keys")
    ours, other = generate_key(folder / "a.key"), generate_key(folder / "b.key")
    return ours, other, sign_payload(PAYLOAD, load_private_key(folder / "a.key"))


def changed(envelope: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(envelope) | fields).encode()


def test_round_trip(keys: tuple[PublicKey, PublicKey, bytes]) -> None:
    ours, other, envelope = keys
    assert open_envelope(envelope, [ours]) == (PAYLOAD, (ours.key_id,))
    assert open_envelope(envelope, [other, ours]) == (PAYLOAD, (ours.key_id,))
    assert read_payload(envelope) == (PAYLOAD, (ours.key_id,))


def test_another_implementation_accepts_the_envelope(
    keys: tuple[PublicKey, PublicKey, bytes],
) -> None:
    ours, other, data = keys
    envelope = Envelope.from_dict(json.loads(data))
    theirs = [
        SSlibKey(key.key_id, "ed25519", "ed25519", {"public": key.raw.hex()})
        for key in (ours, other)
    ]
    assert list(envelope.verify(theirs, threshold=1)) == [ours.key_id]


def test_signature_of_another_key(keys: tuple[PublicKey, PublicKey, bytes]) -> None:
    _, other, envelope = keys
    with pytest.raises(IntegrityError, match="not signed by a key that you trust") as caught:
        open_envelope(envelope, [other])
    assert other.key_id[:16] in str(caught.value)
    with pytest.raises(IntegrityError):
        open_envelope(envelope, [])


def test_claimed_key_id_proves_nothing(keys: tuple[PublicKey, PublicKey, bytes]) -> None:
    ours, other, envelope = keys
    entry = json.loads(envelope)["signatures"][0]
    forged = changed(envelope, signatures=[entry | {"keyid": other.key_id}])
    with pytest.raises(IntegrityError, match="trust"):
        open_envelope(forged, [other])
    assert open_envelope(forged, [ours])[1] == (ours.key_id,)
    del entry["keyid"]
    assert open_envelope(changed(envelope, signatures=[entry]), [ours])[1] == (ours.key_id,)


def signed(payload: bytes = PAYLOAD, **entry: Any) -> dict[str, Any]:
    return {"sig": base64.b64encode(bytes(64)).decode()} | entry


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"signatures": []}, "no signature"),
        ({"signatures": None}, "no signature"),
        ({"signatures": {"a": 1}}, "no signature"),
        ({"signatures": ["x"]}, "not a JSON object"),
        ({"signatures": [signed()] * 17}, "more than 16"),
        ({"signatures": [signed(keyid="ab"), signed(keyid="ab")]}, "same key id"),
        ({"signatures": [signed(keyid="\x1b[31m")]}, "not hexadecimal"),
        ({"signatures": [signed(keyid=5)]}, "not hexadecimal"),
        ({"signatures": [signed(sig="AAAA")]}, "64 bytes"),
        ({"signatures": [signed(sig="A" * 86 + "\n==")]}, "base64"),
        ({"signatures": [signed(sig="-_" * 43 + "==")]}, "base64"),
        ({"signatures": [signed(sig="A" * 85 + "B==")]}, "canonical"),
        ({"signatures": [signed(sig="ä")]}, "base64"),
        ({"signatures": [signed(sig=None)]}, "no signature"),
        ({"payload": "e30"}, "base64"),
        ({"payload": 3}, "no payload"),
        ({"payloadType": "text/plain"}, "payload type"),
        ({"payloadType": PAYLOAD_TYPE.upper()}, "payload type"),
        ({"payloadType": None}, "payload type"),
    ],
)
def test_malformed_envelopes(
    keys: tuple[PublicKey, PublicKey, bytes], fields: dict[str, Any], reason: str
) -> None:
    ours, _, envelope = keys
    for read in (lambda data: open_envelope(data, [ours]), read_payload):
        with pytest.raises(IntegrityError, match=reason) as caught:
            read(changed(envelope, **fields))
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b'{"payload": "", "payload": ""}'])
def test_no_envelope(keys: tuple[PublicKey, PublicKey, bytes], data: bytes) -> None:
    with pytest.raises(IntegrityError):
        open_envelope(data, [keys[0]])


def test_other_payload_under_the_same_signature(
    keys: tuple[PublicKey, PublicKey, bytes],
) -> None:
    ours, _, envelope = keys
    for payload in (b"", PAYLOAD + b" ", PAYLOAD[:-1]):
        with pytest.raises(IntegrityError, match="trust"):
            open_envelope(changed(envelope, payload=base64.b64encode(payload).decode()), [ours])
