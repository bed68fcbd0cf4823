"""Turning a function and a configuration class into a command.

A verb's flags are made from the fields of its :class:`~bussynth.config.Config`, so that
flags, TOML keys and Python arguments are one and the same list. Flags win over the file,
the file over the defaults.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import os
import traceback
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from bussynth.cli.console import console_progress, print_json, show, warn
from bussynth.config import Config, RunOptions, load_toml
from bussynth.dependencies import missing_dependency
from bussynth.errors import BussynthError, DataError, UsageError
from bussynth.progress import Progress

__all__ = ["VERBS", "Outcome", "Run", "verb"]

VERBS: dict[str, tuple[Callable[..., None], type[Config] | None]] = {}
"""Every verb: its command and its configuration class, in the order of registration."""

_SCHEMA = "bussynth-cli/1"
_SPEED = {option.name: option for option in dataclasses.fields(RunOptions)}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a verb answers: data for ``--json``, text for people, and an exit code."""

    data: dict[str, Any]
    text: str
    notes: tuple[str, ...] = ()
    exit_code: int = 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a verb was called, beside its configuration."""

    dry_run: bool = False
    force: bool = False
    options: RunOptions = field(default_factory=RunOptions)
    progress: Progress = field(default_factory=Progress)


def verb(
    name: str,
    *,
    config: type[Config] | None = None,
    dry_run: bool = False,
    force: bool = False,
    speed: Collection[str] = (),
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Register a function as the command ``name``.

    Args:
        name: The verb.
        config: Its configuration; the function receives an instance as ``config``.
        dry_run: Whether ``--dry-run`` exists.
        force: Whether ``--force`` exists.
        speed: Fields of :class:`~bussynth.config.RunOptions` that the verb heeds.

    Returns:
        A decorator. The function receives its own parameters, ``config`` if it has one,
        and ``run``; it returns an :class:`Outcome`.
    """

    def decorate(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(function, eval_str=True).parameters.values()
            if parameter.name not in ("config", "run")
        ]
        flags = _flags(config) if config is not None else []
        extra = _standard_flags(has_config=config is not None, dry_run=dry_run, force=force)
        extra += [_flag(_SPEED[key], typing.get_type_hints(RunOptions)[key]) for key in speed]

        def command(**values: Any) -> None:
            speaks = _speaks()
            wants_json = values.pop("json_output")
            as_json = wants_json and speaks
            try:
                quiet = wants_json or not speaks
                outcome = _call(function, name, config, values, speed, quiet=quiet)
            except BussynthError as error:
                _fail(name, error, as_json=as_json)
                raise typer.Exit(error.exit_code) from None
            except KeyboardInterrupt:
                warn("Interrupted; no half-written output was left to be taken for whole.")
                raise typer.Exit(130) from None
            except OSError as error:
                # The file name is left out: it may be named after a patient.
                reason = error.strerror or type(error).__name__
                refusal = DataError(f"The operating system refused: {reason}.")
                _fail(name, refusal, as_json=as_json)
                raise typer.Exit(3) from None
            except Exception as error:
                absent = isinstance(error, ModuleNotFoundError) and missing_dependency(error)
                failure = absent or BussynthError(_bug(error))
                _fail(name, failure, as_json=as_json)
                raise typer.Exit(failure.exit_code) from None
            for note in outcome.notes if speaks else ():
                warn(f"Note: {note}")
            if as_json:
                print_json(
                    {
                        "schema": _SCHEMA,
                        "verb": name,
                        "status": "ok" if outcome.exit_code == 0 else "refused",
                        "exit_code": outcome.exit_code,
                        "result": outcome.data,
                    }
                )
            elif speaks:
                show(outcome.text)
            if outcome.exit_code:
                raise typer.Exit(outcome.exit_code)

        command.__doc__ = function.__doc__
        command.__name__ = function.__name__
        parameters = [*own, *flags, *extra]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {item.name: item.annotation for item in parameters}
        VERBS[name] = command, config
        return function

    return decorate


def _speaks() -> bool:
    """Whether this process prints results and notes: of several under torchrun, the first one.

    Errors are printed by all, on stderr: they may differ.
    """
    several = os.environ.get("WORLD_SIZE", "1") not in ("", "1")
    return not several or os.environ.get("RANK", "0") in ("", "0")


def _call(
    function: Callable[..., Outcome],
    name: str,
    config: type[Config] | None,
    values: dict[str, Any],
    speed: Collection[str],
    *,
    quiet: bool,
) -> Outcome:
    arguments = dict(values)
    quiet = arguments.pop("quiet") or quiet
    how = {key: arguments.pop(key) for key in speed}
    run = Run(
        dry_run=arguments.pop("dry_run", False),
        force=arguments.pop("force", False),
        options=RunOptions(**{key: value for key, value in how.items() if value is not None}),
        progress=console_progress(quiet=quiet),
    )
    if config is not None:
        file = arguments.pop("config_file")
        tables = load_toml(file, VERBS) if file is not None else {}
        settings = dict(tables.get(name, {}))
        hints = typing.get_type_hints(config)
        for item in dataclasses.fields(config):
            given = arguments.pop(item.name)
            if given is not None and given != []:
                settings[item.name] = _from_flag(_flag_names(item)[0], given, hints[item.name])
        for key, value in settings.items():
            if isinstance(value, list) and _is_tuple(hints.get(key)):
                settings[key] = tuple(value)
        arguments["config"] = config.from_dict(settings)
    return function(**arguments, run=run)


def _fail(name: str, error: BussynthError, *, as_json: bool) -> None:
    if as_json:
        details = {
            "type": type(error).__name__,
            "message": error.message,
            "problems": list(error.problems),
        }
        print_json(
            {
                "schema": _SCHEMA,
                "verb": name,
                "status": "error",
                "exit_code": error.exit_code,
                "error": details,
            }
        )
    warn(f"Error: {error}")


def _bug(error: Exception) -> str:
    """Describe an unexpected exception without its text, which may quote the data."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " <- ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return (
        f"This is a bug in bussynth ({type(error).__name__} at {where}). "
        "Please report it with this line; it holds no data."
    )


def _standard_flags(*, has_config: bool, dry_run: bool, force: bool) -> list[inspect.Parameter]:
    rows: list[tuple[str, Any, Any]] = []
    if has_config:
        help_text = "TOML file with a table for this verb; flags win over it."
        rows.append(
            (
                "config_file",
                Annotated[
                    Path | None,
                    typer.Option("--config", metavar="FILE", help=help_text, show_default=False),
                ],
                None,
            )
        )
    if dry_run:
        help_text = "Make every check that needs no heavy work, then stop."
        rows.append(("dry_run", Annotated[bool, typer.Option("--dry-run", help=help_text)], False))
    if force:
        help_text = "Replace an earlier output of bussynth."
        rows.append(("force", Annotated[bool, typer.Option("--force", help=help_text)], False))
    help_text = "Print one JSON object on stdout."
    rows.append(("json_output", Annotated[bool, typer.Option("--json", help=help_text)], False))
    help_text = "Show no progress."
    rows.append(("quiet", Annotated[bool, typer.Option("--quiet", "-q", help=help_text)], False))
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, annotation, default in rows
    ]


def _flags(config: type[Config]) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(config)
    return [_flag(item, hints[item.name]) for item in dataclasses.fields(config)]


def _flag(item: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    help_text = item.metadata.get("help", "")
    choices = item.metadata.get("choices")
    if choices:
        help_text += f" One of {', '.join(choices)}."
    shown = item.default
    if shown not in (dataclasses.MISSING, None, (), "") and shown is not False:
        text = ", ".join(map(str, shown)) if isinstance(shown, tuple) else str(shown)
        help_text += f" Default: {text}."
    flag_type = _flag_type(hint)
    names = _flag_names(item)
    if flag_type is bool:
        names = [f"{names[0]}/--no-{names[0][2:]}"]
    annotation = Annotated[
        flag_type | None,  # type: ignore[valid-type]
        typer.Option(*names, help=help_text, show_default=False),
    ]
    return inspect.Parameter(
        item.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _flag_names(item: dataclasses.Field[Any]) -> list[str]:
    return list(item.metadata.get("flags") or ["--" + item.name.replace("_", "-")])


def _flag_type(hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        return _flag_type(parts[0])
    if origin in (dict, collections.abc.Mapping):
        return list[str]
    if _is_tuple(hint):
        return list[typing.get_args(hint)[0]]  # type: ignore[misc]
    return hint


def _is_tuple(hint: Any) -> bool:
    return typing.get_origin(hint) in (tuple, list, collections.abc.Sequence)


def _from_flag(name: str, given: Any, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin in (dict, collections.abc.Mapping):
        pairs = {}
        for text in given:
            key, separator, value = text.partition("=")
            if not separator or not key:
                raise UsageError(f"{name} {text!r}: write KEY=VALUE.")
            if key in pairs:
                raise UsageError(f"{name} {key}: give it once.")
            pairs[key] = value
        return pairs
    return tuple(given) if _is_tuple(hint) else given
