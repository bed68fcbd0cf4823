"""Invented patients of an invented hospital, and every string that would identify them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from bussynth.cohort.phantom.hospital.naming import number, uid

__all__ = ["HOSPITAL", "Examination", "Hospital", "Person", "draw_person"]

_SMALLEST = 4
"""Shorter parts of a name occur by chance, so nobody can search for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hospital:
    """Where the examinations were made.

    Attributes:
        name: Its name.
        address: Its address.
        department: The department.
        referring: Physicians who send patients, as DICOM writes names.
        performing: Physicians who examine.
        operators: Sonographers.
    """

    name: str
    address: str
    department: str
    referring: tuple[str, ...]
    performing: tuple[str, ...]
    operators: tuple[str, ...]


HOSPITAL = Hospital(
    name="Lindenmoor Breast Clinic",
    address="14 Quarrystone Lane, Lindenmoor 70815",
    department="Senology",
    referring=("Abelwright^Cosima^^Dr.", "Tanvick^Rupert^^Dr.", "Osterloh^Jette^^Prof."),
    performing=("Quillfeather^Maren^^Dr.", "Baskerholt^Idris^^Dr."),
    operators=("Feldmarsh^Ottilie", "Vandermosen^Pim", "Larkspurr^Thandi"),
)
"""The only hospital there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Script:
    """Names of one script: how DICOM says it, and (native, Latin capitals) of each name."""

    charset: str | list[str]
    families: tuple[tuple[str, str], ...]
    givens: tuple[tuple[str, str], ...]
    ideographic: bool = False


_SCRIPTS = (
    _Script(
        charset="ISO_IR 100",
        families=(
            ("Thornbury", "THORNBURY"),
            ("Müllensiefen", "MUELLENSIEFEN"),
            ("Pérez-Almazán", "PEREZ-ALMAZAN"),
            ("Grönkvist", "GROENKVIST"),
            ("O'Dunleavy", "O'DUNLEAVY"),
            ("Beauchêne", "BEAUCHENE"),
            ("Harkenwald", "HARKENWALD"),
            ("Sørbråten", "SOERBRAATEN"),
            ("Castellorizzo", "CASTELLORIZZO"),
            ("Van den Hoekstra", "VAN DEN HOEKSTRA"),
        ),
        givens=(
            ("Rosalind", "ROSALIND"),
            ("Käthe", "KAETHE"),
            ("Inmaculada", "INMACULADA"),
            ("Solveig", "SOLVEIG"),
            ("Bernadette", "BERNADETTE"),
            ("Anaïs", "ANAIS"),
            ("Philippa", "PHILIPPA"),
            ("Marguerite", "MARGUERITE"),
        ),
    ),
    _Script(
        charset="ISO_IR 144",
        families=(
            ("Белозерская", "BELOZERSKAYA"),
            ("Журавлёва", "ZHURAVLEVA"),
            ("Щербинина", "SHCHERBININA"),
            ("Верещагина", "VERESHCHAGINA"),
        ),
        givens=(
            ("Людмила", "LYUDMILA"),
            ("Ксения", "KSENIYA"),
            ("Евдокия", "EVDOKIYA"),
        ),
    ),
    _Script(
        charset="ISO_IR 126",
        families=(
            ("Παπαδημητρίου", "PAPADIMITRIOU"),
            ("Καραγιάννη", "KARAGIANNI"),
            ("Ξενάκη", "XENAKI"),
        ),
        givens=(
            ("Χρυσούλα", "CHRYSOULA"),
            ("Ευαγγελία", "EVANGELIA"),
        ),
    ),
    _Script(
        charset=["", "ISO 2022 IR 87"],
        families=(
            ("霧島", "KIRISHIMA"),
            ("桜庭", "SAKURABA"),
            ("月岡", "TSUKIOKA"),
        ),
        givens=(
            ("千鶴子", "CHIZUKO"),
            ("美砂", "MISAGO"),
        ),
        ideographic=True,
    ),
    _Script(
        charset="ISO_IR 192",
        families=(("الزهراوي", "ALZAHRAWI"), ("القيرواني", "ALQAYRAWANI")),
        givens=(("ياسمينة", "YASMINA"), ("نورهان", "NOURHAN")),
    ),
    _Script(
        charset="ISO_IR 192",
        families=(("Şimşekoğlu", "SIMSEKOGLU"), ("Çağlayangil", "CAGLAYANGIL")),
        givens=(("Gülbahar", "GULBAHAR"), ("Nilüferşah", "NILUFERSAH")),
    ),
    _Script(
        charset="ISO_IR 192",
        families=(("Wiśniowolska", "WISNIOWOLSKA"), ("Dąbrówecka", "DABROWECKA")),
        givens=(("Małgorzata", "MALGORZATA"), ("Bogusława", "BOGUSLAWA")),
    ),
)
# Most patients of a hospital have names of its own script.
_SHARES = (0.52, 0.12, 0.08, 0.12, 0.05, 0.06, 0.05)
_STREETS = ("Hollowbrook Road", "Kastanienzeile", "Rue des Sablons", "Millrace Close")
_TOWNS = ("Ambersford", "Oberweilbach", "Saint-Orvain", "Nether Wickham")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """One visit.

    Attributes:
        study_uid: Study Instance UID.
        study_id: Study ID.
        accession: Accession Number.
        when: Day and time.
        laterality: ``"L"`` or ``"R"``.
        referring: Who sent the patient.
        performing: Who examined.
        operator: Who held the probe.
    """

    study_uid: str
    study_id: str
    accession: str
    when: dt.datetime
    laterality: str
    referring: str
    performing: str
    operator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An invented patient.

    Attributes:
        patient_id: With leading zeros, as hospitals give them.
        other_ids: Of another hospital and of an insurance.
        name: As DICOM writes names, in the patient's script.
        charset: Specific Character Set that can write the name.
        family: Family name in Latin capitals, as screens show it.
        given: Given name in Latin capitals.
        birth: Day of birth.
        sex: ``"F"`` or ``"M"``.
        address: Where the patient lives.
        telephone: A number.
        birth_name: Of the patient's mother.
        examinations: One or two visits, in order.
    """

    patient_id: str
    other_ids: tuple[str, str]
    name: str
    charset: str | list[str]
    family: str
    given: str
    birth: dt.date
    sex: str
    address: str
    telephone: str
    birth_name: str
    examinations: tuple[Examination, ...]

    @property
    def initials(self) -> str:
        """As people type them onto a screen."""
        return f"{self.given[0]}.{self.family[0]}."

    def identifiers(self) -> list[str]:
        """Return every string that must be found nowhere once files are de-identified.

        Names in both scripts, as a whole and in parts, numbers, days and UIDs in each spelling
        that headers, screens or tables use; none shorter than 4 characters, in ASCII or not.
        """
        native = [part for group in self.name.split("=") for part in group.split("^")]
        found = [
            *native,
            *(self.family.title(), self.given.title()),
            *(self.family, self.given, f"{self.family}, {self.given}"),
            *(self.patient_id, self.patient_id.lstrip("0"), *self.other_ids),
            *(self.address, self.telephone, self.birth_name),
            *(f"{self.birth:%Y%m%d}", f"{self.birth:%d.%m.%Y}", f"{self.birth:%Y-%m-%d}"),
        ]
        for visit in self.examinations:
            found += [visit.study_uid, visit.study_id, visit.study_id[1:], visit.accession]
            found += [f"{visit.when:%Y%m%d}", f"{visit.when:%d.%m.%Y}", f"{visit.when:%Y-%m-%d}"]
        long_enough = (text for text in found if len(text.encode()) >= _SMALLEST)
        return list(dict.fromkeys(long_enough))


def draw_person(index: int, seed: int, *, visits: int) -> Person:
    """Invent a patient: a pure function of its arguments.

    Args:
        index: Number of the patient, 0 or more.
        seed: Seed of the hospital.
        visits: How many examinations, at least 1.

    Returns:
        The patient; the Patient ID differs from that of any other index below 90 millions.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 0x1D)))
    script = _SCRIPTS[int(rng.choice(len(_SCRIPTS), p=_SHARES))]
    family = script.families[int(rng.integers(len(script.families)))]
    given = script.givens[int(rng.integers(len(script.givens)))]
    latin = f"{family[1].title()}^{given[1].title()}"
    native = f"{family[0]}^{given[0]}"
    # PS3.5 6.2.1.1: ideographic names come second, behind the one in Latin letters.
    name = f"{latin}={native}" if script.ideographic else native
    first = dt.datetime(2014, 1, 6) + dt.timedelta(
        days=int(rng.integers(3300)), seconds=int(rng.integers(8 * 3600, 17 * 3600))
    )
    birth = first.date() - dt.timedelta(days=int(rng.integers(26 * 365, 84 * 365)))
    laterality = "LR"[int(rng.integers(2))]
    examinations = []
    when = first
    for visit in range(visits):
        examinations.append(
            Examination(
                study_uid=uid("study", seed, index, visit),
                study_id=f"S{number('study id', seed, index, visit, digits=7)}",
                accession=f"A{when:%y}{number('accession', seed, index, visit, digits=8)}",
                when=when,
                laterality=laterality,
                referring=HOSPITAL.referring[int(rng.integers(len(HOSPITAL.referring)))],
                performing=HOSPITAL.performing[int(rng.integers(len(HOSPITAL.performing)))],
                operator=HOSPITAL.operators[int(rng.integers(len(HOSPITAL.operators)))],
            )
        )
        when += dt.timedelta(
            days=int(rng.integers(80, 420)), seconds=int(rng.integers(-1800, 1800))
        )
    # The factor has no divisor in common with the modulus, so no two patients share an id.
    own = 10_000_000 + (index * 7_654_321 + seed) % 90_000_000
    house, street, town = (int(rng.integers(n)) for n in (180, len(_STREETS), len(_TOWNS)))
    return Person(
        patient_id=f"00{own}",
        other_ids=(
            f"KH-{number('other', seed, index, digits=8)}",
            f"Z{number('insurance', seed, index, digits=9)}",
        ),
        name=name,
        charset=script.charset,
        family=family[1],
        given=given[1],
        birth=birth,
        sex="M" if rng.random() < 0.01 else "F",
        address=f"{house + 1} {_STREETS[street]}, {_TOWNS[town]}",
        telephone=f"+00 5550 {number('telephone', seed, index, digits=6)}",
        birth_name=f"Ravensmoor{family[1].title().replace(' ', '')}^{given[1].title()}",
        examinations=tuple(examinations),
    )
