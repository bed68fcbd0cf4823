from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.cohort import Cohort
from bussynth.errors import IntegrityError, UsageError
from bussynth.package import ExportConfig, PackageWarning, export_package, load
from bussynth.package import loader as loader_module


def test_loads(site: Any) -> None:
    data = load(site.package, trust=site.trust, split="train", framework="numpy")
    assert len(data) == 6
    assert data.info.verified


def test_wrong_arguments(site: Any) -> None:
    for arguments in ({"split": "test"}, {"framework": "jax"}, {"trust": []}):
        with pytest.raises(UsageError):
            load(site.package, **({"trust": site.trust} | arguments))


def test_trust_has_no_default(site: Any) -> None:
    with pytest.raises(TypeError):
        load(site.package)  # type: ignore[call-arg]


def test_inconclusive_audit_warns(
    tmp_path: Path, site: Any, new_audit: Callable[..., Path]
) -> None:
    audit = new_audit(tmp_path / "a", site.cohort, verdict="INCONCLUSIVE")
    config = ExportConfig(name="demo-bus", accept_inconclusive=True)
    export_package(site.cohort.path, audit, site.key, tmp_path / "p", config=config)
    with pytest.warns(PackageWarning, match="INCONCLUSIVE") as caught:
        load(tmp_path / "p", trust=site.trust)
    assert caught[0].filename == __file__


def test_file_exchanged_after_the_check_is_noticed(
    package: Path, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = package / "data" / "train-00000-of-00001.parquet"
    original = loader_module.read_cohort

    def exchange(*arguments: Any) -> Any:
        data = bytearray(shard.read_bytes())
        data[100] ^= 1
        shard.write_bytes(data)
        return original(*arguments)

    monkeypatch.setattr(loader_module, "read_cohort", exchange)
    with pytest.raises(IntegrityError, match="changed"):
        load(package, trust=site.trust)


def test_dataset_outlives_the_folder(package: Path, site: Any) -> None:
    data = load(package, trust=site.trust, framework="numpy")
    shutil.rmtree(package)
    assert data[5]["image"].shape == (1, 16, 20)


def test_light_core_needs_no_heavy_package(site: Any) -> None:
    script = """
        import sys
        BLOCKED = {"torch", "diffusers", "faiss", "scipy", "skimage", "pandas", "matplotlib"}
        class Block:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in BLOCKED:
                    raise ImportError(name + " is blocked")
        sys.meta_path.insert(0, Block())
        from bussynth.errors import MissingDependencyError
        from bussynth.package import inspect_package, load, verify_package
        path, trust = sys.argv[1:]
        inspect_package(path)
        verify_package(path, trust)
        data = load(path, trust=trust)
        print(type(data).__name__, data[0]["image"].shape, len(data))
        for call in (data.to_pandas, lambda: load(path, trust=trust, framework="torch")):
            try:
                call()
            except MissingDependencyError as error:
                print("pip install" in str(error))
        print(sorted(BLOCKED & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(site.package), str(site.trust)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "PackageDataset (1, 16, 20) 6",
        "True",
        "True",
        "[]",
    ], done.stderr


def test_importing_the_room_is_light() -> None:
    script = (
        "import sys, bussynth.package;"
        "print(sorted(set(sys.modules) & {'pyarrow', 'torch', 'cryptography', 'numpy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_stock_reader_opens_the_package(site: Any) -> None:
    cohort = Cohort.open(site.package)
    assert cohort.images().shape == (6, 16, 20)
