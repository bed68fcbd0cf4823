"""Signed packages: make a key, export an audited or private cohort, verify, inspect and load it.

Everything here runs without torch, but for comparing a privacy statement with a ledger;
:func:`load` gives a torch dataset where torch is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bussynth.package.dataset import PackageDataset as PackageDataset
    from bussynth.package.export import check_export as check_export
    from bussynth.package.export import export_package as export_package
    from bussynth.package.export_config import ExportConfig as ExportConfig
    from bussynth.package.info import PackageInfo as PackageInfo
    from bussynth.package.info import PackageWarning as PackageWarning
    from bussynth.package.keys import PublicKey as PublicKey
    from bussynth.package.keys import generate_key as generate_key
    from bussynth.package.loader import load as load
    from bussynth.package.verify import inspect_package as inspect_package
    from bussynth.package.verify import verify_package as verify_package

_HOMES = {
    "ExportConfig": "export_config",
    "PackageDataset": "dataset",
    "PackageInfo": "info",
    "PackageWarning": "info",
    "PublicKey": "keys",
    "check_export": "export",
    "export_package": "export",
    "generate_key": "keys",
    "inspect_package": "verify",
    "load": "loader",
    "verify_package": "verify",
}

__all__ = [
    "ExportConfig",
    "PackageDataset",
    "PackageInfo",
    "PackageWarning",
    "PublicKey",
    "check_export",
    "export_package",
    "generate_key",
    "inspect_package",
    "load",
    "verify_package",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that the command line shows its help without pyarrow and cryptography.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
