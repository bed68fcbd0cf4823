"""The map of DICOM files, and the rows of the table it speaks of."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from bussynth.dicom.labels import RowLabels, label_digest, read_labels
from bussynth.dicom.mapping import KEYS, DicomMap, is_dicom_map
from bussynth.errors import DataError, UsageError
from privacy.pseudonym import SiteKey, pseudonym

KEY = SiteKey(bytes(range(32)))
MAP = """
[dicom]
key = "SOPInstanceUID"
column = "uid"
[conditions.pathology]
column = "dx"
values = { B = "benign", M = "malignant" }
missing = [""]
[conditions.device]
from = "equipment"
[box]
column = "box"
format = "xywh"
missing = ["", "none"]
"""
BARE = """
[dicom]
[conditions.pathology]
constant = "benign"
[conditions.device]
constant = "scanner"
"""


def load(text: str) -> DicomMap:
    return DicomMap.from_dict(tomllib.loads(text))


def test_a_map_with_a_table() -> None:
    rules = load(MAP)
    assert (rules.key, rules.column, rules.keep_unlisted) == ("SOPInstanceUID", "uid", False)
    assert rules.columns == ("uid", "dx", "box")
    assert [(one.name, one.equipment) for one in rules.conditions] == [
        ("pathology", False),
        ("device", True),
    ]
    assert rules.box is not None
    assert not rules.box.within_region
    more = MAP.replace('"uid"', '"uid"\npatient = "case"\nunlisted = "keep"')
    more = more.replace('"xywh"', '"xywh"\ncoordinates = "region"')
    rules = load(more)
    assert rules.columns == ("uid", "case", "dx", "box")
    assert rules.keep_unlisted
    assert rules.box is not None
    assert rules.box.within_region


def test_a_map_without_a_table() -> None:
    rules = load(BARE)
    assert (rules.key, rules.columns, rules.box) == (None, (), None)
    assert rules.keep_unlisted


def test_which_maps_are_of_dicom_files(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(BARE)
    assert is_dicom_map(path)
    assert len(DicomMap.load(path).sha256) == 64
    path.write_text("[image]\n")
    assert not is_dicom_map(path)
    path.write_text("[")
    for action in (is_dicom_map, DicomMap.load):
        with pytest.raises(UsageError, match="not valid TOML"):
            action(path)
    with pytest.raises(UsageError, match="cannot be read"):
        is_dicom_map(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "old", "new", "problem"),
    [
        (MAP, 'key = "SOPInstanceUID"', "", "[dicom]: give key and column together"),
        (MAP, 'column = "uid"', "", "[dicom]: give key and column together"),
        (MAP, '"SOPInstanceUID"', '"PatientName"', "[dicom]: key = 'PatientName' must be one of"),
        (MAP, '"SOPInstanceUID"', "3", "[dicom]: key must be a string"),
        (MAP, '"uid"', '""', "[dicom]: column is empty"),
        (MAP, '"uid"', '"uid"\nunlisted = "drop"', "[dicom]: unlisted = 'drop' must be one of"),
        (MAP, '"uid"', '"uid"\npatients = "x"', "[dicom]: unknown key 'patients'"),
        (MAP, '"SOPInstanceUID"', '"PatientID"', "[box]: a box belongs to one file"),
        (MAP, '"xywh"', '"xywh"\ncoordinates = "x"', "[box]: coordinates = 'x' must be one of"),
        (MAP, 'column = "box"', 'from = "mask"', '[box]: from = "mask" needs a [mask]'),
        (MAP, '"xywh"', '"cxcywh"', "[box]: format = 'cxcywh' must be one of"),
        (MAP, '"equipment"', '"header"', "[conditions.device]: from = 'header' must be one of"),
        (MAP, '"equipment"', '"equipment"\ncolumn = "d"', "[conditions.device]: unknown key"),
        (MAP, "malignant", "bad", "[conditions.pathology]: 'bad' is not in the vocabulary"),
        (BARE, "[dicom]", '[dicom]\npatient = "case"', "[dicom]: columns are named, so give key"),
        (BARE, 'constant = "scanner"', 'column = "d"\nvocabulary = ["a"]', "[dicom]: columns are"),
        (BARE, "[conditions.device]\nconstant", "[other]\nx", "[conditions]: missing table"),
        (BARE, "[dicom]", "[dicoms]", "the map: missing table [dicom]"),
        (BARE, "[dicom]", "dicom = 3", "the map: dicom must be a table"),
        (BARE, "[dicom]", '[image]\npath = "x"\n[dicom]', "the map: unknown key 'image'"),
        (BARE, "[dicom]", '[table]\nencoding = "x"\n[dicom]', "[table]: encoding = 'x' is not"),
        (BARE, "[dicom]", '[table]\ndelimiter = "x"\n[dicom]', "[table]: delimiter = 'x' must"),
        (BARE + "[box]\n", "[box]", '[box]\ncolumn = "b"\nformat = "xyxy"', "[box]: a box belongs"),
    ],
)
def test_maps_that_are_none(text: str, old: str, new: str, problem: str) -> None:
    assert old in text
    with pytest.raises(UsageError, match=r"The map is not valid\.") as caught:
        load(text.replace(old, new, 1))
    assert any(one.startswith(problem) for one in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("word", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_conditions_may_be_of_more_than_one_file(word: str) -> None:
    assert word in KEYS
    text = MAP[: MAP.index("[box]")].replace("SOPInstanceUID", word)
    assert load(text).key == word


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BARE + '[conditions.patient]\nconstant = "x"\n', "condition 'patient': the name is"),
        (BARE + '[conditions.Side]\nfrom = "equipment"\n', "condition 'Side': use lower-case"),
        (BARE.replace('"scanner"', '"a\\u0007b"'), "condition 'device': a value is empty, long"),
        (BARE.replace('constant = "benign"', 'from = "equipment"'), "condition 'pathology': its"),
    ],
)
def test_conditions_follow_the_schema_before_any_file_is_read(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(text)
    assert [one for one in caught.value.problems if one.startswith(problem)]


# Rows


def labels(tmp_path: Path, csv: str, text: str = MAP) -> dict[str, RowLabels]:
    path = tmp_path / "table.csv"
    path.write_text(csv, encoding="utf-8")
    return read_labels(path, load(text), KEY)


def test_rows_are_found_by_keyed_names(tmp_path: Path) -> None:
    text = MAP.replace('"uid"', '"uid"\npatient = "case"')
    csv = 'uid,case,dx,box\n1.2.3 ,007,B,"[4,6,10,12]"\n1.2.4,7,,none\n'
    found = labels(tmp_path, csv, text)
    first, second = found[label_digest(KEY, "1.2.3")], found[label_digest(KEY, "1.2.4")]
    assert first.conditions == {"pathology": "benign"}
    assert (first.box, first.patient) == ((4, 6, 14, 18), pseudonym(KEY, "007"))
    assert (second.box, second.patient) == (None, pseudonym(KEY, "7"))
    assert second.conditions == {"pathology": None}
    assert "1.2.3" not in repr(found)
    assert set(found).isdisjoint(labels(tmp_path, csv.replace("1.2.", "1.3."), text))


@pytest.mark.parametrize(
    ("csv", "problem"),
    [
        ("uid,dx,box\n1.2,B,\n1.2,B,\n", "row 2 of the table: names the same as row 1."),
        ("uid,dx,box\n1.2,B,\n 1.2 ,M,\n1.2,B,", "row 2 of the table: names the same as row 1."),
        ("uid,dx,box\n,B,\n", "row 1 of the table: column 'uid' is empty."),
        ("uid,dx,box\n1.2,ZZCANARY,\n", "row 1 of the table: column 'dx' holds a value"),
        ('uid,dx,box\n1.2,B,"[1,2,0,4]"\n', "row 1 of the table: the box is empty or inverted."),
        ('uid,dx,box\n1.2,B,"[1,2,3]"\n', "row 1 of the table"),
        ("uid,dx,box\n1.2,B,ZZCANARY\n", "row 1 of the table"),
        ('uid,dx,box\n1.2,B,"[1,2,nan,4]"\n', "row 1 of the table"),
        ("uid,dx\n1.2,B\n", ""),
        ("uid;dx\n", ""),
        ("", ""),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, csv: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        labels(tmp_path, csv)
    assert any(one.startswith(problem) for one in [*caught.value.problems, str(caught.value)])
    assert "ZZCANARY" not in str(caught.value)
    assert not problem or caught.value.problems[0].startswith(problem)


def test_rows_without_a_patient(tmp_path: Path) -> None:
    text = MAP.replace('"uid"', '"uid"\npatient = "case"')
    with pytest.raises(DataError) as caught:
        labels(tmp_path, "uid,case,dx,box\n1.2,1,B,\n1.3, ,B,\n", text)
    assert caught.value.problems == ("row 2 of the table: column 'case' names no patient.",)


@pytest.mark.parametrize(("text", "table"), [(MAP, False), (BARE, True)])
def test_table_and_map_belong_together(tmp_path: Path, text: str, table: bool) -> None:
    path: Any = tmp_path / "table.csv"
    path.write_text("a\n1\n")
    with pytest.raises(UsageError, match="table"):
        read_labels(path if table else None, load(text), KEY)
    assert table or read_labels(None, load(BARE), KEY) == {}
