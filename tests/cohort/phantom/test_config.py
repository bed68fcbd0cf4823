from __future__ import annotations

import subprocess
import sys

import pytest

from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.phantom.device import DEVICES
from bussynth.errors import UsageError


def test_defaults_are_valid_and_survive_a_round_trip() -> None:
    config = PhantomConfig()
    assert config.devices == tuple(DEVICES)
    assert PhantomConfig.from_dict(config.to_dict()) == config
    listed = config.to_dict() | {"devices": list(config.devices)}
    assert PhantomConfig.from_dict(listed) == config


def test_at_least_four_devices_differ_in_every_visible_respect() -> None:
    assert len(DEVICES) >= 4
    for field in ("pulse_mm", "beam_mm", "dynamic_range_db", "depth_mm"):
        assert len({getattr(device, field) for device in DEVICES.values()}) >= 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patients": 0}, "patients=0"),
        ({"image_size": 8}, "image_size=8"),
        ({"image_size": 1024}, "image_size=1024"),
        ({"seed": -1}, "seed=-1"),
        ({"min_views": 4}, "at most max_views=3"),
        ({"normal": 0.7, "malignant": 0.5}, "must not exceed 1"),
        ({"normal": float("nan")}, "normal=nan"),
        ({"devices": ()}, "name at least one"),
        ({"devices": ("phantom-linear-x",)}, "did you mean"),
        ({"devices": ("phantom-linear-a", "phantom-linear-a")}, "listed twice"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PhantomConfig(**values)  # type: ignore[arg-type]


def test_all_problems_come_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        PhantomConfig(min_views=5, devices=("nope",))
    assert len(caught.value.problems) == 2


def test_the_configuration_needs_no_array_library() -> None:
    code = (
        "import sys, bussynth.cohort.phantom.device as d, bussynth.cohort.phantom.config as c;"
        "raise SystemExit('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
