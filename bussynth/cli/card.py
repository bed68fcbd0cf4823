"""``bussynth card``: the card of a model, from its own papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bussynth.cli.verb import Outcome, Run, verb

__all__ = ["card"]


@verb("card", dry_run=True, force=True)
def card(
    model: Annotated[str, typer.Argument(help="Folder of a model or an adapter, or builtin:NAME.")],
    out: Annotated[Path, typer.Option(help="Folder of README.md, samples.png and loss.svg.")],
    run: Run,
    base: Annotated[
        str | None,
        typer.Option(
            help="What it was fitted to or started from, if not built in.", show_default=False
        ),
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Evaluation of images of this model.")
    ] = None,
    audit: Annotated[Path | None, typer.Option(help="Audit of images of this model.")] = None,
    about: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML file: name, license, data_license, datasets, citation, intended_use, "
            "limitations, text.",
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="Synthetic cohort of this model to show; else 32 images are made."),
    ] = None,
) -> Outcome:
    """Write the card of a model: what it is, what it learned from, what was measured of it.

    Every number comes from a file: the record in the model's folder, an evaluation, an audit.
    What was not measured is said to be so. An evaluation or an audit of another model's images
    is refused, and so is an audit made without --model whose images nothing shows to be this
    model's: a wrapped or loose folder.

    Example: bussynth card model --evaluation evaluation --audit audit --out card
    """
    from bussynth.modelcard.card import check_card, write_card

    arguments: dict[str, Any] = {
        "base": base,
        "evaluation": evaluation,
        "audit": audit,
        "about": about,
        "samples": samples,
    }
    if run.dry_run:
        papers = check_card(model, out, force=run.force, **arguments)
    else:
        papers = write_card(model, out, progress=run.progress, force=run.force, **arguments)
    data = {
        "card": str(out),
        "model": papers.model.digest,
        "files": list(papers.files),
        "loss": papers.loss is not None,
        "evaluation": papers.quality is not None,
        "audit": None if papers.audit is None else papers.audit.verdict,
    }
    missing = [name for name in ("loss", "evaluation", "audit") if not data[name]]
    text = f"card  {out / 'README.md'}" if not run.dry_run else f"A card can be written into {out}."
    if missing:
        text += f"\nnot measured: {', '.join(missing)}"
    return Outcome(data=data, text=text, notes=papers.notes)
