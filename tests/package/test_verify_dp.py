"""Packages with the claim formal-dp that were tampered with, by others or by their publisher."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import IntegrityError
from bussynth.package import inspect_package, load, verify_package
from bussynth.package.keys import load_private_key
from bussynth.package.manifest import parse_manifest
from bussynth.package.signature import read_payload, sign_payload

ENVELOPE = "bussynth.statement.dsse.json"
STATEMENT = "reports/privacy-statement.json"
Change = Callable[[dict[str, Any]], object]


def refused(package: Path, trust: Path, match: str) -> None:
    """Both doors must be shut."""
    with pytest.raises(IntegrityError, match=match):
        verify_package(package, trust)
    with pytest.raises(IntegrityError, match=match):
        load(package, trust=trust, framework="numpy")


def signed(package: Path) -> dict[str, Any]:
    payload, _ = read_payload((package / ENVELOPE).read_bytes())
    return dict(json.loads(payload))


def sign_again(package: Path, site: Any, change: Change = lambda s: None) -> None:
    """What a publisher with the key can do: list the files as they are now, and sign."""
    statement = signed(package)
    total = 0
    for entry in statement["subject"]:
        data = (package / entry["name"]).read_bytes()
        entry["digest"] = {"sha256": hashlib.sha256(data).hexdigest()}
        entry["annotations"] = {"bytes": len(data)}
        total += len(data)
    privacy = statement["predicate"]["privacy"]
    statement["predicate"]["counts"]["totalBytes"] = total
    if "statement" in privacy:
        data = (package / STATEMENT).read_bytes()
        privacy["statement"] = {"sha256": hashlib.sha256(data).hexdigest()}
    change(statement)
    private = load_private_key(site.key)
    (package / ENVELOPE).write_bytes(sign_payload(json.dumps(statement).encode(), private))


def rewrite(package: Path, change: Change) -> None:
    content = json.loads((package / STATEMENT).read_text())
    change(content)
    (package / STATEMENT).write_text(json.dumps(content))


def test_what_is_signed(private_package: Path, private_site: Any) -> None:
    privacy = signed(private_package)["predicate"]["privacy"]
    digest = hashlib.sha256((private_package / STATEMENT).read_bytes()).hexdigest()
    assert privacy == {
        "claim": "formal-dp",
        "epsilon": private_site.claim["epsilon"],
        "delta": 0.001,
        "unit": "a patient of this site, with all images",
        "adjacency": "add or remove one patient, with all images",
        "ledgerChecked": False,
        "statement": {"sha256": digest},
    }
    sign_again(private_package, private_site)
    assert verify_package(private_package, private_site.trust).epsilon == privacy["epsilon"]


def test_round_trip(private_package: Path) -> None:
    payload, _ = read_payload((private_package / ENVELOPE).read_bytes())
    manifest = parse_manifest(payload)
    assert manifest.to_statement() == payload
    assert manifest.verdict is manifest.audit_sha256 is manifest.derived is None


@pytest.mark.parametrize("name", [STATEMENT, "reports/privacy-statement.md"])
def test_changed_by_others(private_package: Path, private_site: Any, name: str) -> None:
    data = bytearray((private_package / name).read_bytes())
    data[len(data) // 2] ^= 1
    (private_package / name).write_bytes(data)
    refused(private_package, private_site.trust, "changed")
    (private_package / name).unlink()
    refused(private_package, private_site.trust, "changed")


def privacy(**fields: Any) -> Change:
    return lambda statement: statement["predicate"]["privacy"].update(fields)


MANIFESTS: dict[str, tuple[Change, str]] = {
    "smaller epsilon": (privacy(epsilon=0.1), "epsilon: reports/privacy-statement.json says"),
    "smaller delta": (privacy(delta=1e-9), "delta: reports/privacy-statement.json says"),
    "epsilon text": (privacy(epsilon="0.7"), "epsilon: expected a number"),
    "epsilon zero": (privacy(epsilon=0), "epsilon: expected a number above 0"),
    "epsilon true": (privacy(epsilon=True), "epsilon: expected a number"),
    "delta one": (privacy(delta=1), "delta: expected a number"),
    "unit": (privacy(unit="an image"), "unit"),
    "adjacency": (privacy(adjacency="replace one"), "adjacency"),
    "no unit": (lambda s: s["predicate"]["privacy"].pop("unit"), "unit"),
    "checked": (privacy(ledgerChecked="yes"), "ledgerChecked: expected true or false"),
    "no digest": (privacy(statement=None), "statement"),
    "other digest": (privacy(statement={"sha256": "d" * 64}), "is not the digest of"),
    "verdict": (privacy(verdict="NO EVIDENCE ABOVE FLOOR"), "verdict: a package with the claim"),
    "report": (privacy(report={"sha256": "d" * 64}), "report: a package with the claim"),
    "derived": (privacy(derivedFromReal="Consented."), "derivedFromReal: a package with"),
    "not synthetic": (lambda s: s["predicate"].update(synthetic=False), "synthetic"),
    "called audited": (
        privacy(claim="empirically-audited"),
        "epsilon: a package with the claim empirically-audited has none",
    ),
    "no claim": (lambda s: s["predicate"]["privacy"].pop("claim"), "claim"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_says_something_else(
    private_package: Path, private_site: Any, name: str
) -> None:
    change, reason = MANIFESTS[name]
    sign_again(private_package, private_site, change)
    refused(private_package, private_site.trust, reason)


STATEMENTS: dict[str, tuple[Change, str]] = {
    "smaller epsilon": (
        lambda s: (
            s["guarantee"].update(epsilon=0.1),
            s["accounting"].update(pld=0.1, prv=0.1),
        ),
        "two different claims",
    ),
    "unit": (lambda s: s["guarantee"].update(unit="an image"), "guarantee.unit"),
    "figures": (lambda s: s.update(fid=12.5), "'fid': is not known"),
    "seed": (lambda s: s["randomness"].update(seed=1), "randomness.seed"),
    "nan": (lambda s: s["accounting"].update(pld=float("nan")), "NaN"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_that_says_something_else(
    private_package: Path, private_site: Any, name: str
) -> None:
    change, reason = STATEMENTS[name]
    rewrite(private_package, change)
    sign_again(private_package, private_site)
    refused(private_package, private_site.trust, reason)


@pytest.mark.parametrize("name", ["reports/audit.json", "evaluation.json", "Reports/fid.md"])
def test_figures_beside_the_claim(private_package: Path, private_site: Any, name: str) -> None:
    (private_package / name).parent.mkdir(exist_ok=True)
    (private_package / name).write_text("{}")

    def listed(statement: dict[str, Any]) -> None:
        digest = hashlib.sha256(b"{}").hexdigest()
        statement["subject"].append(
            {"name": name, "digest": {"sha256": digest}, "annotations": {"bytes": 2}}
        )
        counts = statement["predicate"]["counts"]
        counts |= {"files": counts["files"] + 1, "totalBytes": counts["totalBytes"] + 2}

    sign_again(private_package, private_site, listed)
    refused(private_package, private_site.trust, "and nothing else")


def test_an_audited_package_with_an_epsilon(package: Path, site: Any) -> None:
    sign_again(package, site, privacy(epsilon=0.1))
    refused(package, site.trust, "epsilon: a package with the claim empirically-audited has none")
    sign_again(package, site, privacy(claim="formal-dp"))
    refused(package, site.trust, "verdict: a package with the claim formal-dp has none")


def test_an_audited_package_with_a_statement(package: Path, private_site: Any, site: Any) -> None:
    data = (private_site.package / STATEMENT).read_bytes()
    (package / STATEMENT).write_bytes(data)

    def listed(statement: dict[str, Any]) -> None:
        entry = {"sha256": hashlib.sha256(data).hexdigest()}
        annotations = {"bytes": len(data)}
        statement["subject"].append(
            {"name": STATEMENT, "digest": entry, "annotations": annotations}
        )
        counts = statement["predicate"]["counts"]
        counts |= {"files": counts["files"] + 1, "totalBytes": counts["totalBytes"] + len(data)}

    sign_again(package, site, listed)
    refused(package, site.trust, "claim: a package with reports/privacy-statement.json")


def test_reading_needs_neither_torch_nor_accounting_libraries(private_site: Any) -> None:
    script = """
        import sys
        for name in ("torch", "scipy", "opacus", "dp_accounting", "pandas"):
            sys.modules[name] = None
        from bussynth.package import load
        package, trust = sys.argv[1:]
        print(load(package, trust=trust).info.claim)
    """
    arguments = [str(private_site.package), str(private_site.trust)]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "formal-dp\n", done.stderr


def test_inspection_does_not_believe_it(private_package: Path, private_site: Any) -> None:
    info = inspect_package(private_package)
    assert not info.verified
    assert "SIGNATURE NOT CHECKED" in info.warnings[0]
    sign_again(private_package, private_site, privacy(verdict="PASS"))
    with pytest.raises(IntegrityError):
        inspect_package(private_package)
