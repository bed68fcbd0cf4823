"""Python, platform, processors, memory and threads."""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

from bussynth import __version__
from bussynth.doctor.finding import Finding
from bussynth.doctor.versions import satisfies

__all__ = ["look_at_machine", "usable_cores"]

_GIB: Final = 2**30
# Importing torch and training the smallest preset takes about one.
_LITTLE_MEMORY: Final = 2 * _GIB
_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_CGROUP: Final = Path("/sys/fs/cgroup")
_MEMINFO: Final = Path("/proc/meminfo")


def look_at_machine() -> list[Finding]:
    """Findings on what bussynth runs on."""
    cores = usable_cores()
    return [_python(), _platform(), _cores(cores), _memory(), *_threads(os.environ, cores)]


def usable_cores() -> int:
    """Cores that this process may use, by affinity and by the quota of a container."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    quota, _, period = (_read(_CGROUP / "cpu.max") or "max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        count = min(count, max(1, int(quota) // int(period)))
    return count


def _python() -> Finding:
    version, bits = platform.python_version(), 8 * struct.calcsize("P")
    try:
        wanted = str(metadata("bussynth")["Requires-Python"])
    except (PackageNotFoundError, KeyError):
        wanted = ""
    fits = satisfies(version, wanted) and bits == 64
    return Finding(
        name="Python",
        state="ok" if fits else "problem",
        text=f"{version}, {bits} bits; bussynth {__version__} needs {wanted or 'any'}",
        remedy="" if fits else f"make a virtual environment with a 64-bit Python {wanted}",
        data={"version": version, "bits": bits, "bussynth": __version__, "needs": wanted},
    )


def _platform() -> Finding:
    name = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return Finding(name="platform", state="ok", text=name, data={"platform": platform.platform()})


def _cores(usable: int) -> Finding:
    there = os.cpu_count() or usable
    text = f"{usable} usable" + (f" of {there}" if there != usable else "")
    return Finding(
        name="cores", state="ok", text=text, data={"usable": usable, "of_machine": there}
    )


def _memory() -> Finding:
    total, free = _memory_bytes()
    if total is None or free is None:
        return Finding(name="memory", state="ok", text="its size is not told by this platform")
    little = free < _LITTLE_MEMORY
    return Finding(
        name="memory",
        state="warning" if little else "ok",
        text=f"{free / _GIB:.1f} GiB free of {total / _GIB:.1f} GiB",
        remedy="close other programs; training needs about 2 GiB or more" if little else "",
        data={"total": total, "free": free},
    )


def _memory_bytes() -> tuple[int | None, int | None]:
    """Memory of the machine or the container, and what of it is free, in bytes."""
    words = {}
    for line in (_read(_MEMINFO) or "").splitlines():
        key, _, value = line.partition(":")
        words[key] = 1024 * int((value.split() or ["0"])[0])
    total, free = words.get("MemTotal"), words.get("MemAvailable")
    if total is None:
        try:
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            return total, free
    limit, used = _read(_CGROUP / "memory.max"), _read(_CGROUP / "memory.current")
    if limit and limit.isdigit() and int(limit) < total:
        total = int(limit)
        if used and used.isdigit() and free is not None:
            free = max(0, min(free, total - int(used)))
    return total, free


def _threads(environment: Mapping[str, str], cores: int) -> list[Finding]:
    """Numbers of threads that are set and do not go with each other or with the machine."""
    given = {name: environment[name] for name in _THREADS if environment.get(name)}
    data = {"given": given}
    numbers = {
        name: int(value) if value.isdigit() and int(value) > 0 else None
        # OMP_NUM_THREADS may name one number a level of nesting.
        for name, value in ((name, value.partition(",")[0]) for name, value in given.items())
    }
    said = ", ".join(f"{name}={value}" for name, value in given.items())
    problems = []
    wrong = [name for name, number in numbers.items() if number is None]
    known = {number for number in numbers.values() if number is not None}
    if wrong:
        problems.append(("no whole number above 0", f"unset {' '.join(wrong)}"))
    if len(known) > 1:
        problems.append(("libraries are told different numbers", f"unset {' '.join(given)}"))
    elif any(number > cores for number in known):
        problems.append((f"more than {cores} cores can do", f"set it to {cores} or unset it"))
    elif known and cores > 1 and max(known) < cores:
        text = f"fewer than the {cores} cores, so one training is slower than it could be"
        problems.append((text, f"unset {' '.join(given)}, unless several jobs share the machine"))
    return [
        Finding(name="threads", state="warning", text=f"{said}: {text}", remedy=remedy, data=data)
        for text, remedy in problems
    ] or [Finding(name="threads", state="ok", text=said or "left to the libraries", data=data)]


def _read(path: Path) -> str | None:
    """Text of a file of the kernel, or None."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
