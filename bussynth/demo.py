"""The whole road on simulated images: what a new user runs first."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bussynth import atomic
from bussynth.cohort.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.demo_config import DemoConfig
from bussynth.errors import AuditGateError
from bussynth.progress import SILENT, Progress

__all__ = ["DemoResult", "run_demo"]

_MARKER = "bussynth-demo.json"


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """Where everything lies and how long it took."""

    out: Path
    verdict: str
    loaded_images: int
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            "out": str(self.out),
            "verdict": self.verdict,
            "loaded_images": self.loaded_images,
            "seconds": self.seconds,
            "report": str(self.out / "audit" / "report.html"),
            "grid": str(self.out / "samples.png"),
            "package": str(self.out / "package"),
        }

    def to_text(self) -> str:
        """Return the closing lines for people."""
        total = sum(self.seconds.values())
        steps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        return "\n".join(
            [
                f"Audit     {self.verdict}",
                f"Report    {self.out / 'audit' / 'report.html'}",
                f"Pictures  {self.out / 'samples.png'}   (left: phantoms, right: synthetic)",
                f"Package   {self.out / 'package'}   ({self.loaded_images} images, verified)",
                f"Took      {total:.0f} s: {steps}",
                "",
                'Load it:  python -c "import bussynth; print(bussynth.load('
                f"'{self.out / 'package'}', trust='{self.out / 'demo.key.pub'}'))\"",
            ]
        )


def run_demo(
    out: Path,
    config: DemoConfig,
    *,
    options: RunOptions,
    progress: Progress = SILENT,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> DemoResult:
    """Walk from phantoms to a loaded package.

    Args:
        out: Folder of all results.
        config: Size of the demo.
        options: Workers and device.
        progress: Where to report.
        force: Replace an earlier demo.
        say: Called with a line before each step.

    Raises:
        UsageError: ``out`` exists and may not be replaced.
        AuditGateError: The audit forbids the package; its report is kept.
    """
    from bussynth.auditing.config import AuditConfig
    from bussynth.auditing.run import audit
    from bussynth.cohort.phantom.cohort import write_phantom_cohort
    from bussynth.cohort.phantom.config import PhantomConfig
    from bussynth.cohort.split import split_cohort
    from bussynth.cohort.split_config import SplitConfig
    from bussynth.generator.config import GenerateConfig, TrainConfig
    from bussynth.generator.generate import generate_cohort
    from bussynth.generator.generator import Generator
    from bussynth.grid import draw_pair, first_rows
    from bussynth.package.export import export_package
    from bussynth.package.export_config import ExportConfig
    from bussynth.package.keys import generate_key
    from bussynth.package.loader import load

    seconds: dict[str, float] = {}
    clock = time.monotonic()

    def lap(name: str) -> None:
        nonlocal clock
        now = time.monotonic()
        seconds[name], clock = round(now - clock, 1), now

    atomic.check_output(out, force=force, markers=(_MARKER,))
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    atomic.write_json(out / _MARKER, config.to_dict())
    # Each step leaves a whole output or none, and what an unhappy audit found stays to be read.
    say(f"1/8 phantom   {config.patients} simulated patients")
    phantoms = write_phantom_cohort(
        out / "phantoms",
        PhantomConfig(
            patients=config.patients,
            image_size=config.image_size,
            min_views=1,
            max_views=2,
            seed=config.seed,
        ),
        options=replace(options, workers=max(options.workers, min(2, os.cpu_count() or 1))),
        progress=progress,
    )
    lap("phantom")
    say("2/8 split     train, control and test patients, by a recorded lottery")
    split_cohort(
        phantoms.path,
        SplitConfig(control=0.25, test=0.1, seed=config.seed),
        progress=progress,
    )
    phantoms = Cohort.open(phantoms.path)
    lap("split")
    say(f"3/8 train     a small diffusion model, {config.minutes:g} min")
    Generator.train(
        phantoms,
        out / "model",
        TrainConfig(minutes=config.minutes, seed=config.seed),
        options=options,
        progress=progress,
    )
    lap("train")
    say(f"4/8 generate  {config.n} synthetic images")
    synthetic = generate_cohort(
        out / "model",
        out / "synthetic",
        GenerateConfig(n=config.n, seed=config.seed, steps=12),
        options=options,
        progress=progress,
    )
    atomic.write_bytes(
        out / "samples.png",
        draw_pair(first_rows(phantoms, 32), first_rows(synthetic, 32)),
    )
    lap("generate")
    say("5/8 audit     is any of them a copy of a patient?")
    report = audit(
        synthetic,
        real=phantoms,
        out=out / "audit",
        config=AuditConfig(seed=config.seed),
        options=options,
        progress=progress,
    )
    lap("audit")
    if not report.passed:
        raise AuditGateError(
            f"The audit says {report.verdict}, so no package is made; read "
            f"{out / 'audit' / 'report.html'}.",
            report.reasons,
        )
    say("6/8 export    sign the package")
    generate_key(out / "demo.key")
    export_package(
        out / "synthetic",
        out / "audit",
        out / "demo.key",
        out / "package",
        config=ExportConfig(name="bussynth-demo"),
        progress=progress,
    )
    lap("export")
    say("7/8 verify    signature and every file")
    say("8/8 load      as a data set")
    dataset = load(out / "package", trust=out / "demo.key.pub")
    lap("verify and load")
    return DemoResult(out=out, verdict=report.verdict, loaded_images=len(dataset), seconds=seconds)
