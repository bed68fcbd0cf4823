"""Pseudonyms, UIDs and dates: keyed, consistent, and the same for ever."""

from __future__ import annotations

import datetime as dt

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from privacy.deidentify.dates import LEAST_DAYS, MOST_DAYS, offset_days, shift_date
from privacy.deidentify.errors import MissingIdentifierError
from privacy.deidentify.pseudonyms import patient_identifier, patient_pseudonym
from privacy.deidentify.uids import NEW_UID, map_uid, read_uid
from privacy.pseudonym import SiteKey, pseudonym


def test_patients_are_named_as_in_tables(site_key: SiteKey) -> None:
    assert patient_pseudonym(site_key, "7") == pseudonym(site_key, "7")
    assert patient_pseudonym(site_key, "7") == "2addb7f58f5be0b3be2679cb3fa1c845"


@pytest.mark.parametrize("value", ["007", "7", " 7 ", "A-7/x"])
def test_identifiers_are_read_as_they_are(source: Dataset, value: str) -> None:
    source.PatientID = value
    assert patient_identifier(source) == value.strip()


@pytest.mark.parametrize("value", ["", "   ", "a\\b", "a\x1b[0m", "\x00"])
def test_identifiers_that_are_none(source: Dataset, value: str) -> None:
    source["PatientID"]._value = value
    with pytest.raises(MissingIdentifierError, match="PatientID"):
        patient_identifier(source)


def test_a_known_uid_keeps_its_successor(site_key: SiteKey) -> None:
    # New UIDs must never change from one release to the next.
    assert map_uid(site_key, "1.2.3") == "2.25.11256871539647386767872493045736433083"


def test_uids_are_valid_consistent_and_keyed(site_key: SiteKey, other_key: SiteKey) -> None:
    sources = ["1.2.3", "1.2.4", "../../etc/passwd", "x" * 4000, "1.2.3\\1", "é"]
    new = [map_uid(site_key, uid) for uid in sources]
    assert len(set(new)) == len(new)
    assert all(UID(uid).is_valid and NEW_UID.fullmatch(uid) for uid in new)
    assert new == [map_uid(site_key, uid) for uid in sources]
    assert not set(new) & {map_uid(other_key, uid) for uid in sources}
    assert len({map_uid(site_key, "1.2.3", part) for part in range(50)}) == 50
    with pytest.raises(ValueError, match="part"):
        map_uid(site_key, "1.2.3", -1)


def test_a_uid_of_several_values_is_none(source: Dataset) -> None:
    source["StudyInstanceUID"]._value = "1.2\\1.3"
    with pytest.raises(MissingIdentifierError, match="StudyInstanceUID"):
        read_uid(source, "StudyInstanceUID")


def test_intervals_are_preserved_for_a_patient_and_differ_between_patients(
    site_key: SiteKey, other_key: SiteKey
) -> None:
    first, second = "20200228", "20210301"
    offsets = {offset_days(site_key, patient) for patient in ("a", "b", "c", "d", "e", "f")}
    assert len(offsets) > 3
    assert all(LEAST_DAYS <= days <= MOST_DAYS for days in offsets)
    assert offset_days(site_key, "a") != offset_days(other_key, "a")
    for days in offsets:
        moved = [shift_date(date, days) for date in (first, second)]
        parsed = [dt.datetime.strptime(str(date), "%Y%m%d") for date in moved]
        assert parsed[1] - parsed[0] == dt.timedelta(days=367)
        assert moved[0] not in (first, second)


@pytest.mark.parametrize(
    "text",
    ["", "2020", "20200230", "99999999", "00000000", "20200101-20200202", "٢٠٢٠٠١٠١", "19490101"],
)
def test_what_is_no_date_is_dropped(text: str) -> None:
    assert shift_date(text, 400) is None


def test_the_old_form_of_a_date_is_read() -> None:
    assert shift_date("2020.03.10", 366) == shift_date("20200310", 366) == "20190310"
