"""What a site decides about its files: what is kept, which frames, and what text leads to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from privacy.deidentify.limits import Limits
from privacy.deidentify.policy import Policy
from privacy.deidentify.regions import SiteRule

__all__ = ["FrameChoice", "OnColour", "OnText", "Settings"]


class OnText(StrEnum):
    """What becomes of text found inside the region that is kept."""

    BLANK = "blank"  # painted black
    CROP = "crop"  # the region is cut down until no text is in it
    QUARANTINE = "quarantine"  # the file waits for a person


class OnColour(StrEnum):
    """What becomes of frames with a map of colour over the tissue, such as Doppler."""

    QUARANTINE = "quarantine"
    KEEP = "keep"  # as colour frames


class FrameChoice(StrEnum):
    """Which frames of a cine loop are taken."""

    ALL = "all"
    NTH = "nth"
    KEY = "key"  # those that differ most


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How files are de-identified; everything here may change the result.

    Attributes:
        policy: What is kept of the header.
        limits: How much one file may ask for.
        rules: Rectangles of the site for machines that describe no region.
        frames: Which frames of a loop are taken.
        step: Every how many frames, for :attr:`FrameChoice.NTH`.
        most_frames: No more frames of a loop than these; None for no bound.
        text_engine: Who looks for text, see :data:`privacy.deidentify.text.ENGINES`. Only what
            reads text (not ``"strokes"`` or ``"none"``) lets an object claim to be free of it.
        on_text: What found text leads to.
        on_colour: What maps of colour lead to.
        most_blanked: A region of which more is text is quarantined, as a share.
        smallest_side: A region with a shorter side, in pixels, is quarantined.
    """

    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    rules: tuple[SiteRule, ...] = ()
    frames: FrameChoice = FrameChoice.ALL
    step: int = 1
    most_frames: int | None = None
    text_engine: str = "letters"
    on_text: OnText = OnText.BLANK
    on_colour: OnColour = OnColour.QUARANTINE
    most_blanked: float = 0.25
    smallest_side: int = 32

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if self.step < 1 or (self.most_frames is not None and self.most_frames < 1):
            raise ValueError(f"step={self.step!r}, most_frames={self.most_frames!r}: at least 1.")
        if self.frames is FrameChoice.KEY and self.most_frames is None:
            raise ValueError("Key frames are chosen up to most_frames; give a number.")
        if not 0 <= self.most_blanked < 1 or self.smallest_side < 1:
            raise ValueError("most_blanked is a share below 1, smallest_side at least 1.")

    @property
    def reads_text(self) -> bool:
        """Whether the text gate is one that an object may claim to have passed."""
        return not {"letters", "rapidocr", "tesseract"}.isdisjoint(self.text_engine.split("+"))
