"""What is installed, against what bussynth declares to need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from bussynth.doctor.finding import Finding, State
from bussynth.doctor.versions import Requirement, requirement, satisfies

__all__ = ["look_at_installed"]

_CORE: Final = "core"
_FULL: Final = "full"
# Extras for users, and what they are for.
_EXTRAS: Final = {
    _FULL: "training, generating, evaluating and auditing",
    "dask": "audits spread over a Dask cluster (audit --cluster)",
    "ocr": "a network that finds text in DICOM files (ingest, deidentify)",
    "onnx": "encoders and samplers stored as ONNX (audit --encoder, wrap)",
}


def look_at_installed() -> list[Finding]:
    """Findings on the light core and on each extra."""
    try:
        lines = requires("bussynth") or []
    except PackageNotFoundError:
        return [
            Finding(
                name="installed",
                state="problem",
                text="bussynth runs from a folder and was not installed",
                remedy="pip install --editable '.[full]' in that folder",
            )
        ]
    needed = [one for one in map(requirement, lines) if one is not None]
    return _findings(needed, {one.name: _version(one.name) for one in needed})


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _findings(needed: Sequence[Requirement], found: Mapping[str, str | None]) -> list[Finding]:
    groups = {_CORE: "verifying, loading and inspecting", **_EXTRAS}
    return [
        _group(name, use, [one for one in needed if (one.extra or _CORE) == name], found)
        for name, use in groups.items()
    ]


def _group(
    name: str, use: str, needed: Sequence[Requirement], found: Mapping[str, str | None]
) -> Finding:
    """A finding on what belongs to the core or to one extra."""
    have = {one.name: found[one.name] for one in needed}
    missing = [one.name for one in needed if have[one.name] is None]
    unfit = [one for one in needed if not satisfies(have[one.name] or "", one.range)]
    wanted = "bussynth" if name == _CORE else f"bussynth[{name}]"
    data = {
        "versions": have,
        "needs": {one.name: one.range for one in needed},
        "missing": missing,
        "out_of_range": [one.name for one in unfit],
        "enables": use,
    }
    if unfit:
        said = _list(f"{one.name} {have[one.name]}, needs {one.range}" for one in unfit)
        lines = " ".join(f"'{one.name}{one.range}'" for one in unfit)
        return Finding(
            name=name,
            state="problem",
            text=f"out of range: {said}",
            remedy=f"pip install {lines}",
            data=data,
        )
    if missing:
        partly = len(missing) < len(needed)
        text = f"missing: {_list(missing)}" if partly else "not installed"
        # An extra that nobody asked for is no fault, one in parts may be.
        state: State = (
            "problem" if name == _CORE else "warning" if partly or name == _FULL else "ok"
        )
        return Finding(
            name=name,
            state=state,
            text=f"{text}; it would enable {use}",
            remedy=f"pip install '{wanted}'",
            data=data,
        )
    return Finding(name=name, state="ok", text=_versions(have), data=data)


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _versions(have: Mapping[str, str | None]) -> str:
    return _list(f"{name} {version}" for name, version in have.items())
