from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import IntegrityError, UsageError
from bussynth.package import generate_key, inspect_package, load, verify_package

ENVELOPE = "bussynth.statement.dsse.json"
SHARD = "data/train-00000-of-00001.parquet"
FILES = [
    ENVELOPE,
    SHARD,
    "LICENSE.txt",
    "README.md",
    "cohort.json",
    "croissant.json",
    "reports/audit.json",
]


def refused(package: Path, trust: Path, match: str | None = None) -> IntegrityError:
    """Both doors must be shut; return the error of `verify_package`."""
    with pytest.raises(IntegrityError):
        load(package, trust=trust, framework="numpy")
    with pytest.raises(IntegrityError, match=match) as caught:
        verify_package(package, trust)
    assert caught.value.exit_code == 5
    return caught.value


def test_good_package(site: Any) -> None:
    info = verify_package(site.package, site.trust)
    assert info.verified
    assert info.signers == (site.public.key_id,)
    assert (info.name, info.version, info.images) == ("demo-bus", "1.0.0", 6)
    assert info.warnings == ()
    assert verify_package(str(site.package), [site.trust]) == info


def test_inspect_says_loudly_that_it_checked_nothing(package: Path, site: Any) -> None:
    (package / SHARD).write_bytes(b"")
    info = inspect_package(package)
    assert not info.verified
    assert "SIGNATURE NOT CHECKED" in info.warnings[0]
    assert info.to_dict()["verified"] is False
    assert info.name == "demo-bus"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_one_bit_flipped(package: Path, site: Any, name: str, where: str) -> None:
    data = bytearray((package / name).read_bytes())
    data[{"first": 0, "middle": len(data) // 2, "last": -2}[where]] ^= 1
    (package / name).write_bytes(data)
    refused(package, site.trust)


@pytest.mark.parametrize("name", FILES)
def test_truncated_emptied_removed_grown(package: Path, site: Any, name: str) -> None:
    data = (package / name).read_bytes()
    # The line break at the end of the envelope is not signed and means nothing.
    for damaged in (data[:-2], b"", data + b"\0"):
        (package / name).write_bytes(damaged)
        refused(package, site.trust)
    (package / name).unlink()
    refused(package, site.trust, "missing")


@pytest.mark.parametrize(
    "name", ["evil.py", ".git/config", "data/x.parquet", "data/.hidden", "reports/new/a", "\x1b[2J"]
)
def test_added_file(package: Path, site: Any, name: str) -> None:
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_bytes(b"x")
    error = refused(package, site.trust, "not listed")
    assert "\x1b" not in str(error)


def test_added_folder(package: Path, site: Any) -> None:
    (package / "empty").mkdir()
    refused(package, site.trust, "not listed")


def test_swapped_files(package: Path, site: Any) -> None:
    readme, audit = package / "README.md", package / "reports" / "audit.json"
    first, second = readme.read_bytes(), audit.read_bytes()
    readme.write_bytes(second)
    audit.write_bytes(first)
    error = refused(package, site.trust, "changed after signing")
    assert len(error.problems) == 2


@pytest.mark.parametrize("name", FILES)
def test_link_device_or_folder_in_place_of_a_file(
    package: Path, site: Any, tmp_path: Path, name: str
) -> None:
    file = package / name
    copy = Path(shutil.move(file, tmp_path / "copy"))
    file.symlink_to(copy)
    refused(package, site.trust, "link" if name != ENVELOPE else "not signed")
    file.unlink()
    file.symlink_to("/dev/zero")
    refused(package, site.trust, "link" if name != ENVELOPE else "not signed")
    file.unlink()
    os.link(copy, file)
    refused(package, site.trust, "hard link")
    file.unlink()
    os.mkfifo(file)
    refused(package, site.trust, "pipe")
    file.unlink()
    file.mkdir()
    refused(package, site.trust)


def test_linked_folder(package: Path, site: Any, tmp_path: Path) -> None:
    shutil.move(package / "data", tmp_path / "elsewhere")
    (package / "data").symlink_to(tmp_path / "elsewhere")
    refused(package, site.trust)


def test_wrong_key_and_no_key(site: Any, tmp_path: Path) -> None:
    other = generate_key(tmp_path / "other.key")
    refused(site.package, tmp_path / "other.key.pub", "not signed by a key that you trust")
    assert verify_package(site.package, [other, site.public]).signers == (site.public.key_id,)
    for trust in ([], ()):
        with pytest.raises(UsageError, match="by default"):
            verify_package(site.package, trust)
    with pytest.raises(UsageError, match="private key"):
        verify_package(site.package, site.key)


def test_sparse_envelope_of_a_gigabyte(package: Path, site: Any) -> None:
    with (package / ENVELOPE).open("r+b") as stream:
        stream.truncate(2**30)
    refused(package, site.trust, "larger")
    with pytest.raises(IntegrityError, match="larger"):
        inspect_package(package)


def test_sparse_shard_of_a_terabyte_is_not_read(package: Path, site: Any) -> None:
    with (package / SHARD).open("r+b") as stream:
        stream.truncate(2**40)
    refused(package, site.trust, "the manifest says")


def test_thousands_of_extra_files_do_not_flood_the_message(package: Path, site: Any) -> None:
    for number in range(300):
        (package / f"x{number}").touch()
    error = refused(package, site.trust, "not listed")
    assert len(error.problems) < 120
    assert len(str(error).splitlines()) < 30


def test_every_problem_is_listed(package: Path, site: Any) -> None:
    (package / "README.md").unlink()
    (package / "cohort.json").write_bytes(b"")
    (package / "extra").touch()
    error = refused(package, site.trust, "changed")
    text = "\n".join(error.problems)
    for name in ("README.md", "cohort.json", "extra"):
        assert name in text


def test_what_is_no_package(tmp_path: Path, site: Any) -> None:
    refused(tmp_path, site.trust, "not signed")
    archive = Path(shutil.make_archive(str(tmp_path / "p"), "zip", site.package))
    for read in (lambda path: verify_package(path, site.trust), inspect_package):
        with pytest.raises(UsageError, match="unpack"):
            read(archive)
        with pytest.raises(UsageError, match="does not exist"):
            read(tmp_path / "absent")
