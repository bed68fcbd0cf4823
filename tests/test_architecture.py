"""The walls of the house: who may import whom, what an import costs, what is public."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import audits
import bussynth
import privacy

ROOT = Path(bussynth.__file__).parent.parent
HEAVY = ("torch", "diffusers", "faiss", "scipy", "skimage", "matplotlib", "pandas")


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("privacy", {"bussynth", "audits"}), ("audits", {"bussynth", "privacy"})],
)
def test_dependencies_point_one_way(package: str, forbidden: set[str]) -> None:
    assert modules(package)
    for path in modules(package):
        assert not imported(path) & forbidden, path


def test_no_module_unpickles_or_asserts() -> None:
    for package in ("bussynth", "privacy", "audits"):
        for path in modules(package):
            assert not imported(path) & {"pickle", "cloudpickle", "dill", "joblib"}, path
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), path


def test_files_stay_readable() -> None:
    for package in ("bussynth", "privacy", "audits"):
        for path in modules(package):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 600, path


def run(program: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd="/"
    )


def test_importing_bussynth_and_its_command_line_is_light() -> None:
    program = (
        "import sys, bussynth, bussynth.cli.app\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert run(program).stdout.strip() == "[]"


def test_light_core_has_no_heavy_imports_at_all() -> None:
    program = (
        "import sys\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"
        "import bussynth\n"
        "bussynth.Cohort, bussynth.load, bussynth.verify\n"
        "import bussynth.inspection\n"
    )
    done = run(program)
    assert done.returncode == 0, done.stderr


def test_the_light_core_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"
        "import bussynth\n"
        "try: bussynth.phantom(sys.argv[1] + '/a', patients=2)\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
        "from bussynth.cli import app\n"
        "app.app(['phantom', sys.argv[1] + '/b'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "MissingDependencyError" in done.stdout
    assert done.returncode == 2
    assert "pip install 'bussynth[full]'" in done.stderr


def test_public_names_exist_and_are_sorted() -> None:
    assert sorted(bussynth.__all__) == bussynth.__all__
    for name in bussynth.__all__:
        assert getattr(bussynth, name).__doc__, name
    with pytest.raises(AttributeError):
        bussynth.anonymise  # noqa: B018


def test_no_room_takes_the_name_of_a_public_function() -> None:
    # Importing a submodule sets it as an attribute of the package, over a function of that name.
    rooms = {path.stem for path in (ROOT / "bussynth").iterdir()}
    assert not rooms & set(bussynth.__all__)


@pytest.mark.parametrize("name", ["privacy", "audits"])
def test_a_shadowing_module_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import bussynth.{name}"
    done = run(program)
    assert done.returncode == 1
    assert "not part of bussynth" in done.stderr


def test_facades_give_the_same_objects() -> None:
    import bussynth.audits
    import bussynth.privacy

    for facade in (bussynth.audits, bussynth.privacy):
        for name in facade.__all__:
            assert getattr(facade, name).__module__.split(".")[0] in ("privacy", "audits")
    assert privacy.__distribution__ == audits.__distribution__ == "bussynth"
