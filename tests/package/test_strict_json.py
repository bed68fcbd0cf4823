from __future__ import annotations

import json

import pytest

from bussynth.errors import IntegrityError
from bussynth.package.strict_json import strict_json


def parse(data: bytes, **options: int) -> object:
    return strict_json(data, what="It", **({"max_bytes": 10_000_000, "max_depth": 8} | options))


def test_reads_what_json_writes() -> None:
    value = {"a": [1, -2.5, None, True, ']}[{\\"'], "ä": {"b": ""}}
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b'{"a": 1, "\\u0061": 2}', "same key twice"),
        (b'{"b": {"a": 1, "a": 1}}', "same key twice"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "NaN"),
        (b"[1e999]", "out of range"),
        (b"[1." + b"1" * 100 + b"]", "out of range"),
        (b"[" + b"9" * 19 + b"]", "digits"),
        (b"[" + b"9" * 100_000 + b"]", "digits"),
        (b"[" * 9 + b"]" * 9, "deeper"),
        (b"[" * 1_000_000, "deeper"),
        (b'{"a":' * 100_000, "deeper"),
        (b"\xff\xfe", "UTF-8"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (b"\xef\xbb\xbf{}", "valid JSON"),
        (b"", "valid JSON"),
        (b"{} {}", "valid JSON"),
        (b'"open', "valid JSON"),
        (b'{"a": 1,}', "valid JSON"),
        (b'"a\nb"', "valid JSON"),
    ],
)
def test_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(IntegrityError, match=reason):
        parse(data)


def test_size_and_depth_limits_are_exact() -> None:
    assert parse(b"[[1]]", max_bytes=5, max_depth=2) == [[1]]
    with pytest.raises(IntegrityError, match="larger"):
        parse(b"[[1]] ", max_bytes=5)
    with pytest.raises(IntegrityError, match="deeper"):
        parse(b"[[1]]", max_depth=1)


def test_brackets_in_texts_do_not_count() -> None:
    assert parse(json.dumps(["[" * 100, '\\"' + "{" * 100]).encode(), max_depth=1)
