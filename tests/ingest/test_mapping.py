from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import DataError, UsageError
from bussynth.ingest.boxes import BoxConvention
from bussynth.ingest.mapping import IngestMap

GOOD: dict[str, Any] = {
    "image": {"path": "{ID}.png"},
    "mask": {"path": "m/{ID}.png"},
    "patient": {"column": "Case"},
    "conditions": {
        "pathology": {"column": "P", "values": {"B": "benign", "M": "malignant"}},
        "device": {"column": "D", "vocabulary": ["b", "a"], "missing": ["", "?"]},
        "birads": {"column": "R", "values": {"4a": "4", "4b": "4", "5": "5"}},
    },
    "box": {"column": "BBOX", "format": "xywh", "origin": 1, "inclusive": True},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


def problems_of(content: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(UsageError, match="map is not valid") as caught:
        IngestMap.from_dict(content)
    return caught.value.problems


def test_good_map() -> None:
    rules = IngestMap.from_dict(GOOD)
    assert rules.columns == ("ID", "Case", "P", "D", "R", "BBOX")
    assert rules.vocabulary == {
        "pathology": ["normal", "benign", "malignant"],
        "device": ["b", "a"],
        "birads": ["4", "5"],
    }
    assert rules.box is not None
    assert rules.box.convention == BoxConvention("xywh", 1, True)


def test_reading_conditions() -> None:
    pathology, device, birads = IngestMap.from_dict(GOOD).conditions
    assert pathology.read({"P": "M"}, what="row 1") == "malignant"
    assert device.read({"D": "a"}, what="row 1") == "a"
    assert device.read({"D": "?"}, what="row 1") is None
    assert birads.read({"R": "4b"}, what="row 1") == "4"
    with pytest.raises(DataError, match=r"row 1: column 'P' is empty.*missing = \[\"\"\]"):
        pathology.read({"P": ""}, what="row 1")
    with pytest.raises(DataError, match=r"row 1: column 'P' .*known: 'B', 'M'") as caught:
        pathology.read({"P": "ZZDOE"}, what="row 1")
    assert "ZZDOE" not in str(caught.value)


def test_labels_are_compared_in_one_unicode_form() -> None:
    content = changed("conditions.device", {"column": "D", "values": {"e\u0301 ": "x"}})
    assert IngestMap.from_dict(content).conditions[1].read({"D": "\u00e9"}, what="") == "x"


def test_constant() -> None:
    rules = IngestMap.from_dict(changed("conditions.device", {"constant": "one"}))
    assert rules.vocabulary["device"] == ["one"]
    assert rules.conditions[1].read({}, what="") == "one"
    assert "D" not in rules.columns


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("imgae", {}, "the map: unknown key 'imgae'; did you mean \"image\"?"),
        ("image.pth", "x", "[image]: unknown key 'pth'; did you mean \"path\"?"),
        ("box.formt", "x", "[box]: unknown key 'formt'; did you mean \"format\"?"),
        ("conditions.device.colum", "x", "[conditions.device]: unknown key 'colum'"),
        ("image", None, "missing table [image]"),
        ("image.path", None, "[image]: missing key 'path'"),
        ("image.path", 3, "[image]: path must be a string"),
        ("image.path", "../{ID}", "must stay inside"),
        ("image.full_scale", 0, "must lie in 1..65535"),
        ("image.full_scale", True, "full_scale must be a whole number"),
        ("image", "x.png", "image must be a table"),
        ("patient.column", "", "[patient]: column is empty"),
        ("patient", None, "missing table [patient]"),
        ("mask.threshold", 256, "[mask]: threshold = 256 must lie in 1..255"),
        ("mask.optional", 1, "[mask]: optional must be true or false"),
        ("table", {"delimiter": "::"}, "[table]: delimiter"),
        ("table", {"encoding": "klingon"}, "encoding = 'klingon' is not known"),
        ("table", {"encoding": "hex"}, "encoding = 'hex' is not known"),
        ("conditions.pathology", None, "missing table [conditions.pathology]"),
        ("conditions.device", None, "missing table [conditions.device]"),
        ("conditions.device", {}, "either column or constant"),
        ("conditions.device", {"column": "D"}, "give values"),
        ("conditions.device", {"constant": "a", "column": "D"}, "either column or constant"),
        ("conditions.device", {"constant": "a", "missing": [""]}, "not to a constant"),
        ("conditions.device", {"column": "D", "values": {"x": 1}}, "values must be a table"),
        ("conditions.device", {"column": "D", "vocabulary": ["a", 1]}, "list of strings"),
        ("conditions.device", {"column": "D", "vocabulary": ["a", "a"]}, "distinct"),
        ("conditions.device.missing", ["a", "?"], "both in missing and translated"),
        ("conditions.pathology.values", {"B": "benigm"}, 'did you mean "benign"?'),
        ("conditions.birads.missing", ["5"], "both in missing and translated"),
        ("conditions.birads.values", {"5": "5", "5 ": "6"}, "white space"),
        ("conditions.split", {"constant": "a"}, "reserved"),
        ("conditions.Side", {"constant": "a"}, "lower-case"),
        ("box.format", None, "[box]: missing key 'format'"),
        ("box.format", "xyhw", "[box]: format = 'xyhw' must be one of 'xywh', 'xyxy'"),
        ("box.origin", 2, "[box]: origin = 2 must be one of 0, 1"),
        ("box.columns", ["a", "b", "c", "d"], "give column, or columns"),
        ("box.tolerance", -1, "tolerance"),
        ("box.tolerance", float("nan"), "tolerance"),
        ("box", {"columns": ["a"], "format": "xywh"}, "four columns"),
        ("box", {"from": "image"}, "[box]: from = 'image' must be one of 'mask'"),
        ("box", {"from": "mask", "format": "xywh"}, "unknown key 'format'"),
    ],
)
def test_problems(path: str, value: Any, message: str) -> None:
    content = changed(path, value)
    found = problems_of(content)
    assert any(message in problem for problem in found), found


def test_all_problems_come_at_once() -> None:
    content = changed("box.format", "x")
    content["image"] = {}
    content["patient"]["colum"] = "x"
    assert len(problems_of(content)) == 3


def test_box_from_mask_needs_masks() -> None:
    content = changed("mask", None)
    content["box"] = {"from": "mask"}
    assert problems_of(content) == ('[box]: from = "mask" needs a [mask]',)


def test_four_box_columns() -> None:
    box = {"columns": ["a", "b", "c", "d"], "format": "xyxy", "missing": [""]}
    rules = IngestMap.from_dict(changed("box", box))
    assert rules.box is not None
    assert rules.box.columns == ("a", "b", "c", "d")


@pytest.mark.parametrize("data", [b"[image\n", b"\xff\xfe", b"x = " + b"[" * 100_000])
def test_not_toml(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="not valid TOML"):
        IngestMap.load(path)


def test_missing_and_huge_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        IngestMap.load(tmp_path / "none.toml")
    path = tmp_path / "m.toml"
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(UsageError, match="larger"):
        IngestMap.load(path)
