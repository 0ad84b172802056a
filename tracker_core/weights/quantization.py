"""Tensors in 8 bits with one scale per output, for weights files that must stay small."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tracker_core.weights.errors import WeightsError

_SCALE = '/scale'


def quantize_largest(tensors: Mapping[str, Tensor], max_bytes: int) -> dict[str, Tensor]:
    """Store the largest tensors of 16 or more bits as integers until all need `max_bytes` bytes.

    Element i of a tensor's first axis becomes int8 values times entry i of `NAME/scale`. Vectors
    are left alone, so that the limit may be missed.
    """
    result = dict(tensors)
    total = sum(tensor.nbytes for tensor in tensors.values())
    for name in sorted(tensors, key=lambda name: -tensors[name].nbytes):
        tensor = tensors[name]
        if total <= max_bytes:
            break
        if tensor.is_floating_point() and tensor.dim() > 1:
            result[name], result[name + _SCALE] = _quantize(tensor)
            total += result[name].nbytes + result[name + _SCALE].nbytes - tensor.nbytes
    return result


def _quantize(tensor: Tensor) -> tuple[Tensor, Tensor]:
    rows = tensor.float().flatten(1)
    scale = rows.abs().amax(1).clamp(min=1e-12) / 127
    values = (rows / scale[:, None]).round().to(torch.int8)
    return values.view(tensor.shape), scale


def dequantize(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn what `quantize_largest` made of tensors into floats again.

    Raises WeightsError for 8-bit tensors without a scale per output.
    """
    tensors = {}
    for name, tensor in stored.items():
        if name.endswith(_SCALE):
            continue
        scale = stored.get(name + _SCALE)
        if scale is not None or tensor.dtype == torch.int8:
            if scale is None or scale.shape != tensor.shape[:1]:
                raise WeightsError(f'{name} has 8 bits, but no {name}{_SCALE} that fits')
            tensor = tensor.float() * scale.float().view(-1, *[1] * (tensor.dim() - 1))
        tensors[name] = tensor
    return tensors
