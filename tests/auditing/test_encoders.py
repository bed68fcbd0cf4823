from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from audits.errors import AuditInputError
from bussynth.auditing.encoders import find_encoders, load_encoders
from bussynth.errors import DataError, UsageError


def test_files_are_found_by_digest_and_missing_ones_listed(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"a")
    (found,) = find_encoders([str(tmp_path / "a.pt")])
    assert found.digest == "sha256:" + hashlib.sha256(b"a").hexdigest()
    with pytest.raises(UsageError, match="TorchScript or ONNX") as caught:
        find_encoders([tmp_path / "a.pt", tmp_path / "b.onnx", tmp_path])
    assert len(caught.value.problems) == 2


def test_no_encoders_need_nothing() -> None:
    assert load_encoders(find_encoders([]), (8, 8)) == ()


def test_a_file_that_is_no_encoder_is_refused_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: Path, *, image_size: tuple[int, int]) -> tuple[str, tuple[int, int]]:
        if path.name == "bad.pt":
            raise AuditInputError("no encoder", ["why"])
        return path.name, image_size

    module = SimpleNamespace(UserEncoder=SimpleNamespace(load=load))
    monkeypatch.setitem(sys.modules, "audits.features.user_encoder", module)
    for name in ("good.pt", "bad.pt"):
        (tmp_path / name).touch()
    good = load_encoders(find_encoders([tmp_path / "good.pt"]), (8, 16))
    assert good == (("good.pt", (8, 16)),)
    with pytest.raises(DataError, match="no encoder") as caught:
        load_encoders(find_encoders([tmp_path / "bad.pt"]), (8, 16))
    assert caught.value.problems == ("why",)
