"""``bussynth phantom``: simulate a cohort, or the files of a hospital."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.cohort.phantom.config import HospitalConfig, PhantomConfig, PhantomOptions

__all__ = ["phantom"]


@verb("phantom", config=PhantomOptions, dry_run=True, force=True, speed=["workers"])
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder of the new cohort or hospital.")],
    config: PhantomOptions,
    run: Run,
) -> Outcome:
    """Simulate a cohort of phantoms: ultrasound images that belong to no patient.

    With --dicom, write the files of a hospital instead, to try what reads them: DICOM as scanners
    make it, with identifiers of patients who do not exist, and a table of labels.

    Example: bussynth phantom phantoms --patients 500 --image-size 64 --seed 1
    """
    if config.dicom:
        return _hospital(out, config.hospital(), run)
    return _cohort(out, config.cohort(), run)


def _cohort(out: Path, config: PhantomConfig, run: Run) -> Outcome:
    from bussynth.cohort.cohort import Cohort

    Cohort.check_place(out, "phantom", force=run.force)
    if run.dry_run:
        return Outcome(data=config.to_dict(), text=f"{out} can be written.")
    from bussynth.cohort.phantom.cohort import write_phantom_cohort

    cohort = write_phantom_cohort(
        out, config, options=run.options, progress=run.progress, force=run.force
    )
    return Outcome(
        data={"cohort": str(out), "digest": cohort.digest, **cohort.counts},
        text=f"{cohort.counts['images']} images of {cohort.counts['patients']} simulated "
        f"patients in {out}",
    )


def _hospital(out: Path, config: HospitalConfig, run: Run) -> Outcome:
    from bussynth.cohort.phantom.hospital.folder import check_hospital, write_phantom_hospital

    check_hospital(out, force=run.force)
    if run.dry_run:
        return Outcome(data=config.to_dict(), text=f"{out} can be written.")
    counts = write_phantom_hospital(
        out, config, options=run.options, progress=run.progress, force=run.force
    )
    return Outcome(
        data={"hospital": str(out), **counts},
        text=f"{counts['files']} files of {counts['patients']} patients who do not exist in {out}",
        notes=(
            "names and numbers are invented; truth.json is the answer key and no scanner writes it",
        ),
    )
