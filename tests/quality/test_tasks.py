from __future__ import annotations

from bussynth.quality.material import Facts
from bussynth.quality.tasks import choose_tasks

VOCABULARY = {"device": ["a", "b", "c", "never"], "pathology": ["normal", "benign"]}


def facts(devices: str, pathologies: str, *, boxes: bool = True) -> Facts:
    words = {"n": "normal", "b": "benign"}
    return Facts.of(
        len(devices),
        conditions={"device": list(devices), "pathology": [words[p] for p in pathologies]},
        boxes=[[0, 0, 2, 2] if p == "b" and boxes else None for p in pathologies],
        patients=[f"p{i // 2}" for i in range(len(devices))],
    )


def test_values_need_patients_on_both_sides() -> None:
    train = facts("aaaabbbbcccc", "bbbbbbbbnnnn")
    test = facts("aaaabbbbcc", "bbbbbbnnnn")
    tasks = choose_tasks(train, test, ["device", "pathology"], VOCABULARY, 2)
    device, pathology = tasks.columns
    assert device.values == ("a", "b")
    assert device.left_out == ("c",)
    assert pathology.values == ("normal", "benign")
    assert tasks.boxes
    assert tasks.normals
    assert tasks.reasons == {}


def test_what_cannot_be_measured_has_a_reason() -> None:
    train, test = facts("aaaabbbb", "bbbbbbbb"), facts("aaaa", "bbbb")
    tasks = choose_tasks(train, test, ["device", "pathology"], VOCABULARY, 2)
    assert tasks.columns == ()
    assert tasks.boxes
    assert not tasks.normals
    assert set(tasks.reasons) == {"device", "pathology", "normal"}
    blind = facts("aaaa", "nnnn", boxes=False)
    bare = choose_tasks(blind, blind, [], VOCABULARY, 2)
    assert not bare.boxes
    # A detector that never saw a lesion cannot miss one.
    assert not bare.normals
    assert set(bare.reasons) == {"lesion box", "normal"}
