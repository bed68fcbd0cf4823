from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import IntegrityError, UsageError
from bussynth.generator.lineage import trace

FAR = "sha256:" + "a" * 64


Edit = Callable[..., Path]


@pytest.fixture
def digest(model_folder: Path) -> str:
    return str(json.loads((model_folder / "model.json").read_text())["digest"])


@pytest.fixture
def edited(model_folder: Path, tmp_path: Path) -> Edit:
    """Copy the model with other values in its training record, which no digest covers."""

    def edit(**values: Any) -> Path:
        folder = Path(shutil.copytree(model_folder, tmp_path / "edited"))
        record = json.loads((folder / "model.json").read_text())
        record["training"] |= values
        (folder / "model.json").write_text(json.dumps(record))
        return folder

    return edit


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


def test_a_base_at_hand_is_followed_to_its_end(model_folder: Path, digest: str) -> None:
    found = trace(base(digest), str(model_folder))
    assert found.complete
    assert found.phantoms_only("phantom")
    assert not found.phantoms_only("synthetic")
    assert not trace(base(digest, "real"), str(model_folder)).phantoms_only("phantom")


def test_a_patient_behind_the_base_of_the_base_counts(
    model_folder: Path, digest: str, edited: Edit
) -> None:
    hidden = edited(**base(FAR, "real"))
    found = trace(base(digest), str(hidden))
    assert [one.kind for one in found.ancestors] == ["phantom", "real"]
    assert not found.phantoms_only("phantom")


def test_a_loop_ends(digest: str, edited: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    looped = edited(**base(digest, name="builtin:loop"))
    monkeypatch.setattr("bussynth.generator.lineage.builtin_names", lambda: ["builtin:loop"])
    monkeypatch.setattr("bussynth.generator.lineage.model_folder", lambda _: looped)
    assert not trace(base(digest, name="builtin:loop")).complete


def test_another_base_is_refused(model_folder: Path) -> None:
    with pytest.raises(IntegrityError, match="another base"):
        trace(base(FAR), str(model_folder))
    with pytest.raises(UsageError, match="leave --base out"):
        trace({"base": None}, str(model_folder))


def test_texts_in_place_of_digests_are_dropped() -> None:
    assert trace(base("`](http://x)")).ancestors[0].digest is None
    assert json.dumps(trace({"base": 3}).ancestors[0].kind) == "null"
