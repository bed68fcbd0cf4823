"""The face for dataset search engines: Croissant 1.1 metadata (JSON-LD).

Written by hand from http://mlcommons.org/croissant/1.1, because the reference library
unpacks archives without care and brings pandas and scipy with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bussynth.package.card import license_url
from bussynth.package.manifest import STATEMENT_WORDS_FILE, FileEntry
from bussynth.package.marking import DERIVED_SOURCE_TYPE, DIGITAL_SOURCE_TYPE

__all__ = ["croissant_metadata"]

_TERMS = (
    "annotation arrayShape citeAs column containedIn equivalentProperty excludes extract field "
    "fileProperty fileObject fileSet format includes isArray isLiveDataset jsonPath key md5 "
    "parentField recordSet references regex readLines sdVersion separator source subField "
    "transform unArchive value"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "http://schema.org/",
    "sc": "http://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
_SYNTHETIC = (
    "Synthetic: images drawn by a generative model that was trained on a cohort of "
    "breast-ultrasound images; labels are the conditions asked of the model."
)
_DERIVED = (
    "Derived: real breast-ultrasound images, each altered by a generative model; labels are those "
    "of the examination, except for what the model was asked to alter."
)
_PRIVATE = (
    "Synthetic: images drawn by a generative model that was trained with differential privacy on a "
    "cohort of breast-ultrasound images, or steered by noisy votes of its patients; labels are the "
    "conditions asked of the model."
)
_PARQUET = "application/x-parquet"
_FORMATS = {
    ".parquet": _PARQUET,
    ".json": "application/json",
    ".md": "text/markdown",
    ".txt": "text/plain",
}


def croissant_metadata(
    facts: Mapping[str, Any], files: Mapping[str, FileEntry], *, masks: bool
) -> dict[str, Any]:
    """Describe a package in Croissant 1.1.

    Args:
        facts: The facts of the dataset card; see :func:`bussynth.package.card.render_card`.
        files: The files to list, each with its digest.
        masks: Whether the shards have a mask column.

    Returns:
        The JSON-LD document.
    """
    identifier = f"urn:bussynth:package:{facts['name']}:{facts['version']}"
    made, source_type, keyword = _SYNTHETIC, DIGITAL_SOURCE_TYPE, "synthetic"
    guarantee = facts.get("guarantee")
    if guarantee is not None:
        made = _PRIVATE
        privacy = (
            f"Differentially private (claim formal-dp): {guarantee.words()}, rounded up; "
            f"neighbouring data sets: {guarantee.adjacency}. What is covered and what is not: "
            f"{STATEMENT_WORDS_FILE}."
        )
    else:
        privacy = f"Privacy audit: {facts['verdict']}. " + " ".join(facts["reasons"])
    if facts["derived"] is not None:
        made, source_type, keyword = _DERIVED, DERIVED_SOURCE_TYPE, "derived from real images"
        privacy = (
            "Derived from real examinations; treat as personal data. The publisher declares: "
            f"{facts['derived']} {privacy}"
        )
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.1",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": facts["name"],
        "description": facts["description"],
        "version": facts["version"],
        "license": license_url(facts["license"]) or facts["license"],
        "url": facts["url"] or identifier,
        "identifier": identifier,
        "creator": {"@type": "sc:Organization", "name": facts["publisher"]},
        "datePublished": facts["created_at"],
        "inLanguage": "en",
        "isLiveDataset": False,
        "keywords": [keyword, "ultrasound", "breast", "medical imaging"],
        "digitalSourceType": source_type,
        "rai:dataCollection": made,
        "rai:dataUseCases": "Method development, teaching, pre-training; not diagnosis.",
        "rai:dataLimitations": "Not read by physicians; frequencies follow the request.",
        "rai:dataBiases": "Biases of the cohort the model was trained on carry over.",
        "rai:personalSensitiveInformation": privacy,
        "distribution": [
            *(_file(name, entry) for name, entry in sorted(files.items())),
            {
                "@type": "cr:FileSet",
                "@id": "shards",
                "name": "shards",
                "encodingFormat": _PARQUET,
                "includes": "data/train-*.parquet",
            },
        ],
        "recordSet": [_record_set(facts, masks=masks)],
    }


def _file(name: str, entry: FileEntry) -> dict[str, Any]:
    suffix = "." + name.rsplit(".", 1)[-1]
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{entry.bytes} B",
        "encodingFormat": _FORMATS.get(suffix, "application/octet-stream"),
        "sha256": entry.sha256,
    }


def _record_set(facts: Mapping[str, Any], *, masks: bool) -> dict[str, Any]:
    columns = [
        ("id", "sc:Text", "Name of the image."),
        ("image", "sc:ImageObject", "The image, 8-bit grey PNG."),
        ("sha256", "sc:Text", "Digest of the bytes of the image."),
        *((name, "sc:Text", f"Condition of the image: {name}.") for name in facts["conditions"]),
        ("lesion_box", "cr:BoundingBox", "x0, y0, x1, y1 in pixels; absent without a lesion."),
    ]
    if masks:
        columns.append(("mask", "sc:ImageObject", "Mask of the lesion, 0 and 255."))
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "key": {"@id": "images/id"},
        "field": [_field(*column) for column in columns],
    }


def _field(column: str, kind: str, description: str) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "shards"}, "extract": {"column": column}}
    if kind == "sc:ImageObject":
        source["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:Field",
        "@id": f"images/{column}",
        "name": column,
        "description": description,
        "dataType": kind,
        "source": source,
    }
