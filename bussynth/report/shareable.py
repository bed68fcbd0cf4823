"""What of an audit may leave the site: listed fields, rounded, and nothing else.

A field that is not listed here is dropped, so a new one stays inside until somebody decides that
it may leave. What stays: distances and ratios of single images or pairs and whatever is derived
from one pair (thresholds, the least ratio, the radius of the exhaustive search), histograms of
distances, row numbers, and digests of real images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["shareable"]

_Spec: TypeAlias = "bool | dict[str, _Spec] | list[_Spec]"


def _fields(names: str, **nested: _Spec) -> dict[str, _Spec]:
    return {**dict.fromkeys(names.split(), True), **nested}


_INTERVAL = _fields("low high confidence")
_DISCLOSURE = _fields(
    "space n_train n_control disclosed_train disclosed_control train_rate control_rate risk lower "
    "upper p_value reason"
)
_MEMBERSHIP = _fields(
    "p_value excluded_patients confidence reason",
    rows=[
        _fields(
            "score group n_train n_control auc p_value p_value_tpr reason",
            interval=_INTERVAL,
            recognised=[_fields("fpr tpr reason", interval=_INTERVAL, fpr_interval=_INTERVAL)],
        )
    ],
)
_FINDINGS = _fields(
    "n_images train_images train_patients control_images control_patients excess_p beyond_doubt "
    "control_beyond_doubt"
)
_COMPARED = "n_train n_control train control baseline risk p_value reason space neighbours"

_DETAILS: dict[str, _Spec] = {
    "identity": _fields("images equal_to_train equal_to_control"),
    "copies": {
        **_FINDINGS,
        **_fields("deciding within_radius_of_train within_radius_of_control"),
    },
    "contrast": _fields(
        "",
        shares=[
            _fields("space tail n_images n_patients estimate p_value reason", interval=_INTERVAL)
        ],
    ),
    "disclosure": _fields(
        "p_value quantile confidence excluded_patients reason",
        rows=[_DISCLOSURE],
        worst=_DISCLOSURE,
        curve=[_fields("space quantile risk lower upper")],
    ),
    "membership": _MEMBERSHIP,
    "white_box": _MEMBERSHIP,
    "singling_out": _fields(
        "p_value reason",
        rows=[_fields(f"{_COMPARED} expected n_images n_calibration n_group satisfied")],
    ),
    "linkability": _fields("p_value reason", rows=[_fields(f"{_COMPARED} n_pairs")]),
    "inference": _fields(
        "p_value reason", rows=[_fields(f"{_COMPARED} attribute balanced n_classes")]
    ),
    "dp_bound": _fields(
        "design unit bits delta confidence epsilon_replace epsilon_add_remove p_value reason",
        attacks=[
            _fields("score guesses correct p_value epsilon_replace epsilon_add_remove"),
        ],
    ),
}
"""Fields of each test's details; of a test that is not listed none leaves."""

_SETTING = _fields("value help reference")
_LEDGER = _fields(
    "place control_runs synthetic_runs synthetic_sets settings_used failed_before other_controls "
    "registration registered flags problems head sentences"
)

_REPORT: dict[str, _Spec] = _fields(
    "schema verdict mode reasons failures limits statements",
    adjusted_p_values={"*": True},
    spaces=[
        _fields("name family admitted reasons", description=_fields("dimension parameters")),
    ],
    channels=[
        _fields(
            "name columns admitted reasons",
            thresholds=_fields(
                "tightened control_images control_fired", control_rate=_INTERVAL
            ),
            findings=_FINDINGS,
        )
    ],
    controls=_fields(
        "",
        planted=[
            _fields(
                "name family severity decisive planted found recall lower passed reason",
                interval=_INTERVAL,
                by_channel={"*": True},
            )
        ],
        dose_response=[_fields("copies repeats by_copies by_contrast by_either")],
        limit_of_detection={"*": True},
        null=[_fields("name question n_images n_first n_second p_value fired")],
        agreement=_fields("patients correlation reason", interval=_INTERVAL),
        duplicates=_fields("identical near within_control"),
        self_check=_fields("queries mismatch_rate"),
    ),
    settings={"*": _SETTING},
    counts={"*": True},
    inputs={
        "synthetic": _fields("digest images source"),
        "train": _fields("images source"),
        "control": _fields("images source"),
    },
    comparison=_fields(
        "image_size randomised doubts notes changed_settings",
        patients=_fields("train control"),
        split=_fields("method by control test times_split"),
    ),
    environment=_fields("created bussynth python machine run", libraries={"*": True}),
    ledger=_LEDGER,
    registration=_fields("time sha256 settings notes"),
    model=_fields("released notes"),
)  # fmt: skip


def shareable(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a report that may leave the site.

    Args:
        report: Content of ``report.json``.

    Returns:
        The same shape with fewer fields; floats have four decimals or four digits, and none is
        rounded to 1 that is below.
    """
    kept: dict[str, Any] = _pick(report, _REPORT)
    kept["tests"] = [
        {
            **_pick(test, _fields("name question estimate p_value fired sentence",
                                  n={"*": True}, interval=_INTERVAL)),
            "details": _pick(test.get("details") or {}, _DETAILS.get(str(test.get("name")), {})),
        }
        for test in report["tests"]
    ]  # fmt: skip
    return kept


def _pick(value: Any, spec: _Spec) -> Any:
    if value is None:
        return None
    if isinstance(spec, list):
        return [_pick(entry, spec[0]) for entry in value] if isinstance(value, list) else []
    if isinstance(spec, dict):
        if not isinstance(value, Mapping):
            return {}
        every = spec.get("*")
        return {
            key: _pick(entry, spec.get(key, every) or False)
            for key, entry in value.items()
            if key in spec or every is not None
        }
    return _leaf(value)


def _leaf(value: Any) -> Any:
    """A number, a text, or a list of them; nothing deeper passes as one field."""
    if isinstance(value, list):
        return [_leaf(entry) for entry in value if not isinstance(entry, (list, Mapping))]
    if isinstance(value, Mapping):
        return None
    if isinstance(value, float):
        short = round(value, 4) if abs(value) >= 0.01 else float(f"{value:.4g}")
        return 0.9999 if value < 1.0 <= short else short
    return value
