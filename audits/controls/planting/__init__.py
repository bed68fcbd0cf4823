"""Copies of known kind and severity, planted to demonstrate what an audit can find.

Every class takes real images and returns equally many altered ones. Classes marked decisive must
be found for the audit to mean anything; the others map where detection ends.
"""

from __future__ import annotations

from audits.controls.planting.base import Donors, PlantedClass, Planting, Renoise
from audits.controls.planting.classes import PLANTED_CLASSES

__all__ = ["PLANTED_CLASSES", "Donors", "PlantedClass", "Planting", "Renoise"]
