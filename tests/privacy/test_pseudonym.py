from __future__ import annotations

import copy
import hashlib
import hmac
import os
import pickle
import stat
from pathlib import Path

import pytest

from privacy.pseudonym import SiteKey, SiteKeyError, pseudonym

KEY = SiteKey(bytes(range(32)))

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")


def test_known_answer() -> None:
    # Pseudonyms must never change from one release to the next.
    message = b"bussynth/v1\0patient\0" + b"7"
    wanted = hmac.new(bytes(range(32)), message, hashlib.sha256).hexdigest()[:32]
    assert pseudonym(KEY, "7") == wanted == "2addb7f58f5be0b3be2679cb3fa1c845"


def test_leading_zeros_and_case_matter_white_space_and_form_do_not() -> None:
    assert pseudonym(KEY, "7") != pseudonym(KEY, "07")
    assert pseudonym(KEY, "a") != pseudonym(KEY, "A")
    assert pseudonym(KEY, " 7\t\n") == pseudonym(KEY, "7")
    assert pseudonym(KEY, "e\u0301") == pseudonym(KEY, "\u00e9")


@pytest.mark.parametrize("text", ["", "  ", "\t\n", "\u00a0"])
def test_empty_keys_are_refused(text: str) -> None:
    with pytest.raises(SiteKeyError, match="empty"):
        pseudonym(KEY, text)


def test_a_number_is_refused() -> None:
    with pytest.raises(SiteKeyError, match="text"):
        pseudonym(KEY, 7)  # type: ignore[arg-type]


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(SiteKeyError, match="Unicode"):
        pseudonym(KEY, "\ud800")


def test_domains_and_keys_separate() -> None:
    other = SiteKey(bytes(reversed(range(32))))
    assert (
        len(
            {
                pseudonym(KEY, "7"),
                pseudonym(KEY, "7", domain="image"),
                pseudonym(other, "7"),
                KEY.digest("fingerprint", "7").hex()[:32],
            }
        )
        == 4
    )
    # The separator cannot be forged by moving it into the text.
    with pytest.raises(SiteKeyError, match="domain"):
        KEY.digest("a\0b", "c")
    assert KEY.fingerprint != other.fingerprint
    assert KEY.fingerprint == SiteKey(bytes(range(32))).fingerprint


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), bytes(32), "x" * 32])
def test_bad_secrets_are_refused(secret: bytes) -> None:
    with pytest.raises(SiteKeyError):
        SiteKey(secret)


def test_the_secret_shows_nowhere() -> None:
    for text in (repr(KEY), str(KEY), f"{KEY!r:>40}"):
        assert bytes(range(32)).hex()[:8] not in text
        assert "\\x01" not in text
    for dump in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            dump(KEY)  # type: ignore[operator]


def test_create_then_load(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "site.key"
    made = SiteKey.create(path)
    assert pseudonym(SiteKey.load(path), "7") == pseudonym(made, "7")
    assert [file.name for file in path.parent.iterdir()] == ["site.key"]
    assert SiteKey.create(tmp_path / "other.key").fingerprint != made.fingerprint


@posix
def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "site.key"
    SiteKey.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for mode in (0o640, 0o604, 0o660, 0o601):
        path.chmod(mode)
        with pytest.raises(SiteKeyError, match="chmod 600"):
            SiteKey.load(path)
    path.chmod(0o400)
    SiteKey.load(path)


def test_create_never_replaces(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    first = SiteKey.create(path).fingerprint
    with pytest.raises(SiteKeyError, match="never replaced"):
        SiteKey.create(path)
    assert SiteKey.load(path).fingerprint == first
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(range(128, 160)),
        b"bussynth-site-key-v1:" + b"ab" * 31 + b"\n",
        b"bussynth-site-key-v1:" + b"AB" * 32 + b"\n",
        b"bussynth-site-key-v1:" + b"00" * 32 + b"\n",
        b"bussynth-site-key-v1:" + b"ab" * 31 + b"cd\nmore",
        b"x" * 5000,
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "site.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SiteKeyError) as caught:
        SiteKey.load(path)
    assert "abab" not in str(caught.value)


@posix
def test_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SiteKeyError, match="cannot be read"):
        SiteKey.load(tmp_path / "missing")
    with pytest.raises(SiteKeyError):
        SiteKey.load(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(SiteKeyError, match="regular"):
        SiteKey.load(pipe)


@posix
def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SiteKeyError, match="cannot be written"):
        SiteKey.create(tmp_path / "file" / "site.key")
