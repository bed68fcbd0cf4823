"""``bussynth verify``: check a package against a trusted key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb

if TYPE_CHECKING:
    from bussynth.package.info import PackageInfo

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
        f"{_privacy(info)}\n"
        f"licence    {info.license}",
        notes=info.warnings,
    )


def _privacy(info: PackageInfo) -> str:
    """What is claimed. A signature says who claims it, not that it is so."""
    guarantee = info.manifest.guarantee
    if guarantee is None:
        return f"audit      {info.verdict}"
    checked = "was" if guarantee.ledger_checked else "was not"
    return (
        f"claim      {info.claim}: {guarantee.words()}\n"
        f"neighbours {guarantee.adjacency}\n"
        f"statement  reports/privacy-statement.md; it {checked} compared with the ledger at export"
    )
