"""A pipeline folder of diffusers: unconditional pipelines in pixel space, weights in safetensors.

Only classes of diffusers itself are made, and only those named here; nothing is downloaded, no
code that lies in the folder runs, and no pickle is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bussynth.cohort.store import file_sha256
from bussynth.errors import DataError
from bussynth.generator.seeds import derive_seed
from bussynth.ingest.notes import Note
from bussynth.wrapping.digest import source_digest
from bussynth.wrapping.records import MAX_RECORD_BYTES, parse_record
from bussynth.wrapping.source import PIPELINE_FILE

__all__ = ["Pipeline", "PipelinePlan", "check_pipeline"]

_STEPS: Final = {"DDPMPipeline": 1000, "DDIMPipeline": 50}
"""The pipelines that are read, with the number of steps each takes unless told otherwise."""
_SCHEDULERS: Final = ("DDPMScheduler", "DDIMScheduler")
_NETWORK: Final = "UNet2DModel"
_WEIGHTS: Final = "unet/diffusion_pytorch_model.safetensors"
_RECORDS: Final = (PIPELINE_FILE, "scheduler/scheduler_config.json", "unet/config.json")
_PICKLES: Final = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
_LUMA: Final = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class PipelinePlan:
    """A checked pipeline folder, before its weights are read.

    Attributes:
        folder: The folder.
        pipeline: Class of the pipeline.
        scheduler: Class of the scheduler.
        scheduler_config: Its settings.
        image_size: Height and width of the images it makes.
        steps: Sampling steps.
        digest: ``"sha256:…"`` of the files that decide the images.
    """

    folder: Path
    pipeline: str
    scheduler: str
    scheduler_config: Mapping[str, Any]
    image_size: tuple[int, int]
    steps: int
    digest: str

    def open(self, *, seed: int, device: str = "auto") -> Pipeline:
        """Load the pipeline.

        Args:
            seed: Of the noise.
            device: Device of torch.

        Raises:
            DataError: Weights and settings do not fit each other.
            UsageError: The device does not exist.
        """
        import diffusers
        import torch

        from bussynth.generator.device import resolve_device

        place = resolve_device(device)
        try:
            network, loaded = diffusers.UNet2DModel.from_pretrained(
                str(self.folder),
                subfolder="unet",
                use_safetensors=True,
                local_files_only=True,
                torch_dtype=torch.float32,
                output_loading_info=True,
            )
            scheduler = getattr(diffusers, self.scheduler).from_config(dict(self.scheduler_config))
        except Exception as error:  # of many libraries, and of many classes on hostile settings
            raise DataError(
                f"The pipeline cannot be loaded ({type(error).__name__}): weights and settings do "
                "not fit each other, or a file is damaged."
            ) from error
        # diffusers leaves what it does not find in the file at random.
        if loaded["missing_keys"] or loaded["mismatched_keys"] or loaded["unexpected_keys"]:
            raise DataError(
                f"{_WEIGHTS} does not hold the weights that unet/config.json describes."
            )
        call = getattr(diffusers, self.pipeline)(unet=network, scheduler=scheduler).to(place)
        call.set_progress_bar_config(disable=True)
        versions = {"torch": torch.__version__, "diffusers": diffusers.__version__}
        return Pipeline(call, self.steps, self.image_size, seed, versions)


def check_pipeline(folder: Path, steps: int | None = None) -> PipelinePlan:
    """Check a pipeline folder without loading it.

    Args:
        folder: The folder.
        steps: Sampling steps; those of the pipeline's own call if None.

    Raises:
        DataError: It brings code or pickles, or is of a kind that is not read; all problems are
            listed.
    """
    records: dict[str, dict[str, Any]] = {}
    problems = [
        f"{found.relative_to(folder).as_posix()}: code in the folder is not run"
        for found in sorted(folder.rglob("*.py"))
    ]
    for name in _RECORDS:
        try:
            with (folder / name).open("rb") as file:
                records[name] = parse_record(file.read(MAX_RECORD_BYTES + 1), what=name)
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror})")
        except DataError as error:
            problems.append(error.message)
    problems += _weights_problems(folder)
    index, scheduler, network = (records.get(name) for name in _RECORDS)
    if index is not None:
        problems += _index_problems(index)
    if network is not None:
        problems += _network_problems(network)
    if scheduler is not None:
        problems += _scheduler_problems(scheduler, steps)
    if problems or index is None or scheduler is None or network is None:
        raise DataError("The pipeline folder cannot be wrapped.", problems)
    size = network["sample_size"]
    pipeline = index["_class_name"]
    files = [(name, file_sha256(folder / name)) for name in (*_RECORDS, _WEIGHTS)]
    return PipelinePlan(
        folder=folder,
        pipeline=pipeline,
        scheduler=index["scheduler"][1],
        scheduler_config=scheduler,
        image_size=(size, size) if isinstance(size, int) else (size[0], size[1]),
        steps=steps or min(_STEPS[pipeline], scheduler.get("num_train_timesteps", 1000)),
        digest=source_digest("diffusers", files),
    )


def _weights_problems(folder: Path) -> list[str]:
    network = folder / "unet"
    found = sorted(network.iterdir()) if network.is_dir() else []
    problems = []
    if not (folder / _WEIGHTS).is_file():
        pickled = any(file.suffix.lower() in _PICKLES for file in found)
        problems.append(
            f"{_WEIGHTS} is missing"
            + (
                "; pickled weights in its place are not opened, for they can run anything: save "
                "with safe_serialization=True"
                if pickled
                else ""
            )
        )
    # An index would let diffusers read other files than the one that is hashed.
    if any(file.name.endswith(".index.json") for file in found):
        problems.append("unet: weights in several files are not read; save them as one")
    return problems


def _index_problems(index: Mapping[str, Any]) -> list[str]:
    problems = []
    name = index.get("_class_name")
    if name not in tuple(_STEPS):  # a list, which custom pipelines have, is no key
        what = "a custom pipeline" if isinstance(name, list) else repr(name)
        problems.append(f"{PIPELINE_FILE}: {what} is not read, only {', '.join(_STEPS)}")
    wanted = {"unet": (_NETWORK,), "scheduler": _SCHEDULERS}
    for part, classes in wanted.items():
        if index.get(part) not in [["diffusers", name] for name in classes]:
            problems.append(f"{PIPELINE_FILE}: {part} must be {' or '.join(classes)} of diffusers")
    others = sorted(key for key in index if not key.startswith("_") and key not in wanted)
    if others:
        problems.append(f"{PIPELINE_FILE}: unknown parts {', '.join(others)}")
    return problems


def _network_problems(network: Mapping[str, Any]) -> list[str]:
    name = "unet/config.json"
    problems = []
    if network.get("_class_name") != _NETWORK:
        problems.append(f"{name}: must describe a {_NETWORK}")
    for key in ("auto_map", "quantization_config"):
        if key in network:
            problems.append(f"{name}: {key} is not read")
    if network.get("num_class_embeds") or network.get("class_embed_type"):
        problems.append(f"{name}: networks that take class labels are not read")
    if network.get("in_channels") not in (1, 3):
        problems.append(f"{name}: in_channels must be 1 (grey) or 3 (colour)")
    size = network.get("sample_size")
    edges = size if isinstance(size, list) and len(size) == 2 else [size]
    if any(not isinstance(edge, int) or not 1 <= edge <= 4096 for edge in edges):
        problems.append(f"{name}: sample_size must be an edge length or [height, width]")
    return problems


def _scheduler_problems(scheduler: Mapping[str, Any], steps: int | None) -> list[str]:
    most = scheduler.get("num_train_timesteps", 1000)
    if not isinstance(most, int) or most < 1:
        return ["scheduler/scheduler_config.json: num_train_timesteps must be a number of steps"]
    if steps is not None and steps > most:
        return [f"--steps {steps}: the pipeline has {most} steps"]
    return []


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A loaded pipeline.

    Attributes:
        call: The pipeline of diffusers.
        steps: Sampling steps.
        image_size: Height and width of its images.
        seed: Of the noise.
        versions: Of the libraries that run it.
    """

    call: Any
    steps: int
    image_size: tuple[int, int]
    seed: int
    versions: dict[str, str]

    @property
    def notes(self) -> tuple[Note, ...]:
        """Nothing that the user should know."""
        return ()

    def draw(
        self, rows: Sequence[int], conditions: Sequence[Mapping[str, str | None]]
    ) -> npt.NDArray[np.uint8]:
        """Draw images by number: uint8 (n, H, W); colour becomes BT.601 luma.

        Args:
            rows: Numbers of the images; each has a random stream of its own.
            conditions: Not used: the pipelines read here are unconditional.

        Raises:
            DataError: The pipeline yields NaN or infinity.
        """
        import torch

        # torch seeds its generator of the CPU with 32 bits. Consecutive numbers of 32 bits never
        # meet within a cohort, as hashes of the row would among a hundred thousand images.
        first = derive_seed("pipeline", self.seed)
        seeds = [(first + row) % 2**32 for row in rows]
        out = self.call(
            batch_size=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            num_inference_steps=self.steps,
            output_type="np",
        ).images
        if not np.isfinite(out).all():
            raise DataError("The pipeline yields NaN or infinity.")
        grey = out @ np.array(_LUMA) if out.shape[-1] == 3 else out[..., 0]
        return np.asarray(np.rint(grey.clip(0, 1) * 255), dtype=np.uint8)
