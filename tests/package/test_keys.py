from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bussynth.errors import UsageError
from bussynth.package.keys import generate_key, load_private_key, load_public_key, load_trust


def test_pair_signs_and_verifies(tmp_path: Path) -> None:
    public = generate_key(tmp_path / "a.key")
    private = load_private_key(tmp_path / "a.key")
    assert public.path == tmp_path / "a.key.pub"
    assert load_public_key(tmp_path / "a.key.pub") == public
    signature = private.sign(b"x")
    assert public.verifies(b"x", signature)
    assert not public.verifies(b"y", signature)
    assert not public.verifies(b"x", bytes(64))
    assert not public.verifies(b"x", b"")


def test_key_id_is_digest_of_the_der_form(tmp_path: Path) -> None:
    public = generate_key(tmp_path / "a.key")
    der = load_private_key(tmp_path / "a.key").public_key()
    data = der.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public.key_id == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("name", "public"), [("k", "k.pub"), ("k.key", "k.key.pub")])
def test_public_name(tmp_path: Path, name: str, public: str) -> None:
    assert generate_key(tmp_path / "new" / name).path == tmp_path / "new" / public


def test_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        generate_key(tmp_path / "a.key")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.key", "a.key.pub"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_key_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    generate_key(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        load_private_key(tmp_path / "a.key")


@pytest.mark.parametrize("left", ["a.key", "a.key.pub"])
def test_no_key_is_overwritten(tmp_path: Path, left: str) -> None:
    generate_key(tmp_path / "a.key")
    for file in ("a.key", "a.key.pub"):
        if file != left:
            (tmp_path / file).unlink()
    before = (tmp_path / left).read_bytes()
    with pytest.raises(UsageError, match="--force"):
        generate_key(tmp_path / "a.key")
    assert (tmp_path / left).read_bytes() == before


def test_force_replaces_keys_only(tmp_path: Path) -> None:
    old = generate_key(tmp_path / "a.key")
    assert generate_key(tmp_path / "a.key", force=True) != old
    (tmp_path / "notes").write_text("precious")
    with pytest.raises(UsageError, match="not a key"):
        generate_key(tmp_path / "notes", force=True)
    (tmp_path / "link.key").symlink_to(tmp_path / "a.key")
    with pytest.raises(UsageError, match="symbolic link"):
        generate_key(tmp_path / "link.key", force=True)


def test_passphrase(tmp_path: Path) -> None:
    public = generate_key(tmp_path / "a.key", passphrase="correct horse")
    with pytest.raises(UsageError, match="encrypted; give its passphrase"):
        load_private_key(tmp_path / "a.key")
    with pytest.raises(UsageError, match="passphrase is wrong") as caught:
        load_private_key(tmp_path / "a.key", passphrase="guessed")
    assert "guessed" not in str(caught.value)
    private = load_private_key(tmp_path / "a.key", passphrase="correct horse")
    assert public.verifies(b"x", private.sign(b"x"))
    generate_key(tmp_path / "b.key")
    with pytest.raises(UsageError, match="not encrypted"):
        load_private_key(tmp_path / "b.key", passphrase="x")
    with pytest.raises(UsageError, match="empty"):
        generate_key(tmp_path / "c.key", passphrase="")


def test_mixed_up_keys_are_told_apart(tmp_path: Path) -> None:
    generate_key(tmp_path / "a.key")
    with pytest.raises(UsageError, match="is a private key; trust"):
        load_public_key(tmp_path / "a.key")
    with pytest.raises(UsageError, match="is a public key; sign"):
        load_private_key(tmp_path / "a.key.pub")
    with pytest.raises(UsageError, match=r"leave out '\.pub'"):
        generate_key(tmp_path / "b.pub")


def test_other_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ec.key").write_bytes(pem)
    (tmp_path / "ec.key").chmod(0o600)
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ec.pub").write_bytes(public)
    with pytest.raises(UsageError, match="not an Ed25519"):
        load_private_key(tmp_path / "ec.key")
    with pytest.raises(UsageError, match="not an Ed25519"):
        load_public_key(tmp_path / "ec.pub")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n",
        b"x" * 20_000,
    ],
)
def test_damaged_keys_give_a_typed_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k").write_bytes(content)
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(UsageError):
        load_public_key(tmp_path / "k")
    with pytest.raises(UsageError):
        load_private_key(tmp_path / "k")


def test_two_public_keys_in_one_file_are_refused(tmp_path: Path) -> None:
    pems = generate_key(tmp_path / "a.key").pem + generate_key(tmp_path / "b.key").pem
    (tmp_path / "both.pub").write_bytes(pems)
    with pytest.raises(UsageError, match="exactly one"):
        load_public_key(tmp_path / "both.pub")


def test_missing_folder_and_pipe_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError):
            load_public_key(path)


def test_nothing_is_trusted_by_default(tmp_path: Path) -> None:
    for nothing in ([], (), None):
        with pytest.raises(UsageError, match="nothing is trusted by default"):
            load_trust(nothing)  # type: ignore[arg-type]
    one = generate_key(tmp_path / "a.key")
    two = generate_key(tmp_path / "b.key")
    assert load_trust(tmp_path / "a.key.pub") == load_trust(str(tmp_path / "a.key.pub")) == (one,)
    assert [key.raw for key in load_trust([one, tmp_path / "b.key.pub", one])] == [one.raw, two.raw]
