"""The papers that people read: dataset card (``README.md``), statement and licence note."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from bussynth.package.guarantee import said
from bussynth.package.manifest import ENVELOPE
from bussynth.package.marking import DERIVED_SOURCE_TYPE, DIGITAL_SOURCE_TYPE
from privacy.dp.rounding import rounded_up
from privacy.dp.statement import Statement

__all__ = ["license_text", "license_url", "render_card", "render_statement"]

_MAX_FIGURES = 60
# Parts of the aggregate report that the card states in its own words, or that are settings.
_SAID_ELSEWHERE = ("schema", "verdict", "reasons", "settings")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
# At the start of a line these open a list.
_LIST = re.compile(r"^(\d*)([-+.)])(?=\s)")


# The claims exclude each other: what one of them has, a package with the other has not.
_NEITHER: dict[str, Any] = {
    "guarantee": None,
    "statement": None,
    "verdict": None,
    "reasons": (),
}


class _Safe(str):
    """Text that is markdown already."""


def _escape(value: object) -> str:
    """Escape what markdown or HTML would interpret; applied to every value of the template."""
    if isinstance(value, _Safe):
        return value
    return _LIST.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", str(value)))


def license_url(identifier: str) -> str | None:
    """Return the page of an SPDX licence, None for a ``LicenseRef-`` of the publisher."""
    if identifier.startswith("LicenseRef-"):
        return None
    return f"https://spdx.org/licenses/{identifier}.html"


def license_text(identifier: str, publisher: str) -> str:
    """Return the text of ``LICENSE.txt``, which refers to the licence by its SPDX identifier."""
    where = license_url(identifier)
    source = f"Its text: {where}" if where else "Ask the publisher for its text."
    return (
        f"SPDX-License-Identifier: {identifier}\n\n"
        f"The images and tables of this package are published by {publisher} under the licence\n"
        f"named above. {source}\n\n"
        "The section on intended use in README.md states what the images were made and checked\n"
        "for. It does not alter the licence.\n"
    )


def render_card(facts: Mapping[str, Any]) -> str:
    """Render the dataset card.

    Args:
        facts: ``name version license description publisher created_at tool_version images
            height width conditions masks boxes derived key_id url``; of an audited package also
            ``verdict reasons aggregate accepted_inconclusive``, of one with the claim ``formal-dp``
            ``guarantee statement`` instead.

    Returns:
        Markdown with the YAML front matter that Hugging Face reads.
    """
    figures = list(_figures(facts.get("aggregate", {})))
    return _template("README.md.j2").render(
        **{**_NEITHER, **facts},
        front_matter=_Safe(_front_matter(facts)),
        license_page=license_url(facts["license"]),
        figures=figures[:_MAX_FIGURES],
        more_figures=max(0, len(figures) - _MAX_FIGURES),
        envelope=_Safe(ENVELOPE),
        source_type=_Safe(DIGITAL_SOURCE_TYPE if facts["derived"] is None else DERIVED_SOURCE_TYPE),
        said=said,
        share=_share,
        # Inside code spans nothing is interpreted; both are held to plain characters.
        plain_name=_Safe(facts["name"]),
        plain_key=_Safe(facts["key_id"]),
    )


def render_statement(facts: Mapping[str, Any]) -> str:
    """Render the privacy statement for people.

    Args:
        facts: As for :func:`render_card`, with ``guarantee`` and ``statement``.

    Returns:
        Markdown; numbers are rounded up.
    """
    # Escaped before the sentences are made, which bring their own lists.
    content = _escaped(facts["statement"].content)
    return _template("privacy-statement.md.j2").render(
        **facts,
        words=_Safe(Statement(content=content).words()),
        said=said,
        plain_key=_Safe(facts["key_id"]),
    )


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        finalize=_escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # The output is markdown: `finalize` escapes for it; HTML escaping would double that.
        autoescape=False,
    )
    return environment.get_template(name)


def _escaped(value: Any) -> Any:
    """Escape every text of plain values."""
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _front_matter(facts: Mapping[str, Any]) -> str:
    known = not facts["license"].startswith("LicenseRef-")
    size = next(
        (
            f"{low}<n<{high}"
            for top, low, high in ((1e3, "", "1K"), (1e4, "1K", "10K"), (1e5, "10K", "100K"))
            if facts["images"] < top
        ),
        "100K<n<1M",
    )
    matter: dict[str, Any] = {
        "pretty_name": facts["name"],
        "license": facts["license"].lower() if known else "other",
        **({} if known else {"license_name": facts["license"].lower()}),
        "task_categories": ["image-classification"],
        "tags": [
            "synthetic" if facts["derived"] is None else "derived-from-real",
            *("medical", "ultrasound", "breast"),
            *(["differential-privacy"] if facts.get("guarantee") is not None else []),
        ],
        "size_categories": [size if not size.startswith("<") else "n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
    }
    # JSON values are YAML values, so nothing in a text can end the front matter early.
    return "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in matter.items()
    )


def _figures(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Flatten the aggregate report into lines of a table, one line a named record."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if path or key not in _SAID_ELSEWHERE:
                yield from _figures(item, f"{path} / {key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, (list, dict)) for item in value):
        for number, item in enumerate(value, start=1):
            if isinstance(item, dict) and "name" in item:
                fields = [f"{key} {_number(field)}" for key, field in item.items() if key != "name"]
                yield _label(f"{path} / {item['name']}"), _label("; ".join(fields))
            else:
                yield from _figures(item, f"{path} / {number}")
    else:
        yield _label(path), _number(value)


def _share(value: float) -> str:
    return f"{100 * rounded_up(value):.3g} %"


def _label(key: str) -> str:
    return key.replace("_", " ")


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not available"
    if isinstance(value, list):
        return ", ".join(map(_number, value))
    if isinstance(value, dict) and {"low", "high"} <= value.keys():
        share = f" at confidence {_number(value['confidence'])}" if "confidence" in value else ""
        return f"{_number(value['low'])} to {_number(value['high'])}{share}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(item)}" for key, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
