"""Images derived from real ones: audited against their sources, as export demands it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.auditing.comparison import open_comparison
from bussynth.auditing.config import AuditConfig
from bussynth.auditing.run import audit
from bussynth.auditing.sources import open_source
from bussynth.cohort import Cohort
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.errors import AuditGateError, DataError
from bussynth.generator.restyle import restyle_cohort
from bussynth.generator.restyle_config import RestyleConfig
from bussynth.package import ExportConfig, export_package, generate_key

Worlds = dict[str, Callable[..., Any]]


class Painter:
    """Draws images that have nothing of their sources."""

    digest = "sha256:" + "5" * 64
    trained_on = "sha256:" + "6" * 64
    image_size = (16, 16)
    vocabulary = {"pathology": ["normal", "benign"], "device": ["a", "b"]}  # noqa: RUF012

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.asked = 0

    def restyle(self, images: Any, *_: Any, **__: Any) -> Any:
        self.asked += 1
        return self.draw(len(images), 1000 + self.asked)


@pytest.fixture(scope="module")
def source(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A split cohort of the kind that patients have."""
    folder = tmp_path_factory.mktemp("source")
    phantoms = worlds["real"](folder / "phantoms", split=False)
    Cohort.create(
        folder / "c", list(phantoms), kind="real", image_size=16, vocabulary=phantoms.vocabulary
    )
    return split_cohort(folder / "c", SplitConfig(control=0.5, test=0.1, seed=3)).cohort


def restyled(worlds: Worlds, source: Cohort, out: Path, split: str | None = "train") -> Cohort:
    config = RestyleConfig(to_device=("b",), split=split)
    return restyle_cohort(source, Painter(worlds["images"]), out, config)


def test_the_road_from_restyle_to_export(
    worlds: Worlds, source: Cohort, quick: AuditConfig, tmp_path: Path
) -> None:
    made = restyled(worlds, source, tmp_path / "restyled")
    report = audit(made.path, real=source.path, config=quick, out=tmp_path / "audit")
    assert report.to_dict()["inputs"]["synthetic"] == {
        "digest": made.digest, "images": len(made), "source": "cohort",
        "generator": Painter.digest, "derived": True,
    }  # fmt: skip
    notes = report.to_dict()["comparison"]["notes"]
    assert any("show the findings of these patients" in note for note in notes)
    assert any("learned from another cohort" in note for note in notes)
    generate_key(tmp_path / "site.key")
    export = (made.path, tmp_path / "audit", tmp_path / "site.key", tmp_path / "package")
    declared = ExportConfig(name="altered", declare_derived="All patients consented.")
    # So small an audit concludes nothing, and a declaration lifts no audit.
    assert report.verdict == "INCONCLUSIVE"
    with pytest.raises(AuditGateError, match="inconclusive"):
        export_package(*export, config=declared)
    with pytest.raises(DataError, match="personal data"):
        export_package(*export, config=ExportConfig(name="altered"))
    # What stands in a report of an audit that is large enough lets them pass.
    file = tmp_path / "audit" / "report.json"
    content = json.loads(file.read_text()) | {"verdict": "NO EVIDENCE ABOVE FLOOR"}
    file.write_text(json.dumps(content))
    (tmp_path / "audit" / "report.sha256").unlink()
    info = export_package(*export, config=declared)
    assert info.manifest.derived == "All patients consented."


def test_pages_that_may_leave_show_no_derived_image(
    worlds: Worlds, source: Cohort, quick: AuditConfig, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("bussynth.auditing.record.PASSED", "INCONCLUSIVE")
    made = restyled(worlds, source, tmp_path / "restyled")
    assert audit(made, real=source, config=quick).grid_png is None
    plain = worlds["synthetic"](tmp_path / "s", worlds["images"](20, 77))
    assert audit(plain, real=source, config=quick).grid_png is not None


def test_other_cohorts_than_the_source_are_refused(
    worlds: Worlds, source: Cohort, real: Cohort, tmp_path: Path
) -> None:
    made = restyled(worlds, source, tmp_path / "restyled")
    with pytest.raises(DataError, match="derived from another cohort than the one"):
        open_comparison(made, real=real)
    images = worlds["images"](4, 5)
    with pytest.raises(DataError, match="--real COHORT"):
        open_comparison(made, train=images[:2], control=images[2:])


def test_images_of_others_than_training_patients_are_refused(
    worlds: Worlds, source: Cohort, tmp_path: Path
) -> None:
    for number, split in enumerate((None, "control")):
        made = restyled(worlds, source, tmp_path / str(number), split)
        with pytest.raises(DataError, match="restyle --split train") as caught:
            open_source(made, "synthetic")
        assert "was derived" in caught.value.message
        assert "secret-" not in caught.value.message
    with pytest.raises(DataError, match="swapped"):
        open_source(source, "synthetic")
