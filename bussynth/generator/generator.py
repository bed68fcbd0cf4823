"""The generator users hold: train, load, sample; and what an audit of the model asks of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator.adapter import open_model
from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.config import AdaptConfig, TrainConfig
from bussynth.generator.device import autocast, resolve_device
from bussynth.generator.diffusion import DenoiserLike
from bussynth.generator.folder import remove_leftovers, train_model
from bussynth.generator.losses import denoising_losses, proximal_losses
from bussynth.generator.plan import TrainPlan, check_adapt, check_train
from bussynth.generator.prior import ConditionPrior
from bussynth.generator.private_folder import train_privately
from bussynth.generator.renoise import renoise
from bussynth.generator.sampler import initial_noise, sample
from bussynth.generator.storage import StoredModel
from bussynth.generator.training import build_denoiser
from bussynth.generator.transfer import transfer
from bussynth.generator.transform import Haar
from bussynth.progress import SILENT, Progress

__all__ = ["Generator", "Sampler"]

_BATCH_SIZE = {"cpu": 32, "cuda": 256}


class Sampler(Protocol):
    """What a generator must offer to be audited and exported like ours.

    Wrap any other model, or a folder of finished images, in a class with these members.
    """

    @property
    def digest(self) -> str:
        """``"sha256:..."`` of everything that decides the images."""
        ...

    @property
    def vocabulary(self) -> Mapping[str, Sequence[str]]:
        """Values of each condition column."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def prior(self) -> ConditionPrior:
        """Which conditions to ask for."""
        ...

    def sample(
        self,
        conditions: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        steps: int = 12,
        guidance: float | Sequence[float] = 1.0,
        batch_size: int | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Images ``(n, H, W)``; image i depends on row i of the arguments alone."""
        ...


class Generator:
    """A trained conditional diffusion model.

    Args:
        model: Content of a model folder.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Use :meth:`load` or :meth:`train` to get one.
    """

    def __init__(self, model: StoredModel, device: str = "auto") -> None:
        self._model = model
        self._device = resolve_device(device)
        self._encoder = ConditionEncoder(model.vocabulary, model.architecture.image_size)
        denoiser = build_denoiser(model.architecture)
        try:
            denoiser.load_state_dict(dict(model.weights), strict=True)
        except RuntimeError as error:
            raise IntegrityError("The weights do not fit the model's architecture.") from error
        self._denoiser: DenoiserLike = denoiser.to(self._device).eval().requires_grad_(False)

    @classmethod
    def load(
        cls, path: Path | str, device: str = "auto", base: Path | str | None = None
    ) -> Generator:
        """Load a model or an adapter.

        Args:
            path: Folder of a model or of an adapter, or ``builtin:NAME``.
            device: ``"auto"`` takes a GPU if there is one.
            base: Of an adapter: its base, if that is not a built-in one.

        Raises:
            UsageError: A base is missing or not needed, or no built-in model has this name.
            IntegrityError: The training is unfinished, a file was changed, or the base is not
                the adapter's.
            DataError: There is no model.
        """
        return cls(open_model(path, base), device)

    @classmethod
    def train(
        cls,
        cohort: Cohort,
        out: Path | str,
        config: TrainConfig | None = None,
        *,
        options: RunOptions | None = None,
        progress: Progress = SILENT,
        force: bool = False,
        finish: bool = False,
    ) -> Generator:
        """Train on the ``train`` patients of a cohort, or go on with an interrupted training.

        Giving the same arguments again resumes an unfinished training and loads a finished one.

        Args:
            cohort: Cohort, split by patient unless synthetic.
            out: Model folder to make.
            config: What to train.
            options: Where to run.
            progress: Gets loss and images a second.
            force: Start over, replacing an earlier model or training in ``out``.
            finish: Take no more steps: make the model of the averaged weights that an unfinished
                training has, even if the loss is no longer a number. The record says so.

        Raises:
            UsageError: See :func:`check_train`.
            DataError: There are no training images, or the file system refused.
        """
        options = options or RunOptions()
        out = Path(out)
        plan = check_train(
            cohort, out, config or TrainConfig(), options=options, force=force, finish=finish
        )
        if plan.state != "finished":
            _carry_out(cohort, out, plan, progress)
        remove_leftovers(out)
        return cls.load(out, options.device)

    @classmethod
    def adapt(
        cls,
        cohort: Cohort,
        out: Path | str,
        config: AdaptConfig | None = None,
        *,
        options: RunOptions | None = None,
        progress: Progress = SILENT,
        force: bool = False,
        finish: bool = False,
    ) -> Generator:
        """Fit an adapter to the ``train`` patients of a cohort, or go on with an interrupted one.

        The base stays as it is; low-rank updates and condition embeddings are trained (Hu et al.
        2021). Columns and values that the base has not met are learned like any other.

        Args:
            cohort: Cohort, split by patient unless synthetic, of the base's image size.
            out: Adapter folder to make.
            config: What to fit.
            options: Where to run.
            progress: Gets loss and images a second.
            force: Start over, replacing an earlier output in ``out``.
            finish: Take no more steps, see :meth:`train`.

        Raises:
            UsageError: See :func:`check_adapt`.
            DataError: There are no training images, or the file system refused.
            IntegrityError: The base is damaged.
        """
        options, config, out = options or RunOptions(), config or AdaptConfig(), Path(out)
        plan = check_adapt(cohort, out, config, options=options, force=force, finish=finish)
        if plan.state != "finished":
            _carry_out(cohort, out, plan, progress)
        remove_leftovers(out)
        return cls.load(out, options.device, config.base)

    @property
    def digest(self) -> str:
        """``"sha256:..."`` of everything that decides the images."""
        return self._model.digest

    @property
    def vocabulary(self) -> Mapping[str, Sequence[str]]:
        """Values of each condition column."""
        return self._model.vocabulary

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._model.architecture.image_size

    @property
    def prior(self) -> ConditionPrior:
        """Smooth prior over conditions and lesion boxes."""
        return self._model.prior

    @property
    def trained_on(self) -> str | None:
        """Digest of the cohort the model was trained on; None after a private training."""
        found = self._model.training["cohort"]["digest"]
        return None if found is None else str(found)

    @property
    def training(self) -> Mapping[str, Any]:
        """Record of the training."""
        return self._model.training

    def wrapped(self, wrap: Callable[[DenoiserLike, torch.device], DenoiserLike]) -> Generator:
        """The same generator with another denoiser around its own; for protected sampling.

        Args:
            wrap: Gets the denoiser and the device it runs on.
        """
        other = copy.copy(self)
        other._denoiser = wrap(self._denoiser, self._device)
        return other

    def encode(self, images: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Scaled bands of images ``(n, H, W)`` as the network sees them, on the CPU."""
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        return Haar(self._model.architecture.factor).encode(pixels)

    def sample(
        self,
        conditions: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        steps: int = 12,
        guidance: float | Sequence[float] = 1.0,
        batch_size: int | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Generate images.

        Image i depends on conditions, seed and guidance of row i and on ``steps``, not on the
        batch (up to the rounding of the kernels).

        Args:
            conditions: For each image a value by column (absent or None: anything) and, under
                ``lesion_box``, x0, y0, x1, y1 in pixels.
            seeds: One for each image, 0 .. 2**63 - 1.
            steps: Sampling steps; 10 to 30 are usual.
            guidance: Scale, one for all or one for each image; 1 is none.
            batch_size: Images computed at once.

        Returns:
            uint8 ``(n, H, W)``.

        Raises:
            UsageError: A condition the model does not know, or numbers out of range.
        """
        n = len(conditions)
        scales = [guidance] * n if isinstance(guidance, (int, float)) else list(guidance)
        problems = self._row_problems(conditions, seeds)
        if len(scales) != n:
            problems.append(f"{n} conditions but {len(scales)} guidance scales")
        if any(not 0 <= scale <= 100 for scale in scales):
            problems.append("guidance must lie in 0 .. 100")
        if steps < 1:
            problems.append(f"steps={steps!r}: must be at least 1")
        if problems:
            raise UsageError("These images cannot be generated.", problems)
        images = np.empty((n, *self.image_size), dtype=np.uint8)
        for rows in self._batches(n, batch_size):
            images[rows] = self._sample_batch(
                conditions[rows],
                seeds[rows],
                steps,
                torch.tensor(scales[rows], dtype=torch.float32),
            )
        return images

    def renoise(
        self,
        images: npt.NDArray[np.uint8],
        conditions: Sequence[Mapping[str, Any]],
        strength: float,
        seeds: Sequence[int],
        steps: int = 12,
        batch_size: int | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Noise images part of the way and let the model denoise them (SDEdit).

        Makes near-duplicates the way a generator would, for the positive controls of an audit;
        see :mod:`bussynth.generator.renoise`. Image i depends on row i alone (up to the rounding
        of the kernels).

        Args:
            images: uint8 ``(n, H, W)`` of the model's size.
            conditions: Of each image, as in :meth:`sample`.
            strength: Above 0 (the image itself, nearly) to 1 (nothing of it is left).
            seeds: One for each image, 0 .. 2**63 - 1.
            steps: Sampling steps.
            batch_size: Images computed at once.

        Returns:
            uint8 ``(n, H, W)``.

        Raises:
            UsageError: Images of another size, or what :meth:`sample` refuses.
        """
        problems = self._row_problems(conditions, seeds) + self._image_problems(images, conditions)
        if not 0 < strength <= 1:
            problems.append(f"strength={strength!r}: must lie above 0 and at most at 1")
        if steps < 1:
            problems.append(f"steps={steps!r}: must be at least 1")
        if problems:
            raise UsageError("These images cannot be renoised.", problems)
        made = np.empty_like(images)
        for rows in self._batches(len(images), batch_size):
            with torch.inference_mode():
                clean, encoded = self._encoded(images[rows], conditions[rows])
                noise = initial_noise(seeds[rows], tuple(clean.shape[1:])).to(clean)
                with autocast(self._device):
                    latents = renoise(self._denoiser, clean, noise, encoded, strength, steps)
                made[rows] = self._decoded(latents)
        return made

    def restyle(
        self,
        images: npt.NDArray[np.uint8],
        source: Sequence[Mapping[str, Any]],
        target: Sequence[Mapping[str, Any]],
        strength: float,
        seeds: Sequence[int] | None = None,
        steps: int = 12,
        guidance: float = 1.0,
        batch_size: int | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Re-render images under other conditions, such as another device.

        See :mod:`bussynth.generator.transfer`. Image i depends on row i alone (up to the rounding
        of the kernels).

        Args:
            images: uint8 ``(n, H, W)`` of the model's size.
            source: Conditions of each image as it is, as in :meth:`sample`.
            target: Conditions to render it under.
            strength: Above 0 (the image itself, nearly) to 1 (hardly anything of it is left).
            seeds: One for each image, for fresh noise; None takes the image's own noise, found by
                inverting the ODE.
            steps: Solver steps in each direction; without seeds 2 or more.
            guidance: Scale of the difference between target and source; 1 is none beyond it.
            batch_size: Images computed at once.

        Returns:
            uint8 ``(n, H, W)``.

        Raises:
            UsageError: Images of another size, or what :meth:`sample` refuses.
        """
        problems = self._row_problems(source, seeds) + self._image_problems(images, source)
        problems += self._row_problems(target) + self._image_problems(images, target)
        if not 0 < strength <= 1:
            problems.append(f"strength={strength!r}: must lie above 0 and at most at 1")
        least = 2 if seeds is None else 1
        if steps < least:
            problems.append(f"steps={steps!r}: must be at least {least}")
        if not 0 <= guidance <= 100:
            problems.append("guidance must lie in 0 .. 100")
        if problems:
            raise UsageError("These images cannot be restyled.", list(dict.fromkeys(problems)))
        made = np.empty_like(images)
        for rows in self._batches(len(images), batch_size):
            with torch.inference_mode():
                clean, before = self._encoded(images[rows], source[rows])
                after = self._encoder.encode(target[rows]).to(self._device)
                noise = None
                if seeds is not None:
                    noise = initial_noise(seeds[rows], tuple(clean.shape[1:])).to(clean)
                with autocast(self._device):
                    latents = transfer(
                        self._denoiser,
                        clean,
                        before,
                        after,
                        strength,
                        noise=noise,
                        steps=steps,
                        guidance=guidance,
                    )
                made[rows] = self._decoded(latents)
        return made

    def losses(
        self,
        images: npt.NDArray[np.uint8],
        conditions: Sequence[Mapping[str, Any]],
        sigmas: Sequence[float],
        seeds: Sequence[int],
        draws: int = 1,
        batch_size: int | None = None,
    ) -> npt.NDArray[np.float64]:
        """Denoising loss of images at fixed noise levels and fixed noise.

        See :func:`bussynth.generator.losses.denoising_losses`.

        Args:
            images: uint8 ``(n, H, W)`` of the model's size.
            conditions: Of each image, as in :meth:`sample`.
            sigmas: Noise levels, > 0; data have a standard deviation of 0.5.
            seeds: One for each image, 0 .. 2**63 - 1; equal seeds give equal noise.
            draws: Noise draws averaged at each level.
            batch_size: Images computed at once.

        Returns:
            float64 ``(n, len(sigmas))``; the smaller, the better the model knows the image.

        Raises:
            UsageError: Images of another size, or numbers out of range.
        """
        problems = self._row_problems(conditions, seeds)
        problems += self._image_problems(images, conditions) + _level_problems(sigmas)
        if draws < 1:
            problems.append(f"draws={draws!r}: must be at least 1")
        if problems:
            raise UsageError("These losses cannot be computed.", problems)
        found = np.empty((len(images), len(sigmas)), dtype=np.float64)
        for rows in self._batches(len(images), batch_size):
            with torch.inference_mode(), autocast(self._device):
                clean, encoded = self._encoded(images[rows], conditions[rows])
                found[rows] = denoising_losses(
                    self._denoiser, clean, encoded, sigmas, seeds[rows], draws
                ).numpy()
        return found

    def proximal_losses(
        self,
        images: npt.NDArray[np.uint8],
        conditions: Sequence[Mapping[str, Any]],
        sigmas: Sequence[float],
        batch_size: int | None = None,
    ) -> npt.NDArray[np.float64]:
        """Denoising loss with the model's own noise (proximal initialisation).

        See :func:`bussynth.generator.losses.proximal_losses`; arguments, result and errors as in
        :meth:`losses`, without random numbers.
        """
        problems = self._row_problems(conditions) + self._image_problems(images, conditions)
        problems += _level_problems(sigmas)
        if problems:
            raise UsageError("These losses cannot be computed.", problems)
        found = np.empty((len(images), len(sigmas)), dtype=np.float64)
        for rows in self._batches(len(images), batch_size):
            with torch.inference_mode(), autocast(self._device):
                clean, encoded = self._encoded(images[rows], conditions[rows])
                found[rows] = proximal_losses(self._denoiser, clean, encoded, sigmas).numpy()
        return found

    def _row_problems(
        self, conditions: Sequence[Mapping[str, Any]], seeds: Sequence[int] | None = None
    ) -> list[str]:
        problems = self._encoder.problems(conditions)
        if seeds is not None:
            if len(seeds) != len(conditions):
                problems.append(
                    f"{len(conditions)} conditions but {len(seeds)} seeds; give one seed an image"
                )
            if any(not 0 <= seed < 2**63 for seed in seeds):
                problems.append("seeds must lie in 0 .. 2**63 - 1")
        return problems

    def _image_problems(
        self, images: npt.NDArray[np.uint8], conditions: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        height, width = self.image_size
        if images.dtype != np.uint8 or images.shape[1:] != (height, width):
            return [
                f"expected uint8 images (n, {height}, {width}), got {images.dtype} {images.shape}"
            ]
        if len(images) != len(conditions):
            return [f"{len(images)} images but {len(conditions)} conditions; give one an image"]
        return []

    def _batches(self, n: int, batch_size: int | None) -> Iterator[slice]:
        size = batch_size or _BATCH_SIZE[self._device.type]
        return (slice(start, start + size) for start in range(0, n, size))

    def _encoded(
        self, images: npt.NDArray[np.uint8], conditions: Sequence[Mapping[str, Any]]
    ) -> tuple[torch.Tensor, ConditionBatch]:
        """Scaled bands and conditions of a batch, on the device."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self._device)
        clean = Haar(self._model.architecture.factor).encode(pixels)
        return clean, self._encoder.encode(conditions).to(self._device)

    def _decoded(self, latents: torch.Tensor) -> npt.NDArray[np.uint8]:
        pixels = Haar(self._model.architecture.factor).decode(latents.float())
        return np.asarray(pixels.cpu().numpy(), dtype=np.uint8)

    @torch.inference_mode()
    def _sample_batch(
        self,
        conditions: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        steps: int,
        guidance: torch.Tensor,
    ) -> npt.NDArray[np.uint8]:
        architecture = self._model.architecture
        noise = initial_noise(seeds, (architecture.factor**2, *architecture.latent_size))
        with autocast(self._device):
            latents = sample(
                self._denoiser,
                noise.to(self._device, memory_format=torch.channels_last),
                self._encoder.encode(conditions).to(self._device),
                guidance.to(self._device),
                steps,
            )
        return self._decoded(latents)


def _level_problems(sigmas: Sequence[float]) -> list[str]:
    if not all(0 < sigma < np.inf for sigma in sigmas):
        return [f"sigmas={tuple(sigmas)!r}: noise levels must be above 0 and finite"]
    return []


def _carry_out(cohort: Cohort, out: Path, plan: TrainPlan, progress: Progress) -> None:
    run = train_model if plan.private is None else train_privately
    run(cohort, out, plan, progress)
