"""Private Evolution of a cohort: bred from a public generator, and what it leaves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from audits.features.random_multiscale import RandomMultiscaleMap
from bussynth.cli import app
from bussynth.cohort import Cohort
from bussynth.cohort.cohort import LEDGER_FILE
from bussynth.config import RunOptions
from bussynth.errors import UsageError
from bussynth.generator import evolution
from bussynth.generator.evolution import check_evolve, evolve_cohort
from bussynth.generator.evolution_config import EvolveConfig
from bussynth.generator.private_plan import open_ledger

CPU = RunOptions(device="cpu")


def asked(model_folder: Path, **settings: Any) -> EvolveConfig:
    usual: dict[str, Any] = {
        "dp_epsilon": 5.0, "dp_patients": 30, "n": 10, "rounds": 2, "candidates": 9, "steps": 2,
    }  # fmt: skip
    return EvolveConfig(base=str(model_folder), **usual | settings)


@pytest.fixture
def hospital(site: Cohort, tmp_path: Path) -> Cohort:
    return Cohort.open(shutil.copytree(site.path, tmp_path / "hospital"))


def test_a_bred_cohort_says_what_it_costs(
    hospital: Cohort, model_folder: Path, tmp_path: Path
) -> None:
    made = evolve_cohort(hospital, tmp_path / "s", asked(model_folder), options=CPU)
    assert len(made) == 10
    assert made.kind == "synthetic"
    privacy = made.provenance["privacy"]
    spent = open_ledger(hospital).spent()
    assert 0 < privacy["epsilon"] == spent.epsilon <= 5.0
    (votes,) = privacy["statement"]["mechanisms"]
    assert votes["sampling_rate"] == 1
    text = (made.path / "cohort.json").read_text()
    assert hospital.digest not in text
    assert "matrix" not in text, "a device of the hospital that nobody declared"
    assert {path.name for path in tmp_path.iterdir()} == {"hospital", "s"}, "no work is left"


def test_a_stopped_evolution_goes_on_and_pays_once(
    hospital: Cohort, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, keep = asked(model_folder, rounds=3), evolution._Work.keep

    def then_stop(self: evolution._Work, done: Any) -> None:
        keep(self, done)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evolution._Work, "keep", then_stop)
        with pytest.raises(KeyboardInterrupt):
            evolve_cohort(hospital, tmp_path / "s", config, options=CPU)
    assert not (tmp_path / "s").exists()
    assert open_ledger(hospital).registered()[0].taken == 1
    evolve_cohort(hospital, tmp_path / "s", config, options=CPU)
    (one,) = open_ledger(hospital).registered()
    assert one.taken == 3


def test_votes_draw_images_towards_the_patients(
    hospital: Cohort, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privacy.dp.histogram.gaussian", lambda n: np.zeros(n).view(_Silent))
    config = asked(
        model_folder, candidates=30, n=30, threshold=0.0, first_strength=0.2, last_strength=0.1
    )
    bred = evolve_cohort(hospital, tmp_path / "s", config, options=CPU).images()
    breeder = evolution._Breeder(evolution.Generator.load(model_folder, "cpu"), config, CPU)
    space = RandomMultiscaleMap()
    wanted = space.features(hospital.select(split="train").images())

    def distance(images: Any) -> float:
        """From an image to the nearest one of a patient, in the mean."""
        gaps = np.linalg.norm(space.features(images)[:, None] - wanted, axis=2)
        return float(gaps.min(axis=1).mean())

    assert distance(bred) < 0.9 * distance(breeder.propose(np.repeat([0, 1, 2], 10)).images)


class _Silent(np.ndarray[Any, Any]):
    """Noise of nothing."""

    def numpy(self) -> Any:
        return np.asarray(self)


def test_what_cannot_be_bred(
    hospital: Cohort, larger_site: Cohort, unsplit_cohort: Cohort, cohort: Cohort,
    model_folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    config, out = asked(model_folder), tmp_path / "s"
    with pytest.raises(UsageError, match="another size"):
        check_evolve(larger_site, out, config)
    with pytest.raises(UsageError, match="not split"):
        check_evolve(unsplit_cohort, out, config)
    with pytest.raises(UsageError, match="very cohort"):
        check_evolve(cohort, out, config)
    with pytest.raises(UsageError, match="at least one of each"):
        check_evolve(hospital, out, asked(model_folder, candidates=2))
    with pytest.raises(UsageError, match="tenth of one"):
        check_evolve(hospital, out, asked(model_folder, dp_delta=0.01))
    with pytest.raises(UsageError, match="dp_epsilon: give"):
        EvolveConfig()
    made = evolve_cohort(hospital, out, config, options=CPU)
    with pytest.raises(UsageError, match="exists"):
        evolve_cohort(hospital, out, config, options=CPU)
    with pytest.raises(UsageError, match="no patients"):
        check_evolve(made, tmp_path / "t", config)
    with pytest.raises(UsageError, match="cap of these patients"):
        evolve_cohort(hospital, tmp_path / "t", asked(model_folder, seed=1), options=CPU)
    assert not list(tmp_path.glob(".t*")), "a refusal leaves nothing"


def test_on_the_command_line(hospital: Cohort, model_folder: Path, tmp_path: Path) -> None:
    flags = ["--base", str(model_folder), "--dp-epsilon", "3", "--dp-patients", "50", "--dry-run"]
    arguments = ["evolve", str(hospital.path), "--out", str(tmp_path / "s"), *flags]
    shown = CliRunner().invoke(app.app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "8 rounds of votes on 200 images" in shown.output
    assert not (hospital.path / LEDGER_FILE).exists(), "a plan spends nothing"
