"""Packages with the claim formal-dp: what they hold, and everything that is refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bussynth.cohort import Cohort
from bussynth.cohort.cohort import LEDGER_FILE
from bussynth.errors import (
    BussynthError,
    DataError,
    IntegrityError,
    MissingDependencyError,
    UsageError,
)
from bussynth.generator.private_record import privacy_record
from bussynth.inspection import inspect_folder
from bussynth.package import (
    ExportConfig,
    check_export,
    export_package,
    inspect_package,
    load,
    verify_package,
)
from bussynth.package.dp_gate import _contradictions
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian

FORMAL = ExportConfig(name="demo-dp", claim="formal-dp")


def refused(cohort: Cohort, site: Any, out: Path, **options: Any) -> BussynthError:
    """The check and the export must both refuse, and leave nothing."""
    config = options.pop("config", FORMAL)
    audit = options.pop("audit", None)
    with pytest.raises((DataError, UsageError)) as checked:
        check_export(cohort.path, audit, site.key, out, config=config, **options)
    with pytest.raises(type(checked.value)) as caught:
        export_package(cohort.path, audit, site.key, out, config=config, **options)
    assert str(caught.value) == str(checked.value)
    assert not out.exists()
    assert not list(out.parent.glob(f".{out.name}*"))
    return caught.value


# What is in the package


def test_it_has_exactly_the_files_it_should(private_site: Any) -> None:
    root = private_site.package
    files = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert files == {
        "LICENSE.txt",
        "README.md",
        "bussynth.statement.dsse.json",
        "cohort.json",
        "croissant.json",
        "data/train-00000-of-00001.parquet",
        "reports/privacy-statement.json",
        "reports/privacy-statement.md",
    }


def test_every_reader_sees_the_claim_and_no_verdict(private_site: Any) -> None:
    claim = private_site.claim
    info = verify_package(private_site.package, private_site.trust)
    assert (info.claim, info.epsilon, info.delta) == ("formal-dp", claim["epsilon"], 0.001)
    assert info.verdict is None
    assert info.warnings == ()
    shown = info.to_dict()
    assert shown["epsilon"] == claim["epsilon"]
    assert shown["unit"] == "a patient of this site, with all images"
    assert shown["ledger_checked"] is False
    assert not {"verdict", "reasons", "accepted_inconclusive", "derived_from_real"} & shown.keys()
    described = inspect_folder(private_site.package)
    assert described["claim"] == "formal-dp"
    assert inspect_package(private_site.package).epsilon == claim["epsilon"]
    data = load(private_site.package, trust=private_site.trust, framework="numpy")
    assert len(data) == 6
    assert data.info == info
    assert "epsilon 0.765 at delta 0.001 for a patient" in repr(data)


def test_an_audited_package_has_no_epsilon(site: Any) -> None:
    info = verify_package(site.package, site.trust)
    assert info.claim == "empirically-audited"
    assert info.epsilon is info.delta is None
    assert not {"epsilon", "delta", "unit", "guarantee"} & info.to_dict().keys()
    assert "guarantee" not in (site.package / "README.md").read_text().lower()


def test_numbers_for_people_are_rounded_up(private_site: Any) -> None:
    epsilon = private_site.claim["epsilon"]
    assert 0.764 < epsilon < 0.7645, "which would round down"
    for name in ("README.md", "reports/privacy-statement.md", "croissant.json"):
        text = (private_site.package / name).read_text()
        assert "0.765" in text, name
        assert not re.search(r"0\.764(?!\d)", text), name


def test_the_papers_say_what_is_covered_and_what_is_not(private_site: Any) -> None:
    card = (private_site.package / "README.md").read_text()
    scope = private_site.claim["statement"]["scope"]
    for line in (*scope["covered"], *scope["not_covered"]):
        assert f"* {line}" in card
    for words in ("Verdict", "detection floor", "anonym", "could not decide"):
        assert words not in card
    assert "Compared with the ledger at export | no" in card
    words = (private_site.package / "reports" / "privacy-statement.md").read_text()
    assert "training of the generator: noise 2, 5 steps planned" in words
    assert "no file can prove" in words
    papers = json.loads((private_site.package / "croissant.json").read_text())
    assert "formal-dp" in papers["rai:personalSensitiveInformation"]
    assert "audit" not in papers["rai:personalSensitiveInformation"]


def test_of_the_record_only_the_statement_leaves(private_site: Any) -> None:
    packed = json.loads((private_site.package / "reports/privacy-statement.json").read_text())
    assert packed == private_site.claim["statement"]
    for file in private_site.package.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for word in (b"4711", b"9" * 64, b"source-", private_site.hospital.digest.encode()):
                assert word not in data, (file.name, word)


def test_texts_of_a_statement_write_no_markdown(
    tmp_path: Path, private_site: Any, claim: dict[str, Any], new_private: Callable[..., Cohort]
) -> None:
    claim["statement"]["tuning"] = "none [x](http://evil) <script>"
    claim["statement"]["mechanisms"][0]["purpose"] = "counts **of** <b>things</b>"
    cohort = new_private(tmp_path / "c", claim)
    export_package(cohort.path, None, private_site.key, tmp_path / "p", config=FORMAL)
    words = (tmp_path / "p" / "reports" / "privacy-statement.md").read_text()
    assert "[x](" not in words.replace("\\[x\\](", "")
    assert "<script" not in words.replace("\\<script", "")
    assert "**of**" not in words
    assert "<b" not in words.replace("\\<b", "")


# What is refused


def test_a_cohort_without_the_claim(
    tmp_path: Path, private_site: Any, new_private: Callable[..., Cohort]
) -> None:
    error = refused(new_private(tmp_path / "c", None), private_site, tmp_path / "p")
    assert isinstance(error, DataError)
    assert "makes no claim formal-dp" in str(error)
    assert "--dp-epsilon" in str(error)


PROVENANCE: dict[str, tuple[dict[str, Any], str]] = {
    "guard": ({"guard": {"kind": "rejection"}}, "without --guard"),
    "guard in the request": ({"request": {"n": 6, "guard": "cpsample"}}, "without --guard"),
    "derived": ({"derived": {"by": "restyle"}}, "derived from others"),
    "trained on": ({"trained_on": "sha256:" + "7" * 64}, "names the cohort"),
    "no generator": ({"generator": None}, "names no generator"),
    "figures": ({"evaluation": {"fid": 12.3}}, "'evaluation'"),
    "selection": ({"filtered": "distance to real images"}, "'filtered'"),
    "wrapped": ({"verb": "wrap", "source": "images"}, "'verb'"),
    "images left out": ({"request": {"n": 7}}, "not all those that were asked for"),
    "no request": ({"request": None}, "not all those that were asked for"),
    "other base": (
        {"request": {"n": 6, "verb": "evolve"}},
        "another one than the public base",
    ),
}


@pytest.mark.parametrize("name", PROVENANCE)
def test_a_record_of_more_than_was_counted(
    tmp_path: Path,
    private_site: Any,
    claim: dict[str, Any],
    new_private: Callable[..., Cohort],
    name: str,
) -> None:
    changes, reason = PROVENANCE[name]
    error = refused(new_private(tmp_path / "c", claim, **changes), private_site, tmp_path / "p")
    assert reason in str(error)


def test_an_evolved_cohort_of_its_base(
    tmp_path: Path, private_site: Any, claim: dict[str, Any], new_private: Callable[..., Cohort]
) -> None:
    claim["statement"]["public_inputs"]["base"] = "sha256:" + "9" * 64
    request = {"verb": "evolve", "n": 6, "seed": 0}
    cohort = new_private(tmp_path / "c", claim, request=request)
    check_export(cohort.path, None, private_site.key, tmp_path / "p", config=FORMAL)


def test_images_that_were_chosen_masked_or_counted(
    tmp_path: Path, private_site: Any, claim: dict[str, Any]
) -> None:
    rows = list(private_site.cohort)
    same: dict[str, Any] = {
        "image_size": (16, 20),
        "vocabulary": private_site.cohort.vocabulary,
        "provenance": private_site.cohort.provenance,
    }
    out = tmp_path / "p"
    gap = Cohort.create(tmp_path / "gap", rows[:3] + rows[4:], kind="synthetic", **same)
    assert "not all those" in str(refused(gap, private_site, out))
    moved = Cohort.create(tmp_path / "moved", rows[::-1], kind="synthetic", **same)
    assert "not all those" in str(refused(moved, private_site, out))
    masked = Cohort.create(tmp_path / "masked", rows, kind="synthetic", masks=True, **same)
    assert "masks" in str(refused(masked, private_site, out))
    counted = shutil.copytree(private_site.cohort.path, tmp_path / "counted")
    edit(counted, lambda record: record["counts"].update(patients=31))
    error = refused(Cohort.open(counted), private_site, out)
    assert "exact counts of patients" in str(error)
    assert "31" not in str(error)
    real = [replace(row, patient=f"p{i}", split="train") for i, row in enumerate(rows)]
    error = refused(
        Cohort.create(tmp_path / "real", real, kind="real", split={"seed": 1}, **same),
        private_site,
        out,
    )
    assert "is a real cohort" in str(error)


def edit(cohort: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = cohort / "cohort.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


CLAIMS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "other numbers": (lambda c: c.update(epsilon=0.1), "epsilon of the claim is another one"),
    "other delta": (lambda c: c.update(delta=1e-9), "delta of the claim is another one"),
    "other unit": (lambda c: c.update(unit="an image"), "unit of the claim is another one"),
    "no numbers": (lambda c: c.pop("epsilon"), "epsilon of the claim is another one"),
    "more": (lambda c: c.update(patients=31), "'patients', which is not known"),
    "no statement": (lambda c: c.pop("statement"), "missing or not an object"),
    "epsilon typed": (
        lambda c: (
            c.update(epsilon=0.2),
            c["statement"]["guarantee"].update(epsilon=0.2),
            c["statement"]["accounting"].update(pld=0.2, prv=0.2),
        ),
        "accounting.pld: 0.2 does not follow",
    ),
    "mechanism hidden": (lambda c: c["statement"]["mechanisms"].pop(), "does not follow"),
    "power typed": (
        lambda c: c["statement"]["interpretation"].update({"at_1_percent": 0.011}),
        "at_1_percent: 0.011 does not follow",
    ),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_that_contradicts_itself(
    tmp_path: Path,
    private_site: Any,
    claim: dict[str, Any],
    new_private: Callable[..., Cohort],
    name: str,
) -> None:
    change, reason = CLAIMS[name]
    change(claim)
    error = refused(new_private(tmp_path / "c", claim), private_site, tmp_path / "p")
    assert reason in str(error)
    assert "never edited" in str(error), "the remedy"


def test_arguments_of_the_other_claim(tmp_path: Path, private_site: Any, site: Any) -> None:
    config = ExportConfig(name="demo-dp", claim="formal-dp", accept_inconclusive=True)
    error = refused(
        private_site.cohort, private_site, tmp_path / "p", audit=site.audit, config=config
    )
    assert isinstance(error, UsageError)
    assert len(error.problems) == 2
    config = replace(config, accept_inconclusive=False, declare_derived="They consented.")
    error = refused(private_site.cohort, private_site, tmp_path / "p", config=config)
    assert "--declare-derived" in str(error)


def test_all_problems_at_once(
    tmp_path: Path,
    private_site: Any,
    site: Any,
    claim: dict[str, Any],
    new_private: Callable[..., Cohort],
) -> None:
    claim["statement"]["guarantee"]["unit"] = "an image"
    claim["statement"]["randomness"]["seed"] = 1
    cohort = new_private(tmp_path / "c", claim, guard={"kind": "both"}, trained_on="x", fid=3)
    error = refused(cohort, private_site, tmp_path / "p", audit=site.audit)
    text = "\n".join(error.problems)
    for word in ("--audit", "--guard", "names the cohort", "'fid'", "guarantee.unit", ".seed"):
        assert word in text


def test_the_audited_claim_is_as_it_was(
    tmp_path: Path, private_site: Any, site: Any, new_audit: Callable[..., Path]
) -> None:
    config = ExportConfig(name="demo")
    with pytest.raises(UsageError, match=r"--audit.*--claim formal-dp"):
        export_package(site.cohort.path, None, site.key, tmp_path / "p", config=config)
    with pytest.raises(UsageError, match="--ledger"):
        export_package(
            site.cohort.path,
            site.audit,
            site.key,
            tmp_path / "p",
            config=config,
            ledger=private_site.hospital.path,
        )
    audit = new_audit(tmp_path / "a", private_site.cohort)
    arguments = (private_site.cohort.path, audit, site.key, tmp_path / "p")
    (note,) = check_export(*arguments, config=config).notes
    assert "the guarantee ends" in note
    info = export_package(*arguments, config=config)
    assert (info.claim, info.epsilon) == ("empirically-audited", None)
    assert "formal-dp" not in "".join(
        file.read_text(errors="replace") for file in (tmp_path / "p").rglob("*") if file.is_file()
    )
    with pytest.raises(UsageError, match="claim"):
        ExportConfig(claim="anonymous")


# The ledger


def test_the_ledger_confirms(tmp_path: Path, private_site: Any) -> None:
    arguments = (private_site.cohort.path, None, private_site.key, tmp_path / "p")
    assert "--ledger" in check_export(*arguments, config=FORMAL).notes[0]
    ledger = private_site.hospital.path
    assert check_export(*arguments, config=FORMAL, ledger=ledger).notes == ()
    info = export_package(*arguments, config=FORMAL, ledger=ledger)
    assert info.epsilon == private_site.claim["epsilon"]
    assert info.manifest.guarantee is not None
    assert info.manifest.guarantee.ledger_checked
    card = (tmp_path / "p" / "README.md").read_text()
    assert "Compared with the ledger at export | yes" in card
    assert "was not compared" not in (tmp_path / "p/reports/privacy-statement.md").read_text()


def test_what_was_spent_since_is_stated(
    tmp_path: Path, new_hospital: Callable[..., Any], new_private: Callable[..., Cohort], site: Any
) -> None:
    hospital, ledger = new_hospital(tmp_path / "hospital")
    before = json.loads(json.dumps(privacy_record(ledger, ("every image",), {})))
    cohort = new_private(tmp_path / "c", before)
    later = ledger.register("votes of an evolution", SampledGaussian(noise_multiplier=9.0))
    ledger.charge(later)
    arguments = (cohort.path, None, site.key, tmp_path / "p")
    (note,) = check_export(*arguments, config=FORMAL, ledger=hospital.path).notes
    assert "More was spent" in note
    info = export_package(*arguments, config=FORMAL, ledger=hospital.path)
    assert before["epsilon"] < 1
    assert info.epsilon == 8.0, "of plans one after another the cap is stated"
    statement = json.loads((tmp_path / "p" / "reports/privacy-statement.json").read_text())
    assert [one["purpose"] for one in statement["mechanisms"]][-1] == "votes of an evolution"
    assert statement["scope"] == before["statement"]["scope"]
    assert statement["ledger"]["head"] == ledger.head
    assert verify_package(tmp_path / "p", site.trust).epsilon == 8.0


def test_a_ledger_that_does_not_know_the_statement(
    tmp_path: Path, private_site: Any, new_hospital: Callable[..., Any]
) -> None:
    out = tmp_path / "p"
    other, _ = new_hospital(tmp_path / "other")
    error = refused(private_site.cohort, private_site, out, ledger=other.path)
    assert "does not hold entry 4" in str(error)
    assert "trained on" in str(error), "the remedy"
    none = shutil.copytree(private_site.hospital.path, tmp_path / "none")
    (none / LEDGER_FILE).unlink()
    assert "no ledger" in str(refused(private_site.cohort, private_site, out, ledger=none))
    error = refused(private_site.cohort, private_site, out, ledger=tmp_path / "absent")
    assert "holds no cohort" in str(error)
    (none / LEDGER_FILE).write_bytes(b"SQLite format 3\0" + bytes(4080))
    refused(private_site.cohort, private_site, out, ledger=none)


def test_a_claim_that_its_ledger_refutes(
    tmp_path: Path, private_site: Any, claim: dict[str, Any], new_private: Callable[..., Cohort]
) -> None:
    """Consistent in itself: a plan with more noise, computed honestly, but never registered."""
    ledger = Ledger.create(
        tmp_path / "l", subject="s", cap=Cap(epsilon=8.0, delta=0.001, patients=50)
    )
    ledger.charge(ledger.register("votes", SampledGaussian(noise_multiplier=50.0)))
    forged = json.loads(json.dumps(privacy_record(ledger, ("every image",), {})))
    forged["statement"]["ledger"]["head"] = claim["statement"]["ledger"]["head"]
    cohort = new_private(tmp_path / "c", forged)
    check_export(cohort.path, None, private_site.key, tmp_path / "p", config=FORMAL)
    error = refused(cohort, private_site, tmp_path / "p", ledger=private_site.hospital.path)
    assert "mechanism 1 of the statement is not in the ledger like this" in str(error)


def test_output_may_not_lie_in_the_real_cohort(private_site: Any) -> None:
    hospital = private_site.hospital.path
    with pytest.raises(UsageError, match="overlaps"):
        check_export(
            private_site.cohort.path,
            None,
            private_site.key,
            hospital / "p",
            config=FORMAL,
            ledger=hospital,
        )


# Accidents


def test_without_the_accounting_libraries(
    tmp_path: Path, private_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _contradictions.cache_clear()
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(MissingDependencyError, match=r"bussynth\[full\]"):
        check_export(
            private_site.cohort.path, None, private_site.key, tmp_path / "p", config=FORMAL
        )


def test_cohort_changed_since_it_was_made(
    tmp_path: Path, private_site: Any, claim: dict[str, Any], new_private: Callable[..., Cohort]
) -> None:
    cohort = new_private(tmp_path / "c", claim)
    shard = tmp_path / "c" / cohort.shards[0].path
    data = bytearray(shard.read_bytes())
    data[2000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(IntegrityError, match="changed"):
        export_package(cohort.path, None, private_site.key, tmp_path / "p", config=FORMAL)
    assert not (tmp_path / "p").exists()


def test_killed_export_leaves_no_package(tmp_path: Path, private_site: Any) -> None:
    script = """
        import sys, time
        from bussynth.package import ExportConfig, export_package
        def stop(*arguments):
            print("almost", flush=True)
            time.sleep(60)
        export_package.__globals__["sign_payload"] = stop
        cohort, key, out = sys.argv[1:]
        config = ExportConfig(name="demo-dp", claim="formal-dp")
        export_package(cohort, None, key, out, config=config)
    """
    out = tmp_path / "p"
    arguments = [str(private_site.cohort.path), str(private_site.key), str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "almost\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = tmp_path.iterdir()
    assert not out.exists()
    with pytest.raises(IntegrityError, match="not signed"):
        verify_package(left, private_site.trust)
    export_package(private_site.cohort.path, None, private_site.key, out, config=FORMAL)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
