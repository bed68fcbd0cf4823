from __future__ import annotations

import hashlib
import json
import signal
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bussynth.cohort import Cohort
from bussynth.errors import AuditGateError, BussynthError, DataError, IntegrityError, UsageError
from bussynth.package import (
    ExportConfig,
    check_export,
    export_package,
    generate_key,
    load,
    verify_package,
)
from bussynth.package.marking import is_marked

CONFIG = ExportConfig(name="demo-bus")


def test_package_has_exactly_the_files_it_should(site: Any) -> None:
    files = {p.relative_to(site.package).as_posix() for p in site.package.rglob("*") if p.is_file()}
    assert files == {
        "LICENSE.txt",
        "README.md",
        "bussynth.statement.dsse.json",
        "cohort.json",
        "croissant.json",
        "data/train-00000-of-00001.parquet",
        "reports/audit.json",
    }


def test_package_is_a_cohort(site: Any) -> None:
    cohort = Cohort.open(site.package)
    cohort.verify()
    assert cohort.kind == "synthetic"
    assert len(cohort) == len(site.cohort)
    for ours, source in zip(cohort, site.cohort, strict=True):
        assert (ours.image == source.image).all()
        assert (ours.mask is None) == (source.mask is None)
        assert (ours.conditions, ours.lesion_box) == (source.conditions, source.lesion_box)


def test_only_allowed_columns_and_marked_pixels_leave(site: Any) -> None:
    table = pq.read_table(site.package / "data" / "train-00000-of-00001.parquet")
    assert table.column_names == [
        *("id", "image", "sha256", "birads", "device", "pathology", "lesion_box", "mask"),
    ]
    for number, row in enumerate(table.to_pylist()):
        assert row["id"] == f"s{number:07d}"
        assert hashlib.sha256(row["image"]["bytes"]).hexdigest() == row["sha256"]
        assert is_marked(row["image"]["bytes"])
        assert row["mask"] is None or is_marked(row["mask"]["bytes"])


def test_nothing_private_is_in_any_file(site: Any) -> None:
    for file in site.package.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for word in (b"ZZCANARY", b"source-", b"1" * 64, b"2" * 64, b"/tmp", b"PRIVATE KEY"):
                assert word not in data, (file.name, word)
            assert site.cohort.digest.encode() not in data


def test_metadata_inside_source_images_does_not_leave(
    tmp_path: Path, site: Any, new_audit: Callable[..., Path]
) -> None:
    row = next(iter(site.cohort))
    text = b"tEXtComment\x00ZZCANARY-TEXT"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    row = replace(row, png=row.png[:33] + chunk + row.png[33:] + b"ZZCANARY-TRAILER")
    cohort = Cohort.create(
        tmp_path / "c",
        [row],
        kind="synthetic",
        image_size=site.cohort.image_size,
        vocabulary=site.cohort.vocabulary,
        masks=True,
    )
    audit = new_audit(tmp_path / "a", cohort)
    export_package(tmp_path / "c", audit, site.key, tmp_path / "p", config=CONFIG)
    for file in (tmp_path / "p").rglob("*"):
        assert file.is_dir() or b"ZZCANARY" not in file.read_bytes()


def test_the_same_export_gives_the_same_bytes(site: Any, tmp_path: Path) -> None:
    info = export_package(
        site.cohort.path,
        site.audit,
        site.key,
        tmp_path / "again",
        config=ExportConfig(name="demo-bus", publisher="Example Hospital"),
    )
    assert info.verified
    assert info.path == tmp_path / "again"
    for name in ("cohort.json", "data/train-00000-of-00001.parquet", "reports/audit.json"):
        assert (tmp_path / "again" / name).read_bytes() == (site.package / name).read_bytes()


def test_many_shards(
    tmp_path: Path, site: Any, new_audit: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bussynth.package.export._MAX_SHARD_ROWS", 4)
    export_package(site.cohort.path, site.audit, site.key, tmp_path / "p", config=CONFIG)
    names = sorted(file.name for file in (tmp_path / "p" / "data").iterdir())
    assert names == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    Cohort.open(tmp_path / "p").verify()
    data = load(tmp_path / "p", trust=site.trust, framework="numpy")
    assert [item["id"] for item in (data[i] for i in range(6))] == [f"s{i:07d}" for i in range(6)]


def test_no_masks_and_one_image(
    tmp_path: Path,
    site: Any,
    new_cohort: Callable[..., Cohort],
    new_audit: Callable[..., Path],
) -> None:
    rows = list(new_cohort(tmp_path / "source", n=1))
    cohort = Cohort.create(
        tmp_path / "c",
        rows,
        kind="synthetic",
        image_size=(16, 20),
        vocabulary={"pathology": ["normal"], "device": ["alpha"], "birads": ["2"]},
    )
    audit = new_audit(tmp_path / "a", cohort)
    info = export_package(tmp_path / "c", audit, site.key, tmp_path / "p", config=CONFIG)
    assert info.images == 1
    item = load(tmp_path / "p", trust=site.trust, framework="numpy")[0]
    assert "mask" not in item


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_audit_that_does_not_clear_stops_the_export(
    tmp_path: Path, site: Any, new_audit: Callable[..., Path], verdict: str
) -> None:
    audit = new_audit(tmp_path / "a", site.cohort, verdict=verdict, reasons=["Found 2 copies."])
    with pytest.raises(AuditGateError, match="Found 2 copies"):
        export_package(site.cohort.path, audit, site.key, tmp_path / "p", config=CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_accepted_inconclusive_audit_is_recorded_everywhere(
    tmp_path: Path, site: Any, new_audit: Callable[..., Path]
) -> None:
    audit = new_audit(tmp_path / "a", site.cohort, verdict="INCONCLUSIVE", reasons=["Too few."])
    config = ExportConfig(name="demo-bus", accept_inconclusive=True)
    info = export_package(site.cohort.path, audit, site.key, tmp_path / "p", config=config)
    assert info.manifest.accepted_inconclusive
    assert "INCONCLUSIVE" in info.warnings[0]
    assert info.to_dict()["verdict"] == "INCONCLUSIVE"
    assert "could not decide" in (tmp_path / "p" / "README.md").read_text()
    assert "INCONCLUSIVE" in (tmp_path / "p" / "croissant.json").read_text()


def test_accepting_in_advance_does_not_brand_a_cleared_package(tmp_path: Path, site: Any) -> None:
    config = ExportConfig(name="demo-bus", accept_inconclusive=True)
    info = export_package(site.cohort.path, site.audit, site.key, tmp_path / "p", config=config)
    assert not info.manifest.accepted_inconclusive
    assert info.warnings == ()


def test_foreign_audit(tmp_path: Path, site: Any, new_cohort: Callable[..., Cohort]) -> None:
    new_cohort(tmp_path / "c", n=3)
    with pytest.raises(AuditGateError, match="another cohort"):
        export_package(tmp_path / "c", site.audit, site.key, tmp_path / "p", config=CONFIG)


@pytest.mark.parametrize("kind", ["phantom", "real"])
def test_only_synthetic_cohorts_leave(
    tmp_path: Path, site: Any, new_audit: Callable[..., Path], kind: str
) -> None:
    cohort = Cohort.create(
        tmp_path / "c",
        [replace(row, patient="p1") for row in site.cohort],
        kind=kind,
        image_size=site.cohort.image_size,
        vocabulary=site.cohort.vocabulary,
        masks=True,
    )
    audit = new_audit(tmp_path / "a", cohort)
    with pytest.raises(DataError, match=f"is a {kind} cohort"):
        export_package(tmp_path / "c", audit, site.key, tmp_path / "p", config=CONFIG)
    # Renaming the kind does not help: the digest of the cohort covers it.
    file = tmp_path / "c" / "cohort.json"
    manifest = json.loads(file.read_text())
    manifest |= {"kind": "synthetic", "counts": {"images": len(cohort)}}
    file.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="digest"):
        export_package(tmp_path / "c", audit, site.key, tmp_path / "p", config=CONFIG)
    assert not (tmp_path / "p").exists()


def test_cohort_changed_after_the_audit(
    tmp_path: Path,
    site: Any,
    new_cohort: Callable[..., Cohort],
    new_audit: Callable[..., Path],
) -> None:
    cohort = new_cohort(tmp_path / "c")
    audit = new_audit(tmp_path / "a", cohort)
    shard = tmp_path / "c" / cohort.shards[0].path
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    with pytest.raises(IntegrityError, match="changed"):
        export_package(tmp_path / "c", audit, site.key, tmp_path / "p", config=CONFIG)


def test_check_does_what_the_export_does_before_the_work(tmp_path: Path, site: Any) -> None:
    plan = check_export(site.cohort.path, site.audit, site.key, tmp_path / "p", config=CONFIG)
    assert plan.to_dict()["images"] == 6
    assert plan.key_id == site.public.key_id
    assert list(tmp_path.iterdir()) == []
    for audit, key, error in (
        (tmp_path / "absent", site.key, AuditGateError),
        (site.audit, site.trust, UsageError),
        (site.audit, tmp_path / "absent", UsageError),
    ):
        with pytest.raises(error):
            check_export(site.cohort.path, audit, key, tmp_path / "p", config=CONFIG)


def test_output_is_not_overwritten_without_force(package: Path, site: Any) -> None:
    arguments = (site.cohort.path, site.audit, site.key, package)
    with pytest.raises(UsageError, match="--force"):
        export_package(*arguments, config=CONFIG)
    info = export_package(*arguments, config=CONFIG, force=True)
    assert verify_package(package, site.trust) == info


def test_output_may_not_lie_in_an_input(site: Any) -> None:
    for out in (site.cohort.path / "p", site.audit / "p", site.cohort.path.parent):
        with pytest.raises(UsageError):
            check_export(site.cohort.path, site.audit, site.key, out, config=CONFIG, force=True)


def test_passphrase_of_the_key(tmp_path: Path, site: Any) -> None:
    public = generate_key(tmp_path / "k.key", passphrase="secret words")
    arguments = (site.cohort.path, site.audit, tmp_path / "k.key", tmp_path / "p")
    with pytest.raises(UsageError, match="passphrase"):
        export_package(*arguments, config=CONFIG)
    export_package(*arguments, config=CONFIG, passphrase="secret words")
    assert verify_package(tmp_path / "p", public).verified


def run(script: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_export_leaves_no_package(tmp_path: Path, site: Any) -> None:
    script = """
        import sys, time
        from bussynth.package import ExportConfig, export_package
        def stop(*arguments):
            print("almost", flush=True)
            time.sleep(60)
        export_package.__globals__["sign_payload"] = stop
        export_package(*sys.argv[1:], config=ExportConfig(name="demo-bus"))
    """
    out = tmp_path / "p"
    process = run(script, site.cohort.path, site.audit, site.key, out)
    assert process.stdout is not None
    assert process.stdout.readline() == "almost\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not out.exists()
    left = list(tmp_path.iterdir())
    assert len(left) == 1
    with pytest.raises(IntegrityError, match="not signed"):
        verify_package(left[0], site.trust)
    export_package(site.cohort.path, site.audit, site.key, out, config=CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_full_disk_leaves_nothing(tmp_path: Path, site: Any) -> None:
    script = """
        import resource, sys
        from bussynth.errors import DataError
        from bussynth.package import ExportConfig, export_package
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            export_package(*sys.argv[1:], config=ExportConfig(name="demo-bus"))
        except DataError as error:
            print(error)
    """
    process = run(script, site.cohort.path, site.audit, site.key, tmp_path / "p")
    output, errors = process.communicate(timeout=60)
    assert "Cannot write" in output, errors
    assert process.returncode == 0, errors
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(tmp_path: Path, site: Any) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BussynthError):
        export_package(
            site.cohort.path, site.audit, site.key, tmp_path / "file" / "p", config=CONFIG
        )
