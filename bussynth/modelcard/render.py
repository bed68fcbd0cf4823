"""From papers to the page ``README.md``, with the front matter that model hubs read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jinja2

from bussynth.builtin import BUILTIN
from bussynth.modelcard.about import About
from bussynth.modelcard.audit import AuditSummary
from bussynth.modelcard.evaluation import Quality
from bussynth.modelcard.loss import LossCurve
from bussynth.modelcard.markdown import Verbatim, escape
from bussynth.modelcard.model import CardModel
from bussynth.modelcard.place import LOSS_IMAGE, SAMPLES_IMAGE, SIGN
from bussynth.modelcard.privacy import dp_claim
from bussynth.modelcard.samples import Samples
from bussynth.package.card import license_url
from bussynth.record import field, mapping, number, text, whole
from bussynth.report import formats

__all__ = ["render_card"]

_UNKNOWN: Final = "not recorded"
_KINDS: Final = {
    "phantom": "simulated phantoms",
    "real": "examinations of patients",
    "synthetic": "synthetic images of another generator",
}

_PREDICTIONS: Final = {
    "edm": "preconditioned as EDM (Karras et al. 2022)",
    "epsilon": "the noise (epsilon)",
}


def render_card(
    *,
    model: CardModel,
    about: About,
    loss: LossCurve | None,
    samples: Samples | None,
    quality: Quality | None,
    audit: AuditSummary | None,
) -> str:
    """Render a model card.

    Args:
        model: The model.
        about: Words of the publisher.
        loss: Loss of the training, drawn in ``loss.svg``, or None.
        samples: What ``samples.png`` shows, or None if nothing is shown.
        quality: The evaluation, or None.
        audit: The audit, or None.

    Returns:
        CommonMark with tables, after a YAML front matter.

    Raises:
        IntegrityError: The training record makes a promise of privacy without its numbers.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # The output is Markdown: `finalize` escapes for it; HTML escaping would double that.
        autoescape=False,
    )
    environment.filters |= {"count": _count}
    return environment.get_template("README.md.j2").render(
        front_matter=Verbatim(_front_matter(model, about)),
        title=_title(model, about),
        model=model,
        about=about,
        prose={
            key: None if value is None else Verbatim(value.strip())
            for key, value in about.to_dict().items()
            if key in ("citation", "intended_use", "limitations", "text")
        },
        citation=Verbatim(_indented(about.citation)),
        license_page=None if about.license is None else license_url(about.license),
        commands=Verbatim("\n".join(_commands(model))),
        # In code spans nothing is interpreted; digests are held to plain characters.
        digest=Verbatim(model.digest),
        kind=_KINDS.get(model.kind or "", _UNKNOWN),
        phantoms_only=model.lineage.phantoms_only(model.kind),
        ancestors=[_ancestor(one.digest, one.name, one.kind) for one in model.lineage.ancestors],
        data=list(_data(model)),
        network=list(_network(model)),
        training=list(_training(model, loss)),
        config=[(key, _setting(value)) for key, value in model.config.items()],
        boxes=bool(model.stored.prior.boxes),
        loss=loss,
        loss_image=Verbatim(LOSS_IMAGE),
        samples=samples,
        samples_image=Verbatim(SAMPLES_IMAGE),
        quality=quality,
        audit=audit,
        claim=dp_claim(model.training),
    )


def _title(model: CardModel, about: About) -> str:
    if about.name is not None:
        return about.name
    if model.name is not None:
        return model.name.removeprefix(BUILTIN)
    what = "adapter" if model.is_adapter else "model"
    return f"bussynth {what} {model.digest.removeprefix('sha256:')[:12]}"


def _front_matter(model: CardModel, about: About) -> str:
    matter: dict[str, Any] = {}
    if about.license is not None:
        own = about.license.startswith("LicenseRef-")
        matter["license"] = "other" if own else about.license.lower()
        if own:
            matter["license_name"] = about.license.lower()
    matter["pipeline_tag"] = "unconditional-image-generation"
    matter["tags"] = [
        *("medical", "ultrasound", "breast", "diffusion", "synthetic"),
        *(["lora"] if model.is_adapter else []),
        *(["phantom"] if model.lineage.phantoms_only(model.kind) else []),
    ]
    matter["datasets"] = list(about.datasets) or [model.cohort]
    # JSON values are YAML values, so nothing in a text can end the front matter early.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in matter.items()]
    return "\n".join([SIGN, *lines])


def _commands(model: CardModel) -> Iterator[str]:
    """How to generate, adapt and audit; only names that are the same everywhere."""
    source = model.name or ("ADAPTER" if model.is_adapter else "MODEL")
    first = model.lineage.ancestors[0].name if model.lineage.ancestors else None
    base = first or "BASE"
    if model.is_adapter:
        needed = "" if first is not None else f" --base {base}"
        yield f"bussynth generate {source}{needed} --out synthetic -n 500"
        yield f"bussynth adapt COHORT --base {base} --out adapter"
    else:
        yield f"bussynth generate {source} --out synthetic -n 500"
        yield f"bussynth adapt COHORT --base {source} --out adapter"
    readable = model.name is None and (not model.is_adapter or first is not None)
    helped = f" --model {source}" if readable else ""
    yield f"bussynth audit synthetic --real TRAINING-COHORT{helped} --out audit"


def _ancestor(digest: str | None, name: str | None, kind: str | None) -> Mapping[str, Any]:
    return {
        "digest": Verbatim(digest or _UNKNOWN),
        "name": name,
        "kind": _KINDS.get(kind or "", _UNKNOWN),
    }


def _data(model: CardModel) -> Iterator[tuple[str, Any]]:
    yield "Kind", _KINDS.get(model.kind or "", _UNKNOWN)
    patients = _count(whole(model.training.get("patients")))
    if model.kind == "phantom":
        yield "Patients", f"none; {patients} simulated"
    elif model.kind == "synthetic":
        yield "Patients", "not known of synthetic images"
    else:
        yield "Patients", patients
    yield "Images", _count(whole(model.training.get("images")))
    yield "Cohort", model.cohort


def _network(model: CardModel) -> Iterator[tuple[str, Any]]:
    architecture = model.stored.architecture
    height, width = architecture.image_size
    reduced = f"Haar transform by {architecture.factor}" if architecture.factor > 1 else "pixels"
    levels = [
        f"{channels}{' with attention' if attention else ''}"
        for channels, attention in zip(architecture.channels, architecture.attention, strict=True)
    ]
    yield "Kind", "diffusion model" + (" (adapter of a base)" if model.is_adapter else "")
    yield "Images", f"8-bit grey, {width} × {height} pixels"
    yield (
        "Works on",
        f"{reduced}, maps of {architecture.latent_size[1]} × " + str(architecture.latent_size[0]),
    )
    yield "Channels by level", ", ".join(levels)
    yield "Residual layers a level", architecture.layers
    yield "Prediction", _PREDICTIONS.get(architecture.prediction, architecture.prediction)
    yield "Preset", text(field(model.training, "config", "preset")) or _UNKNOWN
    yield "Parameters", _count(whole(model.training.get("parameters")))
    if model.is_adapter:
        yield "Of these trained", _count(whole(model.training.get("trained_parameters")))
        yield "Rank, alpha", f"{model.record['rank']}, {model.record['alpha']:g}"
    beside = ", without the base" if model.is_adapter else ""
    yield "Size on disk", f"{model.bytes / 1e6:.2f} MB{beside}"
    yield "Precision of the weights", model.precision


def _training(model: CardModel, loss: LossCurve | None) -> Iterator[tuple[str, Any]]:
    record = model.training
    early = ", stopped before the schedule ended" if record.get("finished_early") is True else ""
    yield "Steps", _count(whole(record.get("steps"))) + early
    yield "Time", _time(number(record.get("seconds")))
    yield "Device", text(record.get("device")) or _UNKNOWN
    yield "Processes", _count(whole(record.get("processes")))
    if loss is not None:
        yield f"Loss, mean of the first {loss.steps[0]:,} steps", f"{loss.losses[0]:.4f}"
    last = number(record.get("loss"))
    yield "Loss, at the end", _UNKNOWN if last is None else f"{last:.4f}"
    versions = {"bussynth": model.record["bussynth"], **mapping(record.get("versions"))}
    known = (f"{name} {versions[name]}" for name in ("bussynth", "torch", "diffusers")
             if text(versions.get(name)))  # fmt: skip
    yield "Versions", ", ".join(known)


def _setting(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return formats.number(value)


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _indented(lines: str | None) -> str:
    """A code block: BibTeX and the like keep their form, and nothing in it is interpreted."""
    return "\n".join(f"    {line}".rstrip() for line in (lines or "").strip().splitlines())
