"""Data on its way to a device, without waiting for what the device still computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Values of the CPU on `device`; shares their memory where that is the CPU.

    A copy to a GPU only waits in line behind earlier work there, which takes pinned memory: from
    other memory, as in `torch.tensor(..., device='cuda')`, PyTorch waits until it has arrived.
    """
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type != 'cuda':
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """Values (n,) in the type of another tensor, on its device."""
    return upload(torch.tensor(values, dtype=like.dtype), like.device)
