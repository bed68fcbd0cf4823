"""Guard against another distribution's ``privacy`` or ``audits`` shadowing ours.

Both are plain words: a file ``privacy.py`` beside a user's script, or another wheel, can
take their place on the import path. For a privacy tool that is a security matter, so the
facades refuse to start.
"""

from __future__ import annotations

from types import ModuleType

__all__ = ["check_owned"]


def check_owned(module: ModuleType) -> None:
    """Raise if ``module`` did not come with bussynth.

    Raises:
        ImportError: The module lacks our mark.
    """
    if getattr(module, "__distribution__", None) != "bussynth":
        found = getattr(module, "__file__", None)
        raise ImportError(
            f"{module.__name__!r} was imported from {found!r}, which is not part of bussynth; "
            "rename that file, or install bussynth into a clean environment."
        )
