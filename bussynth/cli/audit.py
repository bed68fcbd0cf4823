"""``bussynth audit``: measure whether synthetic images are safe to share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.auditing.config import AuditConfig
from bussynth.cli.verb import Outcome, Run, verb

__all__ = ["audit"]


@verb("audit", config=AuditConfig, dry_run=True, force=True, speed=["workers"])
def audit(
    synthetic: Annotated[Path, typer.Argument(help="Synthetic cohort, or a folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder of the audit: report.html, report.json.")],
    config: AuditConfig,
    run: Run,
    real: Annotated[
        Path | None, typer.Option(help="Real cohort whose train and control patients to use.")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(help="Images the generator learned from: cohort or folder.")
    ] = None,
    control: Annotated[
        Path | None, typer.Option(help="Images it never saw, of other patients, drawn likewise.")
    ] = None,
    patients: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns file and patient, for folders of images."),
    ] = None,
) -> Outcome:
    """Search for copies of training patients and compare with patients never seen.

    Exit code 0 if there is no evidence above the demonstrated floor, 4 if the audit failed
    or was inconclusive.

    Example: bussynth audit synthetic --real cohort --out audit
    """
    from bussynth.auditing.run import audit as measure
    from bussynth.auditing.run import check_audit

    if run.dry_run:
        notes = check_audit(
            synthetic,
            train=train,
            control=control,
            real=real,
            patients=patients,
            out=out,
            config=config,
            force=run.force,
        )
        return Outcome(
            data={"notes": list(notes)}, text="The audit can be made.", notes=tuple(notes)
        )
    report = measure(
        synthetic,
        train=train,
        control=control,
        real=real,
        patients=patients,
        out=out,
        config=config,
        options=run.options,
        progress=run.progress,
        force=run.force,
    )
    reasons = "\n".join(f"  - {reason}" for reason in report.reasons)
    return Outcome(
        data={"out": str(out), **report.to_dict()},
        text=f"{report.verdict}\n{reasons}\nreport  {out / 'report.html'}",
        exit_code=0 if report.passed else 4,
    )
