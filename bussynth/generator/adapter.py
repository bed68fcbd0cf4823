"""Opening what was trained: a whole model, or an adapter with the base it belongs to."""

from __future__ import annotations

from pathlib import Path

from bussynth.builtin import BUILTIN
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator.base import carry_over, open_base
from bussynth.generator.lora import merge
from bussynth.generator.storage import ADAPTER_FILE, StoredModel, read_adapter, read_model

__all__ = ["open_model"]


def open_model(source: Path | str, base: Path | str | None = None) -> StoredModel:
    """Open a model, or put an adapter on its base.

    An adapter becomes the plain network with updated weights; its digest stands for both, since
    it covers the digest of the base.

    Args:
        source: Folder of a model or an adapter, or ``builtin:NAME``.
        base: Of an adapter: the base, if it is not a built-in one.

    Raises:
        UsageError: A base is missing or not needed, or no built-in model has this name.
        IntegrityError: A file is damaged, or the base is not the one the adapter was fitted to.
        DataError: There is no model.
    """
    if str(source).startswith(BUILTIN) or not (Path(source) / ADAPTER_FILE).is_file():
        builtin = str(source).startswith(BUILTIN)
        model = open_base(str(source)).model if builtin else read_model(Path(source))
        if base is not None:
            raise UsageError(f"{source} is a whole model; leave the base out.")
        return model
    adapter = read_adapter(Path(source))
    name = base if base is not None else adapter.base.get("name")
    if name is None:
        raise UsageError(
            f"{source} is an adapter of a base that is not built in; name its base (digest "
            f"{adapter.base['digest'][:19]}…) with --base."
        )
    opened = open_base(str(name)).model
    if opened.digest != adapter.base["digest"]:
        raise IntegrityError(
            f"{source} was fitted to another base than {name}: expected digest "
            f"{adapter.base['digest'][:19]}…, found {opened.digest[:19]}…."
        )
    weights = carry_over(opened, adapter.architecture, adapter.vocabulary)
    return StoredModel(
        architecture=adapter.architecture,
        vocabulary=adapter.vocabulary,
        weights=merge(weights, adapter.weights, adapter.alpha / adapter.rank),
        prior=adapter.prior,
        training=adapter.training,
        digest=adapter.digest,
    )
