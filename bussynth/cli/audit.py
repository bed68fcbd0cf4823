"""``bussynth audit``: measure whether synthetic images are safe to share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bussynth.auditing.config import AuditConfig
from bussynth.cli.verb import Outcome, Run, verb
from bussynth.errors import UsageError

__all__ = ["audit"]


@verb("audit", config=AuditConfig, dry_run=True, force=True, speed=["workers", "device"])
def audit(
    synthetic: Annotated[
        Path | None,
        typer.Argument(
            metavar="SYNTHETIC",
            help="Synthetic cohort, or a folder of images; with --self the real cohort.",
            show_default=False,
        ),
    ] = None,
    *,
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
    model: Annotated[
        Path | None,
        typer.Option(help="Model that made the images: its near-copies are planted as controls."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="If the model is an adapter: its base, if that is not built in."),
    ] = None,
    release_model: Annotated[
        bool,
        typer.Option(
            "--release-model", help="The model is to be released too: attack it by its losses."
        ),
    ] = False,
    encoder: Annotated[
        list[Path] | None,
        typer.Option(help="Your own TorchScript or ONNX encoder; may be repeated."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler to run on; needs the extra dask."),
    ] = None,
    register: Annotated[
        bool,
        typer.Option(
            "--register",
            help="Look at no synthetic image: write the settings to OUT.toml and the ledger.",
        ),
    ] = False,
    self_audit: Annotated[
        bool, typer.Option("--self", help="Search a real cohort for duplicates of its own.")
    ] = False,
) -> Outcome:
    """Search for copies of training patients and compare with patients never seen.

    Exit code 0 if there is no evidence above the demonstrated floor, 4 if the audit failed
    or was inconclusive. With --self: 0 if the cohort is clean, else 4.

    Example: bussynth audit synthetic --real cohort --out audit
    """
    scope = {"train": train, "control": control, "real": real}
    attack: dict[str, Any] = {"release_model": release_model, "encoders": tuple(encoder or ())}
    if self_audit:
        others = {
            "--real": real,
            "--train": train,
            "--control": control,
            "--patients": patients,
            "--model": model,
            "--base": base,
            "--release-model": release_model,
            "--encoder": encoder,
            "--cluster": cluster,
            "--register": register,
        }
        return _self(synthetic, out, run, [name for name, given in others.items() if given])
    if register:
        return _register(out, config, run, scope | attack)
    if synthetic is None:
        raise UsageError("SYNTHETIC is missing: give the synthetic cohort, or a folder of images.")
    inputs = {
        **scope,
        **attack,
        "patients": patients,
        "model": model,
        "base": base,
        "cluster": cluster,
    }
    return _audit(synthetic, out, config, run, inputs)


def _audit(
    synthetic: Path, out: Path, config: AuditConfig, run: Run, inputs: dict[str, Any]
) -> Outcome:
    from bussynth.auditing.run import audit as measure
    from bussynth.auditing.run import check_audit

    if run.dry_run:
        notes = check_audit(synthetic, out=out, config=config, force=run.force, **inputs)
        return Outcome(
            data={"notes": list(notes)}, text="The audit can be made.", notes=tuple(notes)
        )
    report = measure(
        synthetic,
        out=out,
        config=config,
        options=run.options,
        progress=run.progress,
        force=run.force,
        **inputs,
    )
    reasons = "\n".join(f"  - {reason}" for reason in report.reasons)
    content = report.to_dict()
    return Outcome(
        data={"out": str(out), **content},
        text=f"{report.verdict}\n{reasons}\nreport  {out / 'report.html'}",
        notes=tuple(content["ledger"]["sentences"]),
        exit_code=0 if report.passed else 4,
    )


def _register(out: Path, config: AuditConfig, run: Run, inputs: dict[str, Any]) -> Outcome:
    from bussynth.auditing.registration import check_register
    from bussynth.auditing.registration import register as write

    if run.dry_run:
        file = check_register(out=out, config=config, force=run.force, **inputs)
        return Outcome(data={"file": str(file)}, text=f"The settings can be registered in {file}.")
    done = write(out=out, config=config, force=run.force, **inputs)
    return Outcome(
        data=done.to_dict(),
        text=f"registered {done.settings}\naudit with --config {done.file}",
        notes=done.notes,
    )


def _self(real: Path | None, out: Path, run: Run, others: list[str]) -> Outcome:
    from bussynth import atomic
    from bussynth.auditing.places import refuse_overlap
    from bussynth.auditing.self_audit import MARKERS, self_audit

    if real is None:
        raise UsageError("--self needs the real cohort: bussynth audit COHORT --self --out OUT.")
    if others:
        raise UsageError(f"--self looks at one cohort alone; leave out {', '.join(others)}.")
    refuse_overlap(out, {"cohort": real})
    if run.dry_run:
        from bussynth.auditing.sources import FolderImages
        from bussynth.cohort.cohort import Cohort

        atomic.check_output(out, force=run.force, markers=MARKERS)
        known = (real / "cohort.json").is_file()
        images = len(Cohort.open(real) if known else FolderImages.open(real, "real"))
        return Outcome(data={"images": images}, text=f"{images} images can be searched.")
    found = self_audit(real, out=out, options=run.options, progress=run.progress, force=run.force)
    content = found.to_dict()
    counts = "\n".join(f"  - {name}: {count}" for name, count in content["counts"].items())
    return Outcome(
        data={"out": str(out), **content},
        text=f"{'clean' if found.clean else 'NOT CLEAN'}\n{counts}\nresults  {out}",
        exit_code=0 if found.clean else 4,
    )
