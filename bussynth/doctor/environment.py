"""The check-up of an installation: quick, and without the network."""

from __future__ import annotations

from pathlib import Path

from bussynth.doctor.accelerator import look_at_accelerator
from bussynth.doctor.bases import look_at_bases
from bussynth.doctor.finding import Finding
from bussynth.doctor.installed import look_at_installed
from bussynth.doctor.machine import look_at_machine
from bussynth.doctor.place import look_at_place

__all__ = ["look_at_environment"]


def look_at_environment(place: Path) -> list[Finding]:
    """All findings on machine, installation, place and bases.

    Args:
        place: Folder that is to be written to.
    """
    return [
        *look_at_machine(),
        *look_at_installed(),
        look_at_accelerator(),
        look_at_place(place),
        *look_at_bases(),
    ]
