"""The dataset of a package as a ``torch.utils.data.Dataset``; the only module with torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from bussynth.package.dataset import PackageDataset

__all__ = ["TorchPackageDataset"]


class TorchPackageDataset(PackageDataset, Dataset[dict[str, Any]]):
    """A :class:`~bussynth.package.dataset.PackageDataset` whose arrays are tensors."""

    def _tensor(self, array: npt.NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(array)
