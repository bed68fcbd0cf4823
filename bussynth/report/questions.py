"""Each test in plain words: what it asks, how, and how to read its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["FAMILIES", "GROUPS", "TESTS", "TestText"]


@dataclass(frozen=True, kw_only=True)
class TestText:
    """Words for one test.

    Attributes:
        short: A name for tables.
        question: The question in plain words.
        method: How it is answered.
        reading: How to read the numbers, one paragraph each.
    """

    short: str
    question: str
    method: str
    reading: tuple[str, ...]


_P_VALUE = (
    "The p-value answers: if nothing had leaked, how often would chance alone give a result at "
    "least this strong? It comes from giving patients the labels “training” and “control” anew, "
    "many times, and repeating the whole calculation. A small value speaks for leakage. A large "
    "value does not prove that there is none."
)

TESTS: Mapping[str, TestText] = {
    "identity": TestText(
        short="Same picture",
        question="Is a synthetic image the same picture as a real one?",
        method="Every synthetic image, also mirrored and turned, is compared pixel by pixel with "
        "every real image.",
        reading=(
            "There is no chance in this test and no interval: every image was compared with every "
            "other. A single hit fails the audit.",
            "A changed pixel escapes this test. The next one looks for such copies.",
        ),
    ),
    "copies": TestText(
        short="Near-copies",
        question="Is a synthetic image a near-copy of one patient’s image?",
        method="A near-copy is much closer to one patient than to any other patient, even after "
        "shifts, zooms, mirroring and changes of contrast. Several searches look for them, each in "
        "its own way. Control patients, whom the generator never saw, show how often that happens "
        "without any copying.",
        reading=(
            "A hit means: one patient stands out so clearly that chance is no good explanation. It "
            "does not mean that a person would recognise the patient.",
            "Hits on control patients are false alarms, since they cannot have been copied. They "
            "tell how far the hits on training patients can be trusted.",
            "The exhaustive search looks within a radius: 0.9 times the least distance of a "
            "control image to any other patient’s image (setting control_margin), and at most 0.5.",
            "Finding nothing means only as much as the planted copies below show: a search that "
            "misses planted copies proves nothing by staying silent.",
        ),
    ),
    "contrast": TestText(
        short="Closer to training",
        question="Are the synthetic images closer to training patients than to control patients?",
        method="For each synthetic image the nearest real patient is found. If nothing was "
        "memorised, that is as often a control patient as a training patient: a share of one half, "
        "after allowing for the numbers of patients. The closest images are looked at separately, "
        "because a few copies vanish in an average.",
        reading=(
            "A share above one half points to memory. A share a little below one half is chance.",
            "“Closest 1 %” means the one synthetic image in a hundred that lies nearest to any "
            "real image. Copies gather there.",
            _P_VALUE,
        ),
    ),
    "disclosure": TestText(
        short="Patients with a close image",
        question="How many training patients does the synthetic set come close to?",
        method="For each patient it is asked whether any synthetic image comes unusually close. "
        "This happens by chance to control patients too; only the excess among training patients "
        "counts.",
        reading=(
            "This is the headline number, because it speaks of patients and not of images. The "
            "estimate is what was seen; the upper bound is what cannot be excluded.",
            "The bound is the larger the fewer control patients there are. A large bound with a "
            "small estimate means: too few patients to tell.",
            "A negative excess means that control patients came closer than training patients. "
            "That is chance, or a sign that the two groups differ.",
            "The curve shows how the answer changes with other choices of “unusually close”. Its "
            "bounds hold for one point of one space; the headline allows for all spaces at once "
            "and is therefore larger.",
            _P_VALUE,
        ),
    ),
    "membership": TestText(
        short="Membership",
        question="Can somebody tell who was in the training set?",
        method="An attacker holds images of a person and the synthetic images. How near the "
        "synthetic images come gives each person a score. The question is whether training "
        "patients score higher than control patients, and whether a few of them can be told with "
        "hardly any false accusation.",
        reading=(
            "“Ranks right” is the chance that a training patient scores above a control patient. "
            "One half is guessing; 100 % is certainty.",
            "“Recognised” is the share of training patients accused when only so many control "
            "patients are accused wrongly. Without leakage both shares are the same.",
            "Rare false alarms need many control patients. Where there are too few, the report "
            "says “not estimable” and not zero.",
            "Patients who are unusual, or who have many images, are betrayed more easily. They "
            "are also looked at by themselves.",
            _P_VALUE,
        ),
    ),
    "singling_out": TestText(
        short="Singling out",
        question="Does a synthetic image point at exactly one patient?",
        method="Each synthetic image describes a kind of patient: “whoever looks like this”. It is "
        "counted how often that description fits exactly one patient of the training group, and "
        "how often exactly one of an equally large control group.",
        reading=(
            "Some images fit exactly one patient by pure chance. So only the difference between "
            "training and control counts.",
            "The sharper the description, the less chance can do. The rows differ in sharpness.",
            "This test takes the idea of a published method for voices to images. Nobody has "
            "validated it for images yet.",
            _P_VALUE,
        ),
    ),
    "linkability": TestText(
        short="Linkability",
        question="Can two images of one patient be linked through the synthetic images?",
        method="Somebody holds two images, from two hospitals say. If both lead to the same "
        "synthetic image, the two may be linked. It is counted how often that happens for training "
        "patients and for control patients.",
        reading=(
            "Images of one patient look alike, so many are linked whatever the generator learned. "
            "Only the difference between training and control counts.",
            "Only patients with at least two images take part.",
            "This test takes the idea of a published method for voices to images. Nobody has "
            "validated it for images yet.",
            _P_VALUE,
        ),
    ),
    "inference": TestText(
        short="Inference",
        question="Do the synthetic images tell more about training patients than about others?",
        method="Somebody holds an image of a patient and guesses a label, such as the pathology, "
        "from the nearest synthetic images. It is counted how often that is right for training "
        "patients and for control patients.",
        reading=(
            "Good synthetic images let anybody guess well, for any patient: that is what they are "
            "made for. Only a better guess for training patients betrays that they took part.",
            "“Simple guess” is always naming the most frequent label.",
            "Taking this comparison to images is our own adaptation. Nobody has validated it yet.",
            _P_VALUE,
        ),
    ),
    "white_box": TestText(
        short="The model itself",
        question="Does the model itself tell who was in the training set?",
        method="The model is to be handed over too. So its own errors on real images are used as "
        "scores: a model that has memorised an image errs less on it.",
        reading=(
            "The numbers read like those of the membership test.",
            "Stronger attacks on models exist. This one is a first look, not a bound.",
            _P_VALUE,
        ),
    ),
    "dp_bound": TestText(
        short="Least epsilon",
        question="Would a promise of differential privacy hold?",
        method="Differential privacy is a formal promise with a number, epsilon. From how well "
        "training patients can be told, one gets the least epsilon that a truthful promise must "
        "state.",
        reading=(
            "It can show that a promise is false. It can never show that a promise is true: a "
            "small number says nothing about safety.",
            "It speaks of whole patients. A promise made for single images is another one.",
        ),
    ),
}
"""Words by name of the test."""

FAMILIES: Mapping[str, str] = {
    "pixels": "grey values of the whole picture, reduced to a small grid",
    "hash": "a short fingerprint of the coarse brightness pattern",
    "gradients": "edges and their directions",
    "random": "textures, by a fixed random filter bank",
    "learned": "features learned on half of the real patients, training and control alike",
    "user": "an encoder supplied by the user",
}
"""What is compared in each family of feature spaces."""

GROUPS: Mapping[str, str] = {
    "all": "all patients",
    "outliers": "the most unusual tenth",
    "many images": "those with the most images",
    "rare cells": "those with rare labels",
}
"""Groups of patients of the membership test."""
