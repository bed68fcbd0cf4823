"""What a model started from, back to random weights, as far as it can be followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bussynth.builtin import BUILTIN, builtin_names, model_folder
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator.storage import read_record
from bussynth.record import digest, field, mapping, text

__all__ = ["Ancestor", "Lineage", "trace"]


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A base, as the record of what was trained from it names it.

    Attributes:
        digest: Of the base.
        name: ``builtin:NAME``, or None.
        kind: Of the cohort it learned from, or None if the record does not say.
        cohort: Digest of that cohort, or None.
    """

    digest: str | None
    name: str | None
    kind: str | None
    cohort: str | None


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The bases behind a model.

    Attributes:
        ancestors: The base, the base of that, and so on.
        complete: Whether the last of them is known to have started from random weights.
    """

    ancestors: tuple[Ancestor, ...]
    complete: bool

    def phantoms_only(self, kind: str | None) -> bool:
        """Whether nothing but phantoms was ever learned from.

        Args:
            kind: Of the model's own training cohort.
        """
        kinds = [kind, *(ancestor.kind for ancestor in self.ancestors)]
        return self.complete and all(one == "phantom" for one in kinds)


def trace(training: Mapping[str, Any], base: str | None = None) -> Lineage:
    """Follow the bases of a model.

    Args:
        training: Its training record.
        base: Its base, if that is not a built-in one and is at hand.

    Raises:
        UsageError: A base is given for a model that started from random weights.
        IntegrityError: The base is not the one the record names.
    """
    if base is not None and not mapping(training.get("base")):
        raise UsageError("The model was not started from a base; leave --base out.")
    ancestors: list[Ancestor] = []
    while "base" in training and training["base"] is not None:
        entry = mapping(training["base"])
        ancestor = Ancestor(
            digest=digest(entry.get("digest")),
            name=text(entry.get("name")),
            kind=text(field(entry, "cohort", "kind")),
            cohort=digest(field(entry, "cohort", "digest")),
        )
        # The training record is not part of the digest, so a loop could be written into it.
        if any(ancestor.digest == earlier.digest for earlier in ancestors):
            return Lineage(ancestors=tuple(ancestors), complete=False)
        ancestors.append(ancestor)
        found = _open(ancestor, base)
        if found is None:
            return Lineage(ancestors=tuple(ancestors), complete=False)
        training, base = found, None
    return Lineage(ancestors=tuple(ancestors), complete="base" in training)


def _open(ancestor: Ancestor, given: str | None) -> Mapping[str, Any] | None:
    """Training record of an ancestor, or None where it is not at hand."""
    name = given if given is not None else ancestor.name
    if name is None or (name.startswith(BUILTIN) and name not in builtin_names()):
        return None
    record = read_record(model_folder(name))
    if record["digest"] == ancestor.digest:
        return mapping(record["training"])
    if given is not None:
        raise IntegrityError(f"The model was trained from another base than {given}.")
    return None  # a later release may hold another model of that name
