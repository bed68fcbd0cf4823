"""The generator users hold: train, load, sample."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import diffusers
import numpy as np
import numpy.typing as npt
import torch

from bussynth import atomic
from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator.checkpoint import CHECKPOINT_FILE, TRAINING_FILE
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.config import TrainConfig
from bussynth.generator.dataset import TrainingSet, training_view
from bussynth.generator.device import autocast, resolve_device
from bussynth.generator.plan import TrainPlan, check_train
from bussynth.generator.prior import ConditionPrior
from bussynth.generator.sampler import initial_noise, sample
from bussynth.generator.storage import MODEL_FILE, StoredModel, read_model, write_model
from bussynth.generator.training import TrainedWeights, build_denoiser, fit
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
        steps: int = 20,
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
        self._denoiser = denoiser.to(self._device).eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path | str, device: str = "auto") -> Generator:
        """Load a model folder.

        Args:
            path: The folder.
            device: ``"auto"`` takes a GPU if there is one.

        Raises:
            IntegrityError: The training is unfinished, or a file was changed.
            DataError: There is no model.
        """
        return cls(read_model(Path(path)), device)

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

        Raises:
            UsageError: See :func:`check_train`.
            DataError: There are no training images, or the file system refused.
        """
        options = options or RunOptions()
        out = Path(out)
        plan = check_train(cohort, out, config or TrainConfig(), options=options, force=force)
        if plan.state != "finished":
            _train(cohort, out, plan, progress)
        _remove_leftovers(out)
        return cls.load(out, options.device)

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
    def trained_on(self) -> str:
        """Digest of the cohort the model was trained on."""
        return str(self._model.training["cohort"]["digest"])

    @property
    def training(self) -> Mapping[str, Any]:
        """Record of the training."""
        return self._model.training

    def sample(
        self,
        conditions: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        steps: int = 20,
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
        problems = self._encoder.problems(conditions)
        if len(seeds) != n:
            problems.append(f"{n} conditions but {len(seeds)} seeds; give one seed an image")
        if len(scales) != n:
            problems.append(f"{n} conditions but {len(scales)} guidance scales")
        if any(not 0 <= seed < 2**63 for seed in seeds):
            problems.append("seeds must lie in 0 .. 2**63 - 1")
        if any(not 0 <= scale <= 100 for scale in scales):
            problems.append("guidance must lie in 0 .. 100")
        if steps < 1:
            problems.append(f"steps={steps!r}: must be at least 1")
        if problems:
            raise UsageError("These images cannot be generated.", problems)
        images = np.empty((n, *self.image_size), dtype=np.uint8)
        size = batch_size or _BATCH_SIZE[self._device.type]
        for start in range(0, n, size):
            rows = slice(start, start + size)
            images[rows] = self._sample_batch(
                conditions[rows],
                seeds[rows],
                steps,
                torch.tensor(scales[rows], dtype=torch.float32),
            )
        return images

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
        pixels = Haar(architecture.factor).decode(latents.float())
        return np.asarray(pixels.cpu().numpy(), dtype=np.uint8)


def _train(cohort: Cohort, out: Path, plan: TrainPlan, progress: Progress) -> None:
    """Carry out a plan up to and including ``model.json``."""
    if plan.state == "new":
        if out.exists():
            # Checked before: empty, or an earlier output that --force gives up. The record goes
            # first, so that no half-removed folder passes for a model.
            (out / MODEL_FILE).unlink(missing_ok=True)
            shutil.rmtree(out)
        out.mkdir(parents=True)
        atomic.write_json(out / TRAINING_FILE, plan.identity)
    encoder = ConditionEncoder(cohort.vocabulary, cohort.image_size)
    data = TrainingSet.load(training_view(cohort), encoder, out, progress)
    trained = fit(data, plan.architecture, plan.config, out, torch.device(plan.device), progress)
    prior = ConditionPrior.fit(
        data.conditions,
        data.patients,
        cohort.vocabulary,
        cohort.image_size,
        plan.config.prior_min_patients,
    )
    write_model(
        out,
        architecture=plan.architecture,
        vocabulary=cohort.vocabulary,
        weights=trained.weights,
        prior=prior,
        training=_record(cohort, plan, data, trained),
    )


def _record(
    cohort: Cohort, plan: TrainPlan, data: TrainingSet, trained: TrainedWeights
) -> dict[str, Any]:
    return {
        "identity": plan.identity,
        "config": plan.config.to_dict(),
        "cohort": {"digest": cohort.digest, "kind": cohort.kind},
        "images": plan.images,
        "patients": len(set(data.patients)) if cohort.kind != "synthetic" else None,
        "parameters": plan.parameters,
        "steps": trained.position.step,
        "seconds": round(trained.position.seconds, 1),
        "loss": trained.loss,
        "device": torch.device(plan.device).type,
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
    }


def _remove_leftovers(out: Path) -> None:
    """Drop the state of a finished training: optimizer and raw weights are of no more use."""
    for path in [out / CHECKPOINT_FILE, out / TRAINING_FILE, *out.glob(".*.partial-*")]:
        with suppress(FileNotFoundError):
            path.unlink()
