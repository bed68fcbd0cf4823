"""The one error of the guards about what they are given."""

from __future__ import annotations

from privacy.errors import InputError

__all__ = ["GuardInputError"]


class GuardInputError(InputError):
    """Images, latents or settings that a guard cannot use; messages show no pixel and no key."""
