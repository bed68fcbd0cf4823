"""The command line: one thin module a verb, heavy imports inside the commands."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the ``bussynth`` script."""
    from bussynth.cli import app

    app.app(prog_name="bussynth")
