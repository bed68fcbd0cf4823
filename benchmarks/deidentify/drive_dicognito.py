"""Run dicognito as its command line does, but go on behind a file that it cannot take.

    python drive_dicognito.py SOURCE OUT

Prints a JSON object: which source file became which file of OUT. It needs dicognito only.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import pydicom
from dicognito.anonymizer import Anonymizer


def main(source: Path, out: Path) -> None:
    """De-identify every file below a folder."""
    anonymizer = Anonymizer(seed="benchmark")
    made = {}
    for path in sorted(one for one in source.rglob("*") if one.is_file()):
        try:
            with pydicom.dcmread(path, force=False) as dataset:
                anonymizer.anonymize(dataset)
                # As its option --output-directory does.
                name = f"{dataset.SOPInstanceUID}.dcm"
                dataset.save_as(out / name, enforce_file_format=True)
                made[str(path.relative_to(source))] = name
        except Exception:  # its command line logs the traceback as well
            traceback.print_exc()
    print(json.dumps(made))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
