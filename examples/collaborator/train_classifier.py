"""What a collaborator does with a package: verify, load, train; then test on own patients.

    python train_classifier.py PACKAGE PUBLIC_KEY [--test COHORT [--compare]] [--epochs 15]

A small residual network learns benign against malignant from the synthetic images alone.
With ``--test``, it is tested on the test patients of a real cohort, and the area under the
ROC curve is printed with a 95 % bootstrap interval over patients. With ``--compare``, the same
network is also trained on that cohort's training patients: the level to reach.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import bussynth

CLASSES = ("benign", "malignant")


class Block(nn.Module):
    """Two convolutions around a shortcut; halves the image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
            nn.GroupNorm(8, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.GroupNorm(8, outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h/2, w/2)."""
        return nn.functional.silu(self.main(x) + self.shortcut(x))


def network() -> nn.Module:
    """Score of malignancy from (n, 1, H, W) in [0, 1]."""
    return nn.Sequential(
        Block(1, 16),
        Block(16, 32),
        Block(32, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, 1),
    )


def fit(images: Tensor, labels: Tensor, epochs: int, seed: int) -> nn.Module:
    """Train on (n, 1, H, W) in [0, 1] and 0/1 labels, mirrored and with changed gain."""
    torch.manual_seed(seed)
    model = network().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    batches = -(-len(images) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, epochs * batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(32):
            x = images[rows]
            flip = torch.rand(len(x), 1, 1, 1) < 0.5
            gain = torch.empty(len(x), 1, 1, 1).uniform_(0.7, 1.3)
            x = (torch.where(flip, x.flip(-1), x) * gain).clamp(0, 1)
            loss = nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: chance that a malignant image scores above a benign one."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    above = (positive[:, None] > negative).mean()
    return float(above + 0.5 * (positive[:, None] == negative).mean())


def interval(scores: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the AUC; patients are drawn, with all their images."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    values = []
    for _ in range(1000):
        rows = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        if 0 < labels[rows].sum() < len(rows):
            values.append(auc(scores[rows], labels[rows]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Verify, load, train, test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("key", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    dataset = bussynth.load(arguments.package, trust=arguments.key)
    print(dataset)
    items = [item for item in dataset if item["pathology"] in CLASSES]
    images = torch.stack([item["image"] for item in items])
    labels = torch.tensor([float(item["pathology"] == "malignant") for item in items])
    model = fit(images, labels, arguments.epochs, arguments.seed)
    if arguments.test is None:
        return
    cohort = bussynth.Cohort.open(arguments.test)
    report("trained on synthetic images", model, cohort)
    if arguments.compare:
        images, labels, _ = real(cohort, "train")
        report(
            "trained on real images", fit(images, labels, arguments.epochs, arguments.seed), cohort
        )


def real(cohort: bussynth.Cohort, split: str) -> tuple[Tensor, Tensor, np.ndarray]:
    """Images (n, 1, H, W), labels and patients of one split of a real cohort."""
    rows = list(cohort.select(split, pathology=CLASSES))
    images = torch.from_numpy(np.stack([row.image for row in rows]))[:, None].float() / 255
    labels = torch.tensor([float(row.conditions["pathology"] == "malignant") for row in rows])
    return images, labels, np.array([row.patient for row in rows])


def report(name: str, model: nn.Module, cohort: bussynth.Cohort) -> None:
    """Print the AUC on the test patients."""
    images, labels, patients = real(cohort, "test")
    with torch.no_grad():
        scores = model(images)[:, 0].numpy()
    truth = labels.numpy().astype(int)
    low, high = interval(scores, truth, patients)
    print(
        f"{name}: AUC on {len(truth)} real images of {len(set(patients))} test patients "
        f"{auc(scores, truth):.3f} (95 % {low:.3f} to {high:.3f})"
    )


if __name__ == "__main__":
    main()
