from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from bussynth.cohort import Cohort
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.modelcard.card import check_card, write_card
from bussynth.modelcard.markdown import Verbatim, escape

Write = Callable[..., Path]
FILES = {"README.md", "samples.png", "loss.svg"}


def page(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def front_matter(text: str) -> dict[str, Any]:
    _, matter, _ = text.split("---\n", 2)
    return dict(yaml.safe_load(matter))


def about(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "about.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_card_of_the_model_alone(tmp_path: Path, model: Path, digest: str) -> None:
    papers = write_card(str(model), tmp_path / "card")
    text = page(tmp_path / "card")
    assert {path.name for path in (tmp_path / "card").iterdir()} == FILES == set(papers.files)
    assert front_matter(text)["library_name"] == "bussynth"
    assert "license" not in front_matter(text)
    assert digest in text
    assert "**No patient was seen:**" in text
    assert "Not measured: no evaluation was given." in text
    assert "Not measured: no audit was given." in text
    assert "Licence of the weights | not stated" in text
    assert "| Steps | 4 |" in text
    assert "seed 0, 12 sampling steps" in text
    assert "bussynth adapt COHORT --base MODEL" in text
    image = Image.open(io.BytesIO((tmp_path / "card" / "samples.png").read_bytes()))
    assert image.size == (8 * 98 - 2, 4 * 98 - 2)
    # Nothing of this machine or of where things lie.
    assert str(tmp_path) not in text
    assert str(model.parent) not in text


def test_a_training_that_was_ended_early_says_so(tmp_path: Path, edited: Write) -> None:
    write_card(str(edited(finished_early=True)), tmp_path / "card")
    assert "| Steps | 4, stopped before the schedule ended |" in page(tmp_path / "card")


def test_the_same_files_give_the_same_card(tmp_path: Path, model: Path) -> None:
    for name in ("one", "two"):
        write_card(str(model), tmp_path / name)
    for name in FILES:
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two, name


def test_a_card_with_all_papers(
    tmp_path: Path, model: Path, digest: str, synthetic: Cohort, evaluation: Write, audit: Write
) -> None:
    words = about(
        tmp_path,
        'name = "Phantom *base*"\nlicense = "LicenseRef-House"\ndata_license = "CC0"\n'
        'datasets = ["simulator"]\ncitation = """@misc{a,\n  title = {*}\n}"""\n'
        'intended_use = "For **tests**."\nlimitations = "Too small."\ntext = "Made up."\n',
    )
    papers = write_card(
        str(model),
        tmp_path / "card",
        evaluation=evaluation(digest),
        audit=audit(digest),
        about=words,
        samples=synthetic.path,
    )
    text = page(tmp_path / "card")
    matter = front_matter(text)
    assert matter["license"] == "other"
    assert matter["license_name"] == "licenseref-house"
    assert matter["datasets"] == ["simulator"]
    for words_ in (
        "# Phantom \\*base\\*",
        "For **tests**.",
        "    @misc{a,\n      title = {*}\n    }",
        "Too small.",
        "Made up.",
        "9 synthetic images; outlined",
        "seed 7, 2 sampling steps",
        "| pathology: AUC | 0.900 \\[0.850, 0.950\\] |",
        "| Fréchet distance | 7.250 \\[7.200, 7.300\\] |",
        "**Verdict: NO EVIDENCE ABOVE FLOOR.**",
        "| Near-copies | NO SIGN | 0 images |",
        "Membership by the model's own losses: not measured.",
        "of each of the 2 kinds that must be found, at least 99.7",
    ):
        assert words_ in text, words_
    assert "taken on trust" not in text
    assert papers.notes == ()


def test_every_table_is_whole(
    tmp_path: Path, synthetic: Cohort, model: Path, digest: str, evaluation: Write, audit: Write
) -> None:
    papers = {"evaluation": evaluation(digest), "audit": audit(digest)}
    write_card(str(model), tmp_path / "card", samples=synthetic.path, **papers)
    lines = page(tmp_path / "card").splitlines()
    heads = [number for number, line in enumerate(lines) if re.fullmatch(r"\|(---\|)+", line)]
    assert len(heads) >= 9
    for number in heads:
        columns = lines[number].count("---")
        body = number + 1
        while body < len(lines) and lines[body].startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", lines[body])) == columns + 1, lines[body]
            body += 1
        assert body > number + 1
        assert lines[body] == ""
    assert not re.search(r"\n{4}", "\n".join(lines))


def test_images_of_another_model_are_refused(
    tmp_path: Path, model: Path, adapter: Path, synthetic: Cohort, cohort: Cohort
) -> None:
    with pytest.raises(DataError, match="does not name this model"):
        check_card(str(adapter), tmp_path / "x", base=str(model), samples=synthetic.path)
    with pytest.raises(DataError, match="does not hold synthetic images"):
        check_card(str(model), tmp_path / "x", samples=cohort.path)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_cohort_is_refused(tmp_path: Path, model: Path, synthetic: Cohort) -> None:
    copy = tmp_path / "copy"
    for shard in synthetic.shards:
        (copy / shard.path).parent.mkdir(parents=True, exist_ok=True)
        (copy / shard.path).write_bytes((synthetic.path / shard.path).read_bytes() + b"x")
    (copy / "cohort.json").write_bytes((synthetic.path / "cohort.json").read_bytes())
    with pytest.raises(IntegrityError):
        check_card(str(model), tmp_path / "x", samples=copy)


def test_an_adapter(tmp_path: Path, model: Path, adapter: Path, digest: str) -> None:
    write_card(str(adapter), tmp_path / "card", base=str(model))
    text = page(tmp_path / "card")
    assert "lora" in front_matter(text)["tags"]
    assert "bussynth generate ADAPTER --base BASE --out synthetic" in text
    assert f"* a model that is not built in, `{digest}`, which learned from simulated" in text
    assert "| Rank, alpha | 2, 2 |" in text
    assert "No patient was seen: the model and all it was started from" in text
    with pytest.raises(UsageError, match="--base"):
        check_card(str(adapter), tmp_path / "other")


def test_a_model_of_patients(
    tmp_path: Path, synthetic: Cohort, cohort: Cohort, edited: Write
) -> None:
    folder = edited(cohort={"digest": cohort.digest, "kind": "real"}, patients=9)
    papers = write_card(str(folder), tmp_path / "card", samples=synthetic.path)
    text = page(tmp_path / "card")
    assert "There is no formal guarantee." in text
    assert "No patient was seen" not in text
    assert "| Patients | 9 |" in text
    assert any("No audit is given" in note for note in papers.notes)


def test_a_record_that_says_little(
    tmp_path: Path, synthetic: Cohort, cohort: Cohort, edited: Write
) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("config", "images", "patients", "seconds", "device", "versions", "parameters")
    )
    nothing["cohort"] = {"digest": cohort.digest}
    folder = edited(**nothing, processes={"host": "secret"})
    (folder / "loss.jsonl").unlink()
    papers = write_card(str(folder), tmp_path / "card", samples=synthetic.path)
    text = page(tmp_path / "card")
    assert set(papers.files) == FILES - {"loss.svg"}
    assert "Loss curve: not recorded." in text
    assert "Settings: not recorded." in text
    assert "| Patients | not recorded |" in text
    assert "No patient was seen" not in text
    assert "secret" not in text


def test_settings_that_bussynth_does_not_know_stay_out(
    tmp_path: Path, synthetic: Cohort, edited: Write
) -> None:
    folder = edited(config={"preset": "a|b\n# c", "base": "/home/x", "host": "name", "seed": 1})
    write_card(str(folder), tmp_path / "card", samples=synthetic.path)
    text = page(tmp_path / "card")
    assert "/home/x" not in text
    assert "| host |" not in text
    assert "| preset | a\\|b \\# c |" in text


def test_a_failed_audit_takes_the_images_along(
    tmp_path: Path, model: Path, digest: str, synthetic: Cohort, audit: Write
) -> None:
    failed = audit(digest, verdict="FAIL", failures=["One image equals a real one."])
    papers = write_card(str(model), tmp_path / "card", audit=failed, samples=synthetic.path)
    text = page(tmp_path / "card")
    assert "samples.png" not in {path.name for path in (tmp_path / "card").iterdir()}
    assert "No images are shown: the audit failed" in text
    assert "**Verdict: FAIL.**" in text
    assert any("audit failed" in note for note in papers.notes)


def test_what_is_taken_on_trust_is_said(
    tmp_path: Path, synthetic: Cohort, model: Path, evaluation: Write
) -> None:
    write_card(str(model), tmp_path / "card", samples=synthetic.path, evaluation=evaluation(None))
    assert "is taken on trust: the evaluation does not name it" in page(tmp_path / "card")


def test_an_evaluation_proves_the_cohort_that_was_audited(
    tmp_path: Path, model: Path, digest: str, cohort: Cohort, evaluation: Write, audit: Write
) -> None:
    made = "sha256:" + "5" * 64
    inputs = {
        "synthetic": {"digest": made, "images": 50, "source": "cohort"},
        "train": {"digest": cohort.digest, "images": 60, "source": "cohort"},
    }
    paper = audit(None, inputs=inputs)
    given = {"audit": paper, "evaluation": evaluation(digest, made)}
    assert check_card(str(model), tmp_path / "card", **given).audit is not None
    for named in ((digest, "sha256:" + "6" * 64), (None, made)):
        with pytest.raises(DataError, match="not an audit of this model's images"):
            check_card(str(model), tmp_path / "card", audit=paper, evaluation=evaluation(*named))
    with pytest.raises(DataError, match="not an audit of this model's images"):
        check_card(str(model), tmp_path / "card", audit=paper)


def test_a_promise_of_privacy(
    tmp_path: Path, synthetic: Cohort, edited: Write, digest: str, evaluation: Write
) -> None:
    claim = {"claim": "formal-dp", "epsilon": 8.0, "delta": 1e-5, "unit": "patient"}
    folder = edited(privacy=claim)
    write_card(str(folder), tmp_path / "card", samples=synthetic.path)
    text = page(tmp_path / "card")
    assert "epsilon 8 at delta 1e-05" in text
    with pytest.raises(UsageError, match="would void"):
        check_card(str(folder), tmp_path / "x", evaluation=evaluation(digest))
    record = json.loads((folder / "model.json").read_text())
    del record["training"]["privacy"]["epsilon"]
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(IntegrityError, match="without epsilon"):
        write_card(str(folder), tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_places(tmp_path: Path, model: Path, synthetic: Cohort) -> None:
    out = tmp_path / "card"
    write_card(str(model), out, samples=synthetic.path)
    with pytest.raises(UsageError, match="--force"):
        check_card(str(model), out)
    write_card(str(model), out, samples=synthetic.path, force=True)
    (out / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="other things than a model card"):
        check_card(str(model), out, force=True)
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("# Mine\n")
    with pytest.raises(UsageError, match="other things than a model card"):
        check_card(str(model), project, force=True)
    with pytest.raises(UsageError, match="overlaps"):
        check_card(str(model), model / "card")


def test_a_damaged_model_is_refused(tmp_path: Path, edited: Write) -> None:
    folder = edited()
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(IntegrityError, match="damaged"):
        check_card(str(folder), tmp_path / "x")
    with pytest.raises(UsageError, match="There is no builtin:no-such"):
        check_card("builtin:no-such", tmp_path / "x")


def test_a_record_without_its_cohort_is_refused(tmp_path: Path, edited: Write) -> None:
    with pytest.raises(IntegrityError, match="learned from"):
        check_card(str(edited(cohort=None)), tmp_path / "x")


def test_escaping() -> None:
    assert escape("a|b <i> [x](y)") == "a\\|b \\<i\\> \\[x\\](y)"
    assert escape("1. x") == "1\\. x"
    assert escape("a\nb") == "a b"
    assert escape(Verbatim("*a*")) == "*a*"
