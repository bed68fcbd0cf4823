"""The reference of the command line as Markdown, made from the commands themselves.

``python -m bussynth.cli.reference > docs/cli.md`` writes it; a test compares it.
"""

from __future__ import annotations

import inspect
import sys
import typing
from typing import Any

from typer.models import ArgumentInfo, OptionInfo

from bussynth.cli import app
from bussynth.cli.verb import VERBS

__all__ = ["reference"]

_INTRO = """\
# Command line

Made by `python -m bussynth.cli.reference`; do not edit by hand.

The result goes to stdout, progress and errors to stderr. `--json` prints one object
`{schema, verb, status, exit_code, result}` on stdout, or `error` in place of `result`.
A TOML file given with `--config` has a table for each verb; its keys are the names of the
flags with underscores (for `--condition` the table `conditions`).
Flags win over the file, the file over the defaults; unknown keys
are errors.

| exit code | meaning |
|---|---|
| 0 | ok |
| 1 | a bug in bussynth |
| 2 | wrong usage or configuration |
| 3 | input data refused, or the operating system refused |
| 4 | the audit failed or was inconclusive, or forbids an export |
| 5 | a signature or digest does not match |
| 130 | interrupted |
"""


def reference() -> str:
    """Return the reference of all verbs as Markdown."""
    return "\n".join([_INTRO, *(_section(name) for name in app.ORDER)])


def _section(name: str) -> str:
    command, config = VERBS[name]
    lines = [f"## bussynth {name}", "", inspect.cleandoc(command.__doc__ or ""), ""]
    rows = []
    for parameter in inspect.signature(command).parameters.values():
        info = _info(parameter.annotation)
        if isinstance(info, ArgumentInfo):
            rows.append((f"`{parameter.name.upper()}`", info.help or ""))
        elif isinstance(info, OptionInfo):
            # In an annotation typer keeps the first name of a flag where a default would be.
            named = [info.default, *(info.param_decls or ())]
            flags = [flag for flag in named if isinstance(flag, str) and flag.startswith("-")]
            flags = flags or [f"--{parameter.name.replace('_', '-')}"]
            required = parameter.default is inspect.Parameter.empty and not _optional(parameter)
            text = (info.help or "") + (" Required." if required else "")
            rows.append((", ".join(f"`{flag}`" for flag in flags), text))
    lines += ["| argument | meaning |", "|---|---|"]
    lines += [f"| {flag} | {text.replace('|', '/')} |" for flag, text in rows]
    if config is not None:
        lines += ["", f"TOML table `[{name}]`; Python: `{config.__module__}.{config.__name__}`."]
    return "\n".join([*lines, ""])


def _info(annotation: Any) -> Any:
    return next(iter(getattr(annotation, "__metadata__", ())), None)


def _optional(parameter: inspect.Parameter) -> bool:
    return type(None) in typing.get_args(typing.get_args(parameter.annotation)[0])


if __name__ == "__main__":
    sys.stdout.write(reference())
