"""What a site chooses: the options of PS3.15 Annex E that this engine offers, and their codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

__all__ = ["Dates", "Policy"]

# The standard's own words, of its context group 7050 as pydicom ships it.
_CODES: Final = codes.cid7050


class Dates(StrEnum):
    """What becomes of dates; times of day are removed in either case.

    ``REMOVE`` keeps none. ``SHIFT`` moves all dates of a patient back by the same secret number
    of days, so that intervals stay; who knows one true date of a patient then knows all of them.
    """

    REMOVE = "remove"
    SHIFT = "shift"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept beyond the Basic Profile. The default keeps nothing.

    Attributes:
        dates: Whether dates are removed or shifted (PS3.15 E.3.6).
        patient_characteristics: Keep sex, and age in steps of five years (E.3.7).
        device: Keep manufacturer and model in the spelling of a table (E.3.8); serial numbers,
            stations and software versions are removed all the same.
    """

    dates: Dates = Dates.REMOVE
    patient_characteristics: bool = False
    device: bool = False

    def codes(self, *, pixels_cleaned: bool) -> tuple[Code, ...]:
        """Return what was done, for De-identification Method Code Sequence (0012,0064).

        Graphics and descriptors count as cleaned because none are kept.

        Args:
            pixels_cleaned: Whether identifying pixels were removed before.

        Returns:
            Codes of context group 7050 (PS3.16), in order of their values.
        """
        chosen = [
            (True, _CODES.BasicApplicationConfidentialityProfile),
            (pixels_cleaned, _CODES.CleanPixelDataOption),
            (True, _CODES.CleanGraphicsOption),
            (True, _CODES.CleanDescriptorsOption),
            (
                self.dates is Dates.SHIFT,
                _CODES.RetainLongitudinalTemporalInformationModifiedDatesOption,
            ),
            (self.patient_characteristics, _CODES.RetainPatientCharacteristicsOption),
            (self.device, _CODES.RetainDeviceIdentityOption),
        ]
        return tuple(code for wanted, code in chosen if wanted)
