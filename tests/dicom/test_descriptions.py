"""What a header says of the place of an image."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from bussynth.dicom.descriptions import describes_axilla


def described(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def of(meaning: str) -> list[Dataset]:
    return [described(CodeMeaning=meaning)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"BodyPartExamined": "AXILLA"}, True),
        ({"SeriesDescription": "Axila esquerda"}, True),
        ({"ImageComments": "AX RT LN 2"}, True),
        ({"ImageComments": "Achselhöhle", "SpecificCharacterSet": "ISO_IR 192"}, True),
        ({"AnatomicRegionSequence": of("Axilla")}, True),
        ({"AnatomicRegionSequence": of("Breast")}, False),
        ({"BodyPartExamined": "BREAST", "SeriesDescription": "axilla"}, True),
        ({"SeriesDescription": "Breast and axilla"}, False),
        ({"SeriesDescription": "Mamas e axilas"}, False),
        ({"SeriesDescription": "axillary tail"}, False),
        # The study's words are those of all its images.
        ({"StudyDescription": "Axilla"}, False),
        ({}, False),
    ],
)
def test_the_axilla_is_told_by_the_words_of_the_image(
    values: dict[str, Any], expected: bool
) -> None:
    assert describes_axilla(described(**values)) is expected


def test_images_of_the_axilla_can_be_left_out(hospital: Any, inline: None) -> None:
    hospital.add("1", number=1)
    hospital.add("2", number=2, SeriesDescription="ZZCANARY axilla")
    assert hospital.ingest("all").counts["flags"]["axilla"] == 1
    left = hospital.ingest("left", leave_out=("axilla",))
    assert left.left_out_images == {"axilla": 1}
