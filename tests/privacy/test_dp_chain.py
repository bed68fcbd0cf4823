from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from privacy.dp.chain import Chain
from privacy.dp.errors import LedgerError

SALT = "5" * 32


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    chain = Chain.create(tmp_path / "chain.sqlite", {"kind": "open"})
    for number in range(2, 5):
        add(chain, {"kind": "note", "value": number})
    return chain


def add(chain: Chain, entry: Mapping[str, Any]) -> None:
    with chain.transaction() as writing:
        writing.append(entry)


def edit(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


def forge(path: Path, *entries: Mapping[str, Any]) -> Path:
    """A chain that holds, written without the module."""
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, body, digest)")
    digest = "0" * 64
    for number, entry in enumerate(entries, start=1):
        body = json.dumps(entry)
        digest = hashlib.sha256(f"{digest}\n{body}".encode()).hexdigest()
        database.execute("INSERT INTO entries VALUES (?, ?, ?)", (number, body, digest))
    database.commit()
    database.close()
    return path


def test_what_is_added_is_read_by_another(chain: Chain) -> None:
    entries = Chain(chain.path).entries()
    assert [(one["number"], one["kind"], one.get("value")) for one in entries] == [
        (1, "open", None),
        (2, "note", 2),
        (3, "note", 3),
        (4, "note", 4),
    ]
    assert entries == chain.entries()
    add(Chain(chain.path), {"kind": "later"})
    assert chain.entries()[-1]["kind"] == "later"
    assert chain.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in chain.path.parent.iterdir()] == ["chain.sqlite"]


def test_the_form_of_the_file(tmp_path: Path) -> None:
    path = forge(tmp_path / "c", {"kind": "open", "salt": SALT}, {"kind": "note"})
    assert [one["kind"] for one in Chain(path).entries()] == ["open", "note"]


def test_all_of_a_transaction_or_nothing(chain: Chain) -> None:
    head = chain.head

    def add_two_and_fail() -> None:
        with chain.transaction() as writing:
            writing.append({"kind": "one"})
            writing.append({"kind": "two"})
            assert [one["kind"] for one in writing.entries[-2:]] == ["one", "two"]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        add_two_and_fail()
    assert chain.head == Chain(chain.path).head == head
    add(chain, {"kind": "three"})
    assert Chain(chain.path).entries()[4]["kind"] == "three"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, 'note', 'nope') WHERE number = 2",
        "DELETE FROM entries WHERE number = 3",
        "UPDATE entries SET number = 9 WHERE number = 4",
        "UPDATE entries SET digest = upper(digest) WHERE number = 2",
        "UPDATE entries SET body = x'00' WHERE number = 2",
    ],
)
def test_edited_chains_are_refused(chain: Chain, statement: str) -> None:
    edit(chain.path, statement)
    with pytest.raises(LedgerError, match="edited or damaged at entry"):
        Chain(chain.path).entries()


def test_a_chain_cut_at_the_end_is_found_by_its_head(chain: Chain) -> None:
    head = chain.head
    assert re.fullmatch(r"4:[0-9a-f]{64}", head)
    add(chain, {"kind": "late"})
    chain.check_head(head)
    late = chain.head
    edit(chain.path, "DELETE FROM entries WHERE number > 4")
    cut = Chain(chain.path)
    cut.check_head(head)
    with pytest.raises(LedgerError, match="cut, written anew"):
        cut.check_head(late)
    with pytest.raises(LedgerError, match="edited or damaged"):
        chain.entries()  # an open one notices as well
    other = Chain.create(chain.path.parent / "other", {"kind": "open"})
    for foreign in (head, "", "0:", "x:y"):
        with pytest.raises(LedgerError, match="written anew"):
            other.check_head(foreign)


@pytest.mark.parametrize("salt", [{}, {"salt": ""}, {"salt": "5"}, {"salt": None}])
def test_a_chain_without_salt_is_refused(salt: dict[str, Any], tmp_path: Path) -> None:
    path = forge(tmp_path / "c", {"kind": "open", **salt})
    with pytest.raises(LedgerError, match="holds no salt"):
        Chain(path).commitment("who")


def test_the_commitment_depends_on_the_salt(tmp_path: Path) -> None:
    path = forge(tmp_path / "c", {"kind": "open", "salt": SALT})
    one, same = Chain(path).commitment("who"), Chain(path).commitment("who")
    other = Chain.create(tmp_path / "d", {"kind": "open"}).commitment("who")
    assert re.fullmatch("hmac-sha256:[0-9a-f]{64}", one)
    assert one == same != other
    assert Chain(path).commitment("whom") != one


def test_what_is_no_chain_is_refused_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    (tmp_path / "empty").touch()
    forge(tmp_path / "bare")
    for name in ("text", "empty", "bare", "none"):
        with pytest.raises(LedgerError):
            Chain(tmp_path / name).entries()
    assert not (tmp_path / "none").exists()


def test_a_chain_is_never_replaced(chain: Chain) -> None:
    with pytest.raises(LedgerError, match="never replaced"):
        Chain.create(chain.path, {"kind": "open"})
    assert len(Chain(chain.path).entries()) == 4


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: str, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(LedgerError, match="hard links"):
        Chain.create(tmp_path / "chain", {"kind": "open"})
    assert list(tmp_path.iterdir()) == []


def test_a_locked_chain_stops_the_run(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privacy.dp.chain._WAIT_SECONDS", 0.05)
    with chain.transaction(), pytest.raises(LedgerError, match="nothing may be computed"):
        Chain(chain.path).entries()
    assert len(Chain(chain.path).entries()) == 4


def test_read_only_chains_stop_the_run(chain: Chain) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    chain.path.chmod(0o400)
    with pytest.raises(LedgerError):
        add(chain, {"kind": "note"})
