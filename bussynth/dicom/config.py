"""What may change the result of a de-identification."""

from __future__ import annotations

from dataclasses import dataclass

from bussynth.config import Config, option

__all__ = ["ENGINES", "FRAMES", "DeidentifyConfig", "DicomOptions"]

ENGINES = (
    "auto",
    "letters",
    "rapidocr",
    "letters+rapidocr",
    "tesseract",
    "strokes",
    "none",
)
FRAMES = ("all", "nth", "key")


@dataclass(frozen=True, kw_only=True)
class DicomOptions(Config):
    """What both verbs that read DICOM files ask."""

    frames: str = option(
        "all", "DICOM: which frames of a loop: all, nth or key (those that differ).", choices=FRAMES
    )
    frame_step: int = option(10, "DICOM: with --frames nth, every how many.", min=1, max=10_000)
    most_frames: int | None = option(
        None, "DICOM: at most so many frames of a file.", min=1, max=10_000
    )
    text_engine: str = option(
        "auto",
        "Who looks for burned-in text. auto takes letters, a network in the box; letters+rapidocr "
        "asks a second one; strokes knows no letters and misses much; none looks for nothing.",
        choices=ENGINES,
    )
    on_text: str = option(
        "blank",
        "DICOM: what text in the kept region leads to.",
        choices=("blank", "crop", "quarantine"),
    )
    on_colour: str = option(
        "quarantine",
        "DICOM: what a map of colour over the tissue, such as Doppler, leads to.",
        choices=("quarantine", "keep"),
    )
    time_limit: int = option(
        300, "DICOM: seconds after which work on a file is stopped.", min=1, max=86_400
    )
    memory_limit: int = option(
        4096, "DICOM: megabytes of memory that work on a file may take.", min=256, max=1_048_576
    )
    trust_patient_ids: bool = option(
        False,
        "DICOM: believe Patient IDs where names and birth dates contradict them, as in files "
        "whose names were replaced before.",
    )


@dataclass(frozen=True, kw_only=True)
class DeidentifyConfig(DicomOptions):
    """Options of ``bussynth deidentify``."""

    dates: str = option(
        "remove",
        "Remove dates, or shift them back by a secret number of days, the same for a patient.",
        choices=("remove", "shift"),
    )
    keep_characteristics: bool = option(False, "Keep sex, and age in steps of five years.")
    keep_device: bool = option(
        False, "Keep maker and model, in the spelling of a table; serial numbers never."
    )
