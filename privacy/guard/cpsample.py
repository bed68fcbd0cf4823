"""Guidance away from training images, after CPSample (Kazdan et al. 2024, arXiv:2409.07025).

A classifier is overfitted to random labels of the training images
(:mod:`privacy.guard.classifier`). While an image is made, the sampler is pushed to where the
classifier is unsure: no training image lies there. In terms of the denoiser D, with the
score (D - x) / sigma^2 and u(x) the mean over the labels of min(p, 1 - p)::

    D'(x, sigma) = D(x, sigma) + g(u) s sigma^2 grad_x sum log min(p, 1 - p)
    g(u) = max(0, 1 - u / tolerance)

that is, classifier guidance (Dhariwal & Nichol 2021, arXiv:2105.05233) of scale s towards the
labels that a recognised image does not have, wherever the classifier is sure. Changes against the
paper's idea, each for a reason:

* several labels a patient, not one an image (see the classifier);
* the push fades in below the tolerance. A switch would turn a rounding difference between batches
  into another image;
* the push is no longer than ``limit`` times the expected length of the noise in x. Beyond that the
  next step starts from what no denoiser has seen, and the images are rubbish.

What it does not do: it makes copies rarer and does not exclude them, so combine it with rejection.
It acts where the classifier recognises what it sees. At low noise levels that is nearly every
training image, at the levels of about 1 to 5, where images take shape, only a part of them; the
record has the shares.
It changes images that are no copies too, because an overfitted classifier is also sure of images
it never saw. It knows nothing of copies that it was not shown: give it mirrored latents where the
generator learned from mirrored images. A picture filed under two patients carries two codes and is
not protected; look for duplicates first.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from privacy.guard.claim import NOTE, VOIDS
from privacy.guard.classifier import (
    BATCH,
    LabelClassifier,
    fit_classifier,
    label_accuracy,
    random_codes,
    recognised_share,
    uncertainty,
)
from privacy.guard.errors import GuardInputError

__all__ = ["CPSampleGuard", "Denoise", "derived_steps"]

_LEARNED = 0.99
"""Share of labels that must be known at every level up to :data:`_REQUIRED`."""
_REQUIRED = 0.3
"""Above it noise hides what tells images apart, and more so the more images there are, so that no
training reaches the same share; the record says what was reached."""
_CHECKED = (0.05, 0.3, 1.0, 3.0)
"""Noise levels of the record."""
_PASSES = 250
"""Times that each latent is seen; whether that was enough is checked after the fit."""
_FEWEST, _MOST = 1000, 50_000
"""Bounds of the derived steps."""


def derived_steps(latents: int) -> int:
    """Training steps by which a classifier knows this many latents by heart.

    Above some 10 000 latents each is seen less often, so that fitting ends in reasonable time;
    :meth:`CPSampleGuard.fit` refuses a classifier that did not learn enough by then.

    Args:
        latents: Number of training latents, mirrored ones counted.
    """
    return min(_MOST, max(_FEWEST, math.ceil(_PASSES * latents / BATCH)))


class Denoise(Protocol):
    """The denoiser D of a sampler."""

    def __call__(self, x: Tensor, sigma: Tensor, conditions: Any) -> Tensor:
        """Denoise ``x`` ``(n, c, h, w)`` of noise levels ``sigma`` ``(n,)``."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class CPSampleGuard:
    """Wraps a denoiser so that any sampler keeps away from training images.

    Use :meth:`fit` to get one. The classifier has learned the training images by heart: it is
    personal data and never leaves the site.

    Attributes:
        classifier: Overfitted to random labels; on the CPU.
        sigmas: Noise levels it was trained on. Above the highest nothing is changed.
        tolerance: Mean uncertainty over the labels below which the guard acts, in (0, 0.5).
        scale: Strength s.
        limit: Longest push, in expected lengths of the noise.
        record: Counts, and by noise level the ``accuracy`` on the labels and the share of training
            latents that is ``recognised``, that is, on which the guard acts at the tolerance it
            was fitted with. As JSON types.
    """

    classifier: LabelClassifier
    sigmas: tuple[float, float]
    tolerance: float
    scale: float
    limit: float
    record: Mapping[str, Any]

    @classmethod
    def fit(
        cls,
        latents: Tensor,
        patients: Sequence[str] | None = None,
        *,
        sigmas: tuple[float, float] = (0.02, 10.0),
        labels: int = 16,
        steps: int | None = None,
        seed: int = 0,
        tolerance: float = 0.01,
        scale: float = 10.0,
        limit: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> CPSampleGuard:
        """Overfit the classifier to training latents.

        Args:
            latents: float ``(n, c, h, w)`` with a standard deviation of about 0.5, what the
                denoiser was trained on; with mirrored ones if it was.
            patients: Patient of each latent; an own one for each by default.
            sigmas: Lowest and highest noise level, log-uniform between. Images become training
                images at levels of about 1 to 5; below the lowest level the classifier is asked
                as if at it.
            labels: Random labels a patient; 1 is the paper's number.
            steps: Training steps of 64 latents; :func:`derived_steps` by default.
            seed: Seed of labels, weights, order and noise.
            tolerance: Mean uncertainty below which the guard acts; larger acts earlier and
                changes more images that are no copies.
            scale: Strength; with 0 nothing is changed.
            limit: Longest push, in expected lengths of the noise.
            device: Where to train.

        Returns:
            The guard; the same for the same arguments on one machine with one number of threads.

        Raises:
            GuardInputError: Arguments cannot be used, or the classifier did not learn its labels
                at the lower noise levels.
        """
        steps = derived_steps(len(latents)) if steps is None else steps
        problems = _problems(latents, patients, sigmas, labels, steps, tolerance, scale, limit)
        if problems:
            raise GuardInputError("A sampling guard cannot be made of these.", problems)
        keys = [str(i) for i in range(len(latents))] if patients is None else list(patients)
        clean = latents.detach().float().cpu()
        codes = random_codes(keys, labels, seed)
        classifier = fit_classifier(
            clean, codes, sigmas=sigmas, steps=steps, seed=seed, device=device
        )
        levels = [sigmas[0], *(s for s in _CHECKED if sigmas[0] < s <= sigmas[1])]
        # Another seed than in training: fresh noise.
        reached = {
            sigma: label_accuracy(classifier, clean, codes, sigma, seed + 1) for sigma in levels
        }
        required = [sigma for sigma in levels if sigma <= max(_REQUIRED, sigmas[0])]
        worst = min(required, key=reached.__getitem__)
        if reached[worst] < _LEARNED:
            raise GuardInputError(
                f"The classifier knows {reached[worst]:.1%} of its labels at noise level {worst:g} "
                f"after {steps} steps, too few to recognise the images ({_LEARNED:.0%} are "
                "needed); give it more steps."
            )
        recognised = {
            sigma: recognised_share(classifier, clean, sigma, tolerance, seed + 1)
            for sigma in levels
        }
        record = {
            "latents": len(clean),
            "patients": len(set(keys)),
            "labels": labels,
            "steps": steps,
            "seed": seed,
            "accuracy": {f"{sigma:g}": round(part, 4) for sigma, part in reached.items()},
            "recognised": {f"{sigma:g}": round(part, 4) for sigma, part in recognised.items()},
        }
        return cls(
            classifier=classifier,
            sigmas=sigmas,
            tolerance=tolerance,
            scale=scale,
            limit=limit,
            record=record,
        )

    def protected(self, denoiser: Denoise, device: torch.device | str = "cpu") -> Denoise:
        """The denoiser, kept away from training images.

        Args:
            denoiser: Called as ``denoiser(x, sigma, conditions)``; left as it is. With
                classifier-free guidance wrap the denoiser, not the guided one: the push is the
                same for both of its passes.
            device: Where ``x`` will be.

        Returns:
            A denoiser with the same arguments, usable under ``torch.inference_mode``. Row i
            depends on row i alone, up to the rounding of the kernels.
        """
        classifier = copy.deepcopy(self.classifier).to(device)

        def guarded(x: Tensor, sigma: Tensor, conditions: Any) -> Tensor:
            return denoiser(x, sigma, conditions) + self._push(classifier, x, sigma)

        return guarded

    def uncertainty(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Mean over the labels of min(p, 1 - p): below the tolerance the guard acts.

        Args:
            x: Noisy latents ``(n, c, h, w)``, on the CPU.
            sigma: Noise levels ``(n,)``.

        Returns:
            float ``(n,)``, 0 (recognised) to 0.5.
        """
        with torch.no_grad():
            logits = self.classifier(x.float(), self._level(sigma.float()))
        return uncertainty(logits)

    @cached_property
    def digest(self) -> str:
        """``"sha256:..."`` of all that decides: weights and settings."""
        settings = (self.sigmas, self.tolerance, self.scale, self.limit)
        digest = hashlib.sha256(repr(settings).encode())
        for name, value in sorted(self.classifier.state_dict().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.numpy()).tobytes())
        return f"sha256:{digest.hexdigest()}"

    def describe(self) -> dict[str, Any]:
        """What a record says of the guard, as JSON types; nothing of a single image."""
        return {
            "kind": "cpsample",
            "voids": VOIDS,
            "note": NOTE,
            "sigmas": list(self.sigmas),
            "tolerance": self.tolerance,
            "scale": self.scale,
            "limit": self.limit,
            **self.record,
        }

    def _level(self, sigma: Tensor) -> Tensor:
        return sigma.clamp(min=self.sigmas[0])

    def _push(self, classifier: LabelClassifier, x: Tensor, sigma: Tensor) -> Tensor:
        """What is added to the denoised map, ``(n, c, h, w)``."""
        # Samplers run in inference mode and perhaps in half precision; gradients need neither.
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(x.device.type, enabled=False),
        ):
            place = x.detach().clone().float().requires_grad_(True)
            level = sigma.detach().clone().float()
            logits = classifier(place, self._level(level))
            unsure = F.logsigmoid(-logits.abs())
            (gradient,) = torch.autograd.grad(unsure.sum(), place)
            mean = unsure.detach().exp().mean(dim=1)
            strength = (1 - mean / self.tolerance).clamp(min=0) * (level <= self.sigmas[1])
            push = self.scale * level.square().view(-1, 1, 1, 1) * gradient
            length = push.flatten(1).norm(dim=1)
            longest = self.limit * level * math.sqrt(place[0].numel())
            shrink = (longest / length.clamp(min=torch.finfo(torch.float32).tiny)).clamp(max=1)
            limited: Tensor = push * (strength * shrink).view(-1, 1, 1, 1)
            return limited


def _problems(
    latents: Tensor,
    patients: Sequence[str] | None,
    sigmas: tuple[float, float],
    labels: int,
    steps: int,
    tolerance: float,
    scale: float,
    limit: float,
) -> list[str]:
    problems = []
    if latents.ndim != 4 or len(latents) == 0 or not latents.is_floating_point():
        problems.append(f"latents: expected floats (n, c, h, w), got {tuple(latents.shape)}")
    elif not torch.isfinite(latents).all():
        problems.append("latents: some values are not finite")
    if patients is not None and len(patients) != len(latents):
        problems.append(f"{len(patients)} patients for {len(latents)} latents")
    if not 0 < sigmas[0] < sigmas[1] < math.inf:
        problems.append(f"sigmas={sigmas!r}: give a lowest above 0 and a higher one")
    problems += [
        f"{name}={value!r}: must be at least 1"
        for name, value in (("labels", labels), ("steps", steps))
        if value < 1
    ]
    if not 0 < tolerance < 0.5:
        problems.append(f"tolerance={tolerance!r}: must lie between 0 and 0.5")
    problems += [
        f"{name}={value!r}: must be at least 0 and finite"
        for name, value in (("scale", scale), ("limit", limit))
        if not 0 <= value < math.inf
    ]
    return problems
