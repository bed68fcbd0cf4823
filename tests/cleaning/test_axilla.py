from __future__ import annotations

import pytest

from bussynth.cleaning.axilla import names_axilla


@pytest.mark.parametrize(
    "text",
    [
        "REG. AXILAR DIR.",
        "Axila E",
        "LEFT AXILLA",
        "axillary lymph node",
        "AX1LA DIR",
        "Ascella destra",
        "aisselle gauche",
        "Achselhöhle links",
        "AX DIR",
        "PROL AXILAR / AXILA",
    ],
)
def test_axilla(text: str) -> None:
    assert names_axilla(["MAMA DIREITA", text])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MAMA ESQUERDA QSE",
        "maxillary",
        "PROL. AXILAR",
        "PROLONGAMENTO AXILAR",
        "axillary tail",
        "MAX 12",
        "relaxed",
    ],
)
def test_not_the_axilla(text: str) -> None:
    assert not names_axilla([text])


def test_nothing_written() -> None:
    assert not names_axilla([])
