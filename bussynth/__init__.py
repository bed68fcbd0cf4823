"""Share breast-ultrasound images without sharing patients.

The road from a hospital's images to a package that a collaborator can verify and load::

    import bussynth

    bussynth.split("cohort", control=0.2, test=0.2)
    bussynth.train("cohort", "model")
    bussynth.generate("model", "synthetic", n=1000)
    bussynth.audit("synthetic", real="cohort", out="audit")
    bussynth.export("synthetic", audit="audit", key="hospital.key", out="package")

and at the other end::

    dataset = bussynth.load("package", trust="hospital.key.pub")

Importing this package is cheap: torch and the rest are imported when first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bussynth.api import adapt as adapt
    from bussynth.api import audit as audit
    from bussynth.api import card as card
    from bussynth.api import deidentify as deidentify
    from bussynth.api import evaluate as evaluate
    from bussynth.api import evolve as evolve
    from bussynth.api import export as export
    from bussynth.api import generate as generate
    from bussynth.api import ingest_dicom as ingest_dicom
    from bussynth.api import ingest_folder as ingest_folder
    from bussynth.api import phantom as phantom
    from bussynth.api import restyle as restyle
    from bussynth.api import split as split
    from bussynth.api import train as train
    from bussynth.api import wrap as wrap
    from bussynth.cohort.cohort import Cohort as Cohort
    from bussynth.cohort.row import Row as Row
    from bussynth.generator.generator import Generator as Generator
    from bussynth.package.loader import load as load
    from bussynth.package.verify import verify_package

    verify = verify_package

__version__ = "0.1.0"

__all__ = [
    "Cohort",
    "Generator",
    "Row",
    "adapt",
    "audit",
    "card",
    "deidentify",
    "evaluate",
    "evolve",
    "export",
    "generate",
    "ingest_dicom",
    "ingest_folder",
    "load",
    "phantom",
    "restyle",
    "split",
    "train",
    "verify",
    "wrap",
]

_LAZY = {
    "Cohort": ("bussynth.cohort.cohort", "Cohort"),
    "Generator": ("bussynth.generator.generator", "Generator"),
    "Row": ("bussynth.cohort.row", "Row"),
    "adapt": ("bussynth.api", "adapt"),
    "audit": ("bussynth.api", "audit"),
    "card": ("bussynth.api", "card"),
    "deidentify": ("bussynth.api", "deidentify"),
    "evaluate": ("bussynth.api", "evaluate"),
    "evolve": ("bussynth.api", "evolve"),
    "export": ("bussynth.api", "export"),
    "generate": ("bussynth.api", "generate"),
    "ingest_dicom": ("bussynth.api", "ingest_dicom"),
    "ingest_folder": ("bussynth.api", "ingest_folder"),
    "load": ("bussynth.package.loader", "load"),
    "phantom": ("bussynth.api", "phantom"),
    "restyle": ("bussynth.api", "restyle"),
    "split": ("bussynth.api", "split"),
    "train": ("bussynth.api", "train"),
    "verify": ("bussynth.package.verify", "verify_package"),
    "wrap": ("bussynth.api", "wrap"),
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module, attribute = _LAZY[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
