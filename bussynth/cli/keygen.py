"""``bussynth keygen``: make the pair of keys that signs packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb

__all__ = ["keygen"]


@verb("keygen", force=True)
def keygen(
    path: Annotated[Path, typer.Argument(help="File of the private key, e.g. hospital.key.")],
    run: Run,
) -> Outcome:
    """Make an Ed25519 key pair: a private key to keep and a public key to hand out.

    Example: bussynth keygen hospital.key
    """
    from bussynth.package.keys import generate_key

    public = generate_key(path, force=run.force)
    public_path = Path(f"{path}.pub")
    return Outcome(
        data={"private_key": str(path), "public_key": str(public_path), "key_id": public.key_id},
        text=f"private key  {path}   keep it secret\n"
        f"public key   {public_path}   give it to collaborators\n"
        f"key id       {public.key_id}",
    )
