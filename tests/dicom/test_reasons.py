"""Every reason that the code can give is explained."""

from __future__ import annotations

import ast
from pathlib import Path

import bussynth.dicom
import privacy.deidentify
from bussynth.dicom.reasons import REASONS
from privacy.deidentify.regions import Reason


def strings_after(path: Path, names: set[str]) -> set[str]:
    """String constants given as ``reason=`` or as first argument of the named calls."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            given = [one.value for one in node.keywords if one.arg == "reason"]
            given += node.args[:1] if called in names else []
            found |= {one.value for one in given if isinstance(one, ast.Constant)}
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(one, ast.Name) and one.id == "reason" for one in targets):
                found |= {node.value.value} if isinstance(node.value, ast.Constant) else set()
    return {one for one in found if isinstance(one, str) and one}


def test_every_reason_has_a_sentence() -> None:
    used = {reason.name.lower().replace("_", "-") for reason in Reason}
    for package in (bussynth.dicom, privacy.deidentify):
        for path in Path(package.__path__[0]).glob("*.py"):
            used |= strings_after(path, {"QuarantineError"})
    assert len(used) > 25
    assert used - {"kept"} <= set(REASONS)
