"""``bussynth verify``: check a package against a trusted key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb

__all__ = ["verify"]


@verb("verify")
def verify(
    package: Annotated[Path, typer.Argument(help="Folder of the package.")],
    trust: Annotated[
        list[Path], typer.Option(help="Public key of a publisher you trust; may be repeated.")
    ],
    run: Run,
) -> Outcome:
    """Check the signature of a package and every byte of it.

    Example: bussynth verify package --trust hospital.key.pub
    """
    from bussynth.package.verify import verify_package

    info = verify_package(package, trust)
    return Outcome(
        data=info.to_dict(),
        text=f"{info.name} {info.version}: {info.images} images, signature and all files match.\n"
        f"signed by  {', '.join(info.signers)}\n"
        f"audit      {info.verdict}\n"
        f"licence    {info.license}",
        notes=info.warnings,
    )
