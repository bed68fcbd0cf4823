"""The privacy statement in a package, read without trusting it.

Its form is that of :mod:`privacy.dp.statement`. Every field is checked, none may be added, and
numbers that follow from others must do so. Whether epsilon follows from the mechanisms is asked
at export (:mod:`privacy.dp.recheck`), as it takes the accounting libraries.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bussynth.errors import IntegrityError
from bussynth.package.folder import read_file
from bussynth.package.manifest import STATEMENT_FILE, Manifest
from bussynth.package.reader import Reader
from bussynth.package.strict_json import strict_json
from privacy.dp.accounting import ADJACENCY, check_delta, power_within
from privacy.dp.errors import DPInputError
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.statement import SCHEMA, STATED_CAP, STATED_LARGER, UNIT, Statement

__all__ = ["DpStatement", "check_statement", "parse_dp_statement"]

_MAX_BYTES = 4 * 2**20
_MAX_MECHANISMS = 1000
_MAX_SETTINGS = 100
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEAD = re.compile(r"[1-9][0-9]{0,9}:[0-9a-f]{64}")
# Above this the second accountant is not asked; see privacy.dp.accounting.
_PRV_LIMIT = 50.0
_KEYS = (
    *("schema", "guarantee", "mechanisms", "accounting", "scope", "public_inputs", "tuning"),
    *("randomness", "independence", "interpretation", "ledger"),
)
_GAUSSIAN = ("noise_multiplier", "sampling_rate", "steps")


@dataclass(frozen=True, kw_only=True)
class DpStatement:
    """A privacy statement whose fields were checked; :func:`parse_dp_statement` makes one.

    Attributes:
        content: The statement, plain values for JSON.
    """

    content: Mapping[str, Any]

    @property
    def epsilon(self) -> float:
        """Epsilon of the guarantee."""
        return float(self.content["guarantee"]["epsilon"])

    @property
    def delta(self) -> float:
        """Delta of the guarantee."""
        return float(self.content["guarantee"]["delta"])

    @property
    def unit(self) -> str:
        """What is protected."""
        return str(self.content["guarantee"]["unit"])

    @property
    def adjacency(self) -> str:
        """Which data sets are neighbours."""
        return str(self.content["guarantee"]["adjacency"])

    @property
    def head(self) -> str:
        """The entry of the ledger up to which the statement speaks."""
        return str(self.content["ledger"]["head"])

    @property
    def covered(self) -> tuple[str, ...]:
        """What is released under the guarantee."""
        return tuple(self.content["scope"]["covered"])

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What the guarantee does not speak of."""
        return tuple(self.content["scope"]["not_covered"])

    @property
    def power(self) -> tuple[float, float]:
        """Most members an attacker finds while accusing 1 % and 0.1 % of the others."""
        found = self.content["interpretation"]
        return float(found["at_1_percent"]), float(found["at_0.1_percent"])

    def words(self) -> str:
        """The statement for people; texts of the statement are in it as they are."""
        return Statement(content=self.content).words()


def parse_dp_statement(value: Any, *, what: str) -> DpStatement:
    """Check a privacy statement, trusting none of it.

    Args:
        value: Parsed JSON.
        what: How to call it in an error.

    Raises:
        IntegrityError: A field is missing, unknown, of a wrong form or contradicts another;
            every problem is listed.
    """
    reader = Reader()
    content = value if isinstance(value, dict) else {}
    if not isinstance(value, dict):
        reader.problem("statement", "is missing or not an object")
    else:
        reader.keys(content, _KEYS)
        _check(content, reader)
    if reader.problems:
        raise IntegrityError(f"{what} is malformed.", reader.problems)
    return DpStatement(content=content)


def check_statement(root: Path, manifest: Manifest) -> None:
    """Compare the statement in a package with the signed manifest, if its claim has one.

    Args:
        root: Path of the package.
        manifest: The signed manifest.

    Raises:
        IntegrityError: The statement was changed, is malformed, or says something else.
    """
    guarantee = manifest.guarantee
    if guarantee is None:
        return
    data = read_file(root, STATEMENT_FILE, manifest.files[STATEMENT_FILE])
    parsed = strict_json(data, what=STATEMENT_FILE, max_bytes=_MAX_BYTES, max_depth=8)
    statement = parse_dp_statement(parsed, what=STATEMENT_FILE)
    problems = [
        f"{name}: {STATEMENT_FILE} says another one than the signed manifest"
        for name in ("epsilon", "delta", "unit", "adjacency")
        if getattr(statement, name) != getattr(guarantee, name)
    ]
    if problems:
        raise IntegrityError("The package makes two different claims.", problems)


def _check(content: Mapping[str, Any], reader: Reader) -> None:
    reader.one_of(content, "schema", (SCHEMA,))
    _check_texts(content, reader)
    plans = _check_mechanisms(content, reader)
    before = len(reader.problems)
    guarantee, ledger = reader.table(content, "guarantee"), reader.table(content, "ledger")
    epsilon, delta = _check_guarantee(guarantee, reader.within("guarantee"))
    cap_epsilon = _check_ledger(ledger, delta, reader.within("ledger"))
    accounting = reader.table(content, "accounting")
    found = _check_accounting(accounting, reader.within("accounting"))
    power = _check_power(reader.table(content, "interpretation"), reader.within("interpretation"))
    if len(reader.problems) > before:
        return  # what follows from numbers that are none would only repeat it
    if epsilon > cap_epsilon:
        reader.problem("guarantee.epsilon", "is larger than the cap of the ledger")
    capped = accounting["stated"] == STATED_CAP
    if capped and epsilon != cap_epsilon:
        reader.problem("guarantee.epsilon", "is not the cap, which is said to be stated")
    if capped and not max(found) <= cap_epsilon:
        reader.problem("ledger.cap.epsilon", "is less than what the accountants say")
    if not capped and epsilon != max(found):
        reader.problem("guarantee.epsilon", "is not the larger of what the accountants say")
    if not capped and plans > 1:
        reader.problem("accounting.stated", "of several plans the cap must be stated")
    most = [power_within(epsilon, delta, chance) for chance in (0.01, 0.001)]
    # Exponentials differ in the last digit between machines.
    if capped and not all(map(partial(math.isclose, rel_tol=1e-9), power, most)):
        reader.problem("interpretation", "does not follow from epsilon and delta")


def _check_texts(content: Mapping[str, Any], reader: Reader) -> None:
    scope, inside = reader.table(content, "scope"), reader.within("scope")
    inside.keys(scope, ("covered", "not_covered"))
    for key in ("covered", "not_covered"):
        if not inside.lines(scope, key):
            inside.problem(key, "names nothing")
    for key in ("tuning", "independence"):
        reader.text(content, key, 1000)
    randomness, inside = reader.table(content, "randomness"), reader.within("randomness")
    inside.keys(randomness, ("source", "seed", "noise"))
    for key in ("source", "noise"):
        inside.text(randomness, key, 1000)
    if "seed" not in randomness or randomness["seed"] is not None:
        inside.problem("seed", "noise that has a seed hides nothing from whoever has it")
    inputs, inside = reader.table(content, "public_inputs"), reader.within("public_inputs")
    if len(inputs) > _MAX_SETTINGS:
        reader.problem("public_inputs", f"expected at most {_MAX_SETTINGS}")
    for name in inputs:
        if not _PLAIN.fullmatch(name):
            reader.problem("public_inputs", "expected plain names")
        else:
            inside.match(inputs, name, _DIGEST)


def _check_guarantee(guarantee: Mapping[str, Any], inside: Reader) -> tuple[float, float]:
    inside.keys(guarantee, ("epsilon", "delta", "unit", "adjacency", "model"))
    inside.one_of(guarantee, "unit", (UNIT,))
    inside.one_of(guarantee, "adjacency", (ADJACENCY,))
    inside.one_of(guarantee, "model", ("central",))
    epsilon = inside.number(guarantee, "epsilon", above=True)
    return epsilon, inside.number(guarantee, "delta", above=True, high=math.nextafter(1, 0))


def _check_ledger(ledger: Mapping[str, Any], delta: float, inside: Reader) -> float:
    """Check head and cap; returns the epsilon of the cap."""
    inside.keys(ledger, ("head", "cap"))
    inside.match(ledger, "head", _HEAD)
    cap, inside = inside.table(ledger, "cap"), inside.within("cap")
    inside.keys(cap, ("epsilon", "delta", "patients"))
    epsilon = inside.number(cap, "epsilon", above=True)
    limit = inside.number(cap, "delta", above=True, high=math.nextafter(1, 0))
    patients = inside.count(cap, "patients")
    if limit != delta and not math.isnan(limit + delta):
        inside.problem("delta", "is another one than that of the guarantee")
    if not math.isnan(limit):
        try:
            check_delta(limit, patients)
        except DPInputError as error:
            inside.problem("delta", error.message)
    return epsilon


def _check_mechanisms(content: Mapping[str, Any], reader: Reader) -> int:
    """Check what looked at the patients; returns the number of plans."""
    mechanisms, plans = content.get("mechanisms"), set()
    if not isinstance(mechanisms, list) or not 0 < len(mechanisms) <= _MAX_MECHANISMS:
        reader.problem("mechanisms", f"expected a list of 1 to {_MAX_MECHANISMS}")
        return 0
    known = ("purpose", "plan", "sampling", *_GAUSSIAN, "taken", "public")
    for number, one in enumerate(mechanisms, start=1):
        inside = reader.within(f"mechanisms[{number}]")
        if not isinstance(one, dict):
            reader.problem(f"mechanisms[{number}]", "is not an object")
            continue
        inside.keys(one, known)
        inside.text(one, "purpose", 200)
        inside.one_of(one, "sampling", ("poisson",))
        plans.add(inside.count(one, "plan"))
        taken = inside.count(one, "taken")
        numbers = [inside.number(one, key) for key in _GAUSSIAN[:2]]
        steps = inside.count(one, "steps")
        if not any(map(math.isnan, numbers)):
            try:
                SampledGaussian(noise_multiplier=numbers[0], sampling_rate=numbers[1], steps=steps)
            except DPInputError as error:
                for problem in error.problems:
                    inside.problem("mechanism", problem)
        if steps < 1 or taken > steps:
            inside.problem("taken", "more steps than were planned, or none was planned")
        _check_settings(inside.table(one, "public"), inside.within("public"))
    return len(plans)


def _check_settings(settings: Mapping[str, Any], inside: Reader) -> None:
    if len(settings) > _MAX_SETTINGS:
        inside.problem("settings", f"expected at most {_MAX_SETTINGS}")
    for key, value in settings.items():
        if not _PLAIN.fullmatch(key):
            inside.problem("settings", "expected plain names")
        elif isinstance(value, str):
            inside.text(settings, key, 200)
        elif isinstance(value, list):
            if len(value) > _MAX_SETTINGS or not all(map(_is_number, value)):
                inside.problem(key, f"expected at most {_MAX_SETTINGS} numbers")
        elif value is not None and not isinstance(value, bool) and not _is_number(value):
            inside.problem(key, "expected a number, a text or a list of numbers")


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) < 1e300  # which also refuses what is no number


def _check_accounting(accounting: Mapping[str, Any], inside: Reader) -> Sequence[float]:
    """Check what the accountants say; returns the epsilons of those that were asked."""
    inside.keys(accounting, ("pld", "prv", "rdp", "stated", "epsilon_replacing", "libraries"))
    libraries = inside.table(accounting, "libraries")
    for name in libraries:
        if not _PLAIN.fullmatch(name):
            inside.problem("libraries", "expected plain names")
        else:
            inside.within("libraries").text(libraries, name, 60)
    stated = inside.one_of(accounting, "stated", (STATED_CAP, STATED_LARGER))
    pld = inside.number(accounting, "pld")
    found = [pld]
    if accounting.get("prv") is not None:
        found.append(inside.number(accounting, "prv"))
    elif not pld > _PRV_LIMIT:
        inside.problem("prv", f"is missing, and only above {_PRV_LIMIT:g} it is not computed")
    if stated == STATED_CAP:
        found.append(inside.number(accounting, "rdp"))
        if accounting.get("epsilon_replacing") is not None:
            inside.problem("epsilon_replacing", "is not proved where the cap is stated")
    elif stated == STATED_LARGER:
        if accounting.get("rdp") is not None:
            inside.problem("rdp", "where plans may follow from results, the cap must be stated")
        inside.number(accounting, "epsilon_replacing")
    return found


def _check_power(power: Mapping[str, Any], inside: Reader) -> tuple[float, float]:
    inside.keys(power, ("at_1_percent", "at_0.1_percent"))
    # Whoever accuses by lot finds as many members as it accuses of the others.
    high = inside.number(power, "at_1_percent", low=0.01, high=1.0)
    low = inside.number(power, "at_0.1_percent", low=0.001, high=1.0)
    if low > high:
        inside.problem("at_0.1_percent", "is larger than at_1_percent")
    return high, low
