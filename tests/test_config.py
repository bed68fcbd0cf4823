from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from bussynth.config import Config, RunOptions, load_toml, option, suggest
from bussynth.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sample(Config):
    size: int = option(64, "Edge.", min=8, max=128)
    rate: float = option(0.5, "Rate.", min=0.0, max=1.0)
    kind: str = option("a", "Kind.", choices=("alpha", "a"))
    names: tuple[str, ...] = option(("x",), "Names.")
    limit: int | None = option(None, "Limit.", min=1)
    table: dict[str, str] = option({}, "Table.")


def test_defaults_are_valid_and_not_shared() -> None:
    assert Sample().to_dict()["size"] == 64
    assert Sample().table is not Sample().table


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Sample(size=4, rate=2.0, kind="alpah", limit=0)
    assert len(caught.value.problems) == 4
    assert 'did you mean "alpha"' in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [{"size": 1.5}, {"size": True}, {"rate": float("nan")}, {"names": "ab"}, {"names": (1,)}],
)
def test_wrong_types_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Sample(**bad)  # type: ignore[arg-type]


def test_an_integer_is_a_float_and_a_hyphen_an_underscore() -> None:
    assert Sample.from_dict({"rate": 1}).rate == 1
    assert RunOptions.from_dict({"batch-size": 3}).batch_size == 3


def test_unknown_key_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match='"size"'):
        Sample.from_dict({"sise": 3})


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sample().size = 3  # type: ignore[misc]


def test_toml_unknown_table_and_broken_file(tmp_path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[trian]\nsteps = 3\n")
    with pytest.raises(UsageError, match='did you mean "train"'):
        load_toml(file, ["train", "split"])
    file.write_text("[train\n")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_toml(file, ["train"])
    file.write_text("train = 3\n")
    with pytest.raises(UsageError, match="must be a table"):
        load_toml(file, ["train"])
    with pytest.raises(UsageError, match="Cannot read"):
        load_toml(tmp_path / "absent.toml", ["train"])


def test_suggest_is_silent_without_a_near_word() -> None:
    assert suggest("zzz", ["train"]) == ""


def test_infinity_is_refused_where_no_bound_would() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Open(Config):
        minutes: float | None = option(None, "Minutes.", min=0.01)

    with pytest.raises(UsageError, match="finite"):
        Open(minutes=float("inf"))
