"""The quality of a card: summary figures of an evaluation of this model's images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bussynth.errors import DataError
from bussynth.modelcard.files import read_json
from bussynth.quality.evaluate import MARKERS, SCHEMA
from bussynth.record import number

__all__ = ["Quality", "Space", "read_quality"]

Row = tuple[str, ...]

_NUMBERS: Final = {
    "fd": ("Fréchet distance", 1.0),
    "kid": ("KID × 1000", 1000.0),
    "precision": ("precision", 1.0),
    "recall": ("recall", 1.0),
    "density": ("density", 1.0),
    "coverage": ("coverage", 1.0),
}
_BENIGN_MALIGNANT: Final = "benign / malignant"


@dataclass(frozen=True, kw_only=True)
class Space:
    """Fidelity in one feature space.

    Attributes:
        name: Of the space.
        images: Synthetic images, and as many training images, beside the test images.
        dimensions: Of the space.
        rows: Name of a number, its value for synthetic and for real training images.
    """

    name: str
    images: int
    dimensions: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What an evaluation found.

    Attributes:
        kind: Kind of the cohort it compares with.
        train: Images and patients that the judging networks learned from.
        test: Images and patients held out.
        images: Synthetic images.
        obeyed: Name of a figure; its value for real held-out and for synthetic images, the
            difference, and its value for requests that were dealt out anew.
        spaces: Fidelity.
        remarks: What a reader should know, a line each.
        trusted: Whether nothing shows that the images are this model's.
        proven: Digest of the evaluated cohort, if that names the model as its generator.
    """

    kind: str
    train: Mapping[str, int]
    test: Mapping[str, int]
    images: int
    obeyed: tuple[Row, ...]
    spaces: tuple[Space, ...]
    remarks: tuple[str, ...]
    trusted: bool
    proven: str | None = None


def read_quality(folder: Path, digest: str, known: str | None) -> Quality:
    """Read the evaluation of a model's images.

    Args:
        folder: What ``bussynth evaluate`` wrote.
        digest: Of the model.
        known: Digest of a synthetic cohort that names the model as its generator, if there is
            one; an evaluation of that cohort needs no other proof.

    Raises:
        DataError: There is no evaluation, it is of another version or damaged, or of the images
            of another model.
    """
    path = folder / MARKERS[0]
    content = read_json(path, "evaluation")
    if content.get("schema") != SCHEMA:
        raise DataError(
            f"{path} is no evaluation of schema {SCHEMA!r}; evaluate with this version."
        )
    try:
        made, real = content["inputs"]["synthetic"], content["inputs"]["real"]
        named = made["generator"]
        if named is not None and named != digest:
            raise DataError(
                f"{path} is the evaluation of another model's images; evaluate a cohort that this "
                "model generated."
            )
        return Quality(
            kind=str(real["kind"]),
            train=_counts(real["train"]),
            test=_counts(real["test"]),
            images=int(made["images"]),
            obeyed=tuple(_obeyed(content["obedience"])),
            spaces=tuple(_space(space) for space in content["fidelity"]),
            remarks=tuple(_remarks(content)),
            trusted=named is None and (known is None or made["digest"] != known),
            proven=None if named is None else str(made["digest"]),
        )
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} lacks fields or holds wrong ones; evaluate again.") from error


def _counts(part: Mapping[str, Any]) -> dict[str, int]:
    return {key: int(part[key]) for key in ("images", "patients")}


def _obeyed(obedience: Mapping[str, Any]) -> Iterator[Row]:
    for one in obedience["recognition"]:
        name = str(one["column"])
        yield _compared(f"{name}: AUC", one["auc"])
        if len(one["pairs"]) > 1 and _BENIGN_MALIGNANT in one["pairs"]:
            yield _compared(f"{name}: {_BENIGN_MALIGNANT}", one["pairs"][_BENIGN_MALIGNANT])
        yield _compared(f"{name}: balanced accuracy", one["balanced_accuracy"])
    located = obedience["localisation"]
    if located is not None:
        yield _compared("lesion box: mean IoU", located["iou"])
        yield _compared("lesion box: IoU at least 0.5", located["iou_at_least_half"])
        yield _compared("lesion box: centre in box", located["centre_in_box"])
    present = obedience["presence"]
    if present is not None:
        yield _compared("lesion or normal: AUC", present["auc"])
        yield _compared("lesion found in normal images", present["found_in_normal"])
        yield _compared("lesion found in lesion images", present["found_in_lesion"])


def _compared(name: str, figure: Mapping[str, Any]) -> Row:
    sides = ("real", "synthetic", "difference", "shuffled")
    return name, *(_figure(figure[side], signed=side == "difference") for side in sides)


def _space(space: Mapping[str, Any]) -> Space:
    return Space(
        name=str(space["space"]),
        images=int(space["images"]),
        dimensions=int(space["dimensions"]),
        rows=tuple(
            (name, *(_figure(space[side][key], factor) for side in ("synthetic", "floor")))
            for key, (name, factor) in _NUMBERS.items()
        ),
    )


def _figure(figure: Mapping[str, Any], factor: float = 1.0, *, signed: bool = False) -> str:
    """Write a value with its 95 % interval."""
    ends = [number(figure[key]) for key in ("value", "low", "high")]
    if None in ends:
        raise ValueError
    digits = 3 if abs(factor * (ends[0] or 0.0)) < 10 else 1
    # Adding zero turns the −0.0 of rounding into 0.0.
    value, low, high = (round(end * factor, digits) + 0.0 for end in ends if end is not None)
    form = f"{'+' if signed else ''}.{digits}f"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]".replace("-", "−")


def _remarks(content: Mapping[str, Any]) -> Iterator[str]:
    for one in content["obedience"]["recognition"]:
        name = str(one["column"])
        yield f"{name}: guessing gives a balanced accuracy of {float(one['chance']):.3f}."
        if one["left_out"]:
            yield f"{name}: left out, of too few patients or images: {', '.join(one['left_out'])}."
        if not one["tells"]:
            yield (
                f"{name}: not recognised above chance in real images either, so its figures say "
                "nothing of the synthetic ones."
            )
    for name, reason in content["obedience"]["not_measured"].items():
        yield f"{name}: not measured, {reason}."
    for note in content["notes"]:
        yield str(note)
