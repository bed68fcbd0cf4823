from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import IntegrityError
from bussynth.package import verify
from bussynth.package.croissant import croissant_metadata
from bussynth.package.folder import digest_problem
from bussynth.package.manifest import FileEntry, Manifest
from bussynth.package.verify import verify_package


def read(package: Path) -> dict[str, Any]:
    return dict(json.loads((package / "croissant.json").read_text()))


def test_required_properties(site: Any) -> None:
    metadata = read(site.package)
    required = (
        "@context @type conformsTo name description license url creator datePublished "
        "distribution recordSet"
    )
    for key in required.split():
        assert metadata[key], key
    assert "http://mlcommons.org/croissant/1.1" in metadata["conformsTo"]
    assert metadata["@type"] == "sc:Dataset"


def test_every_listed_file_has_its_digest(site: Any) -> None:
    listed = [item for item in read(site.package)["distribution"] if "sha256" in item]
    assert {item["contentUrl"] for item in listed} == {
        *("LICENSE.txt", "README.md", "cohort.json", "reports/audit.json"),
        "data/train-00000-of-00001.parquet",
    }
    for item in listed:
        size = int(item["contentSize"].removesuffix(" B"))
        entry = FileEntry(item["sha256"], size)
        assert digest_problem(site.package, item["contentUrl"], entry) is None


def test_ids_are_unique_and_references_resolve(site: Any) -> None:
    metadata = read(site.package)
    fields = metadata["recordSet"][0]["field"]
    ids = [item["@id"] for item in [*metadata["distribution"], *metadata["recordSet"], *fields]]
    assert len(ids) == len(set(ids))
    for field in fields:
        assert field["source"]["fileSet"]["@id"] in ids
    assert metadata["recordSet"][0]["key"]["@id"] in ids
    assert {field["name"] for field in fields} == {
        *("id", "image", "sha256", "pathology", "device", "birads", "lesion_box", "mask")
    }


def test_no_place_outside_the_package_is_named(site: Any) -> None:
    for item in read(site.package)["distribution"]:
        assert "://" not in item.get("contentUrl", "")


def test_metadata_that_disagrees_with_the_manifest_is_refused(
    package: Path, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = read(package)
    metadata["distribution"][0]["sha256"] = "0" * 64
    data = json.dumps(metadata).encode()
    monkeypatch.setattr(verify, "read_file", lambda *_: data)
    with pytest.raises(IntegrityError, match="disagrees"):
        verify_package(package, site.trust)


def test_licence_of_ones_own(site: Any) -> None:
    facts = {
        "name": "d",
        "version": "1.0.0",
        "license": "LicenseRef-x",
        "description": "d",
        "url": "https://example.org/d",
        "publisher": "p",
        "created_at": "2026-01-01T00:00:00Z",
        "verdict": "INCONCLUSIVE",
        "reasons": ("r",),
        "conditions": {},
        "derived": None,
    }
    metadata = croissant_metadata(facts, {}, masks=False)
    assert metadata["license"] == "LicenseRef-x"
    assert metadata["url"] == "https://example.org/d"
    assert isinstance(verify_package(site.package, site.trust).manifest, Manifest)
