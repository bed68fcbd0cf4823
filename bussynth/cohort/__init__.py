"""The one noun: a table with images, one row an image, in Parquet shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bussynth.cohort.cohort import Cohort
    from bussynth.cohort.row import Row

__all__ = ["Cohort", "Row"]


def __getattr__(name: str) -> Any:
    # Lazy, so that the configuration of a verb is read without pyarrow.
    if name == "Cohort":
        from bussynth.cohort.cohort import Cohort

        return Cohort
    if name == "Row":
        from bussynth.cohort.row import Row

        return Row
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
