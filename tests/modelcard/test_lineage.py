from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import IntegrityError, UsageError
from bussynth.modelcard.lineage import trace

FAR = "sha256:" + "a" * 64


def base(digest: str, kind: str = "phantom", name: str | None = None) -> dict[str, Any]:
    cohort = {"digest": "sha256:" + "c" * 64, "kind": kind}
    return {"base": {"digest": digest, "name": name, "cohort": cohort}}


def test_a_model_without_a_base() -> None:
    found = trace({"base": None})
    assert found.complete
    assert found.phantoms_only("phantom")
    assert not found.phantoms_only("real")
    assert not found.phantoms_only(None)


def test_a_record_that_does_not_say_is_not_complete() -> None:
    assert not trace({}).phantoms_only("phantom")


def test_a_base_that_is_not_at_hand_leaves_the_rest_open() -> None:
    for name in (None, "builtin:never-made"):
        found = trace(base(FAR, name=name))
        assert [one.kind for one in found.ancestors] == ["phantom"]
        assert not found.phantoms_only("phantom")


def test_a_base_at_hand_is_followed_to_its_end(model: Path, digest: str) -> None:
    found = trace(base(digest), str(model))
    assert found.complete
    assert found.phantoms_only("phantom")
    assert not found.phantoms_only("synthetic")
    assert not trace(base(digest, "real"), str(model)).phantoms_only("phantom")


def test_a_patient_behind_the_base_of_the_base_counts(model: Path, digest: str, edited) -> None:
    hidden = edited(**base(FAR, "real"))
    found = trace(base(digest), str(hidden))
    assert [one.kind for one in found.ancestors] == ["phantom", "real"]
    assert not found.phantoms_only("phantom")


def test_a_loop_ends(digest: str, edited, monkeypatch: pytest.MonkeyPatch) -> None:
    looped = edited(**base(digest, name="builtin:loop"))
    monkeypatch.setattr("bussynth.modelcard.lineage.builtin_names", lambda: ["builtin:loop"])
    monkeypatch.setattr("bussynth.modelcard.lineage.model_folder", lambda _: looped)
    assert not trace(base(digest, name="builtin:loop")).complete


def test_another_base_is_refused(model: Path) -> None:
    with pytest.raises(IntegrityError, match="another base"):
        trace(base(FAR), str(model))
    with pytest.raises(UsageError, match="leave --base out"):
        trace({"base": None}, str(model))


def test_texts_in_place_of_digests_are_dropped() -> None:
    assert trace(base("`](http://x)")).ancestors[0].digest is None
    assert json.dumps(trace({"base": 3}).ancestors[0].kind) == "null"
