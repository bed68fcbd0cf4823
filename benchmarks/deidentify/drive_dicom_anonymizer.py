"""Run dicom-anonymizer as its command line does, with the table of 2026c.

    python drive_dicom_anonymizer.py SOURCE OUT

Prints a JSON object: which source file became which file of OUT. It needs dicom-anonymizer only.
"""

from __future__ import annotations

import json
import sys
import traceback
from functools import partial
from pathlib import Path

from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file, initialize_actions


def main(source: Path, out: Path) -> None:
    """De-identify every file below a folder."""
    made = {}
    for path in sorted(one for one in source.rglob("*") if one.is_file()):
        try:
            # Its command line keeps the names of files.
            anonymize_dicom_file(
                str(path),
                str(out / path.name),
                base_rules_gen=partial(initialize_actions, "dicomfields_2026c"),
            )
            made[str(path.relative_to(source))] = path.name
        except Exception:
            traceback.print_exc()
    print(json.dumps(made))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
