"""Sign, then change anything: what was signed is what is read, or nothing is."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bussynth.errors import IntegrityError
from bussynth.package import load, verify_package
from bussynth.package.manifest import ENVELOPE, parse_manifest
from bussynth.package.names import name_problem
from bussynth.package.signature import open_envelope, read_payload
from bussynth.package.strict_json import strict_json

FUZZ = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def mutations(draw: st.DrawFn, size: int = 2**16) -> Any:
    """A function that changes bytes: overwrite, insert, delete, cut, repeat."""
    kind = draw(st.sampled_from(["set", "insert", "delete", "cut", "swap"]))
    position = draw(st.integers(0, size))
    value = draw(st.binary(min_size=1, max_size=8))

    def apply(data: bytes) -> bytes:
        at = position % max(1, len(data))
        if kind == "set":
            return data[:at] + value + data[at + len(value) :]
        if kind == "insert":
            return data[:at] + value + data[at:]
        if kind == "delete":
            return data[:at] + data[at + len(value) :]
        return data[:at] if kind == "cut" else data[at:] + data[:at]

    return apply


@FUZZ
@given(mutation=mutations(), index=st.integers(0, 5))
def test_changed_file_never_verifies(forge: Any, mutation: Any, index: int) -> None:
    files = sorted(p for p in forge.honest.rglob("*") if p.is_file() and p.name != ENVELOPE)
    name = files[index].relative_to(forge.honest)
    before = files[index].read_bytes()
    after = mutation(before)
    if after == before:
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(forge.honest, Path(folder) / "p"))
        (copy / name).write_bytes(after)
        with pytest.raises(IntegrityError):
            verify_package(copy, forge.trust)
        with pytest.raises(IntegrityError):
            load(copy, trust=forge.trust, framework="numpy")


@FUZZ
@given(mutation=mutations())
def test_changed_envelope_says_the_same_or_nothing(forge: Any, mutation: Any) -> None:
    data = (forge.honest / ENVELOPE).read_bytes()
    payload, _ = read_payload(data)
    try:
        found, _ = open_envelope(mutation(data), [forge.trust])
    except IntegrityError:
        return
    assert found == payload


@FUZZ
@given(mutation=mutations())
def test_changed_statement_is_parsed_or_refused(forge: Any, mutation: Any) -> None:
    payload, _ = read_payload((forge.honest / ENVELOPE).read_bytes())
    try:
        manifest = parse_manifest(mutation(payload))
    except IntegrityError:
        return
    assert all(name_problem(name) is None for name in manifest.files)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
)


@FUZZ
@given(value=json_values, path=st.lists(st.integers(0, 20), min_size=1, max_size=4))
def test_any_value_at_any_place_is_refused_or_harmless(
    forge: Any, value: Any, path: list[int]
) -> None:
    statement = forge.statement()
    node: Any = statement
    for step, number in enumerate(path):
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = keys[number % len(keys)]
        if step == len(path) - 1 or not isinstance(node[key], (dict, list)):
            node[key] = value
            break
        node = node[key]
    message = ""
    try:
        manifest = parse_manifest(json.dumps(statement).encode())
    except IntegrityError as error:
        message = str(error)
    else:
        assert all(name_problem(name) is None for name in manifest.files)
        assert manifest.description.isprintable()
    assert message.replace("\n", "").isprintable()


@FUZZ
@given(
    data=st.binary(max_size=200) | st.text(alphabet='[]{}":,0\\ua e', max_size=60).map(str.encode)
)
def test_strict_json_agrees_with_json_or_refuses(data: bytes) -> None:
    try:
        value = strict_json(data, what="It", max_bytes=1000)
    except IntegrityError:
        return
    assert value == json.loads(data)
