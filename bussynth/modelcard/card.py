"""The verb: read and check all papers of a model, then write its card whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bussynth import atomic
from bussynth.auditing.places import refuse_overlap
from bussynth.builtin import model_folder
from bussynth.errors import UsageError
from bussynth.modelcard.about import About, read_about
from bussynth.modelcard.audit import AuditSummary, read_summary
from bussynth.modelcard.evaluation import Quality, read_quality
from bussynth.modelcard.loss import LossCurve, draw_losses, read_losses
from bussynth.modelcard.model import CardModel, open_card_model
from bussynth.modelcard.place import CARD_FILE, LOSS_IMAGE, MARKERS, SAMPLES_IMAGE, check_place
from bussynth.modelcard.privacy import dp_claim
from bussynth.modelcard.render import render_card
from bussynth.modelcard.samples import Samples, draw_samples, open_samples
from bussynth.progress import SILENT, Progress

__all__ = ["Papers", "check_card", "write_card"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Papers:
    """All that a card is made of.

    Attributes:
        model: The model.
        about: Words of the publisher.
        loss: Loss of the training, or None if there is no record of it.
        samples: Images to show, or None if the audit failed: they may resemble patients.
        quality: The evaluation, or None.
        audit: The audit, or None.
    """

    model: CardModel
    about: About
    loss: LossCurve | None
    samples: Samples | None
    quality: Quality | None
    audit: AuditSummary | None

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files of the card."""
        return (
            CARD_FILE,
            *([SAMPLES_IMAGE] if self.samples is not None else []),
            *([LOSS_IMAGE] if self.loss is not None else []),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever publishes the card should know."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        seen = not self.model.lineage.phantoms_only(self.model.kind)
        if self.audit is not None and self.audit.failed:
            yield "The audit failed: the card shows no images, and neither it nor the model leaves."
        if self.audit is None and seen:
            yield (
                "No audit is given: whether the images shown resemble patients was not measured."
            )
        if self.quality is not None and self.quality.kind == "real":
            yield (
                "The card holds figures of a look at held-out real patients; under a formal-dp "
                "claim it may not be published."
            )
        if self.about.license is None:
            yield "No licence is stated; give one in the file of --about."


def check_card(
    model: str,
    out: Path | str,
    *,
    base: str | None = None,
    evaluation: Path | str | None = None,
    audit: Path | str | None = None,
    about: Path | str | None = None,
    samples: Path | str | None = None,
    force: bool = False,
) -> Papers:
    """Make every check of :func:`write_card` and draw nothing.

    Returns:
        What the card will be made of.

    Raises:
        UsageError: As :func:`write_card`.
        DataError: As :func:`write_card`.
        IntegrityError: As :func:`write_card`.
    """
    out = Path(out)
    check_place(out, force=force)
    places = {"evaluation": evaluation, "audit": audit, "about": about, "samples": samples}
    refuse_overlap(
        out,
        {
            "model": model_folder(model),
            "base": None if base is None else model_folder(base),
            **{name: None if place is None else Path(place) for name, place in places.items()},
        },
    )
    opened = open_card_model(model, base)
    shown = open_samples(None if samples is None else Path(samples), opened.digest)
    if evaluation is not None and dp_claim(opened.training) is not None:
        raise UsageError(
            "The training record makes a formal-dp claim, which an evaluation on held-out patients "
            "would void; leave --evaluation out."
        )
    quality = (
        None if evaluation is None else read_quality(Path(evaluation), opened.digest, shown.digest)
    )
    known = (shown.digest, None if quality is None else quality.proven)
    proven = tuple(digest for digest in known if digest is not None)
    audited = None if audit is None else read_summary(Path(audit), opened, proven)
    return Papers(
        model=opened,
        about=About() if about is None else read_about(Path(about)),
        loss=read_losses(opened.folder, opened.training),
        samples=None if audited is not None and audited.failed else shown,
        quality=quality,
        audit=audited,
    )


def write_card(
    model: str,
    out: Path | str,
    *,
    base: str | None = None,
    evaluation: Path | str | None = None,
    audit: Path | str | None = None,
    about: Path | str | None = None,
    samples: Path | str | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> Papers:
    """Write the card of a model: README.md, samples.png and loss.svg.

    Numbers come from files alone; what no file holds is said to be not measured. The same files
    give the same card.

    Args:
        model: Folder of a model or an adapter, or ``builtin:NAME``.
        out: The folder to make.
        base: What the model was fitted to or started from, if that is not built in.
        evaluation: What ``bussynth evaluate`` wrote of images of this model.
        audit: What ``bussynth audit`` wrote of images of this model.
        about: TOML file of :class:`~bussynth.modelcard.about.About`.
        samples: Synthetic cohort of this model to show images of; generated if not given.
        progress: Where to report.
        force: Replace an earlier card.

    Returns:
        What the card was made of.

    Raises:
        UsageError: The base or ``about`` is wrong, or ``out`` is taken or overlaps with an input.
        DataError: There is no model, or a paper is missing, damaged or of another model.
        IntegrityError: A file was changed.
        MissingDependencyError: matplotlib is not installed.
    """
    papers = check_card(
        model,
        out,
        base=base,
        evaluation=evaluation,
        audit=audit,
        about=about,
        samples=samples,
        force=force,
    )
    text = render_card(
        model=papers.model,
        about=papers.about,
        loss=papers.loss,
        samples=papers.samples,
        quality=papers.quality,
        audit=papers.audit,
    )
    with atomic.new_directory(out, force=force, markers=MARKERS) as staging:
        if papers.loss is not None:
            atomic.write_text(staging / LOSS_IMAGE, draw_losses(papers.loss))
        if papers.samples is not None:
            grid = draw_samples(papers.samples, papers.model, progress)
            atomic.write_bytes(staging / SAMPLES_IMAGE, grid)
        atomic.write_text(staging / CARD_FILE, text)
    return papers
