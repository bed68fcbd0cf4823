"""The verbs as Python functions: paths first, settings by keyword.

Each function takes the settings of its verb (the flags of the command line, the keys of
the TOML file) as keyword arguments. What only changes the speed is given as ``workers``,
``device`` and ``batch_size``.
"""

from __future__ import annotations

from bussynth.api.cohorts import ingest_folder, phantom, split
from bussynth.api.generators import adapt, evolve, generate, restyle, train, wrap
from bussynth.api.judgements import audit, card, evaluate, export
from bussynth.api.scanners import deidentify, ingest_dicom

__all__ = [
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
    "phantom",
    "restyle",
    "split",
    "train",
    "wrap",
]
