"""Modulated deformable convolution (DCNv2, Zhu et al. 2019) in plain PyTorch."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracker_core.patches import patches_at
from tracker_core.transfer import constant

#: Of the kernel; stride 1, padding 1 and one deformable group are the only form in use.
KERNEL_SIZE = 3
TAPS = KERNEL_SIZE**2
#: Cells of zeros before and after a feature map, so that every tap has its four cells.
_BORDER = (1, 2)


def deform_conv(
    features: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Convolve 3 x 3 (stride 1, padding 1) with moved and weighted taps (paper eq. 1).

    features: (N, C, H, W), zero outside. offsets: (N, 18, H, W) in cells; channels 2t and 2t + 1
    move tap t = 3 row + column by (dy, dx). mask: (N, 9, H, W), the factor of each tap, in [0, 1].
    weight: (D, C, 3, 3). bias: (D,). Returns (N, D, H, W), channels last in memory. Differentiable
    in everything. Raises ValueError where the shapes do not fit. On CUDA the operator of
    torchvision does the work where it is installed; on CPUs it is several times slower than this.
    """
    height, width = features.shape[2:]
    _check(features, offsets, mask, weight)
    compiled = _compiled_operator(features)
    if compiled is not None:
        return compiled(features, offsets, weight, bias, padding=1, mask=mask)
    moves = offsets.permute(0, 2, 3, 1).reshape(-1, height, width, TAPS, 2)
    rows = torch.arange(height, device=features.device).view(-1, 1, 1)
    columns = torch.arange(width, device=features.device).view(-1, 1)
    cells = _Cells(rows, columns, moves, mask.permute(0, 2, 3, 1))
    return _convolve(features, cells, weight, bias).permute(0, 3, 1, 2)


class _Cells(NamedTuple):
    """Where a convolution is computed, with the moves (N, ..., 9, 2) of its taps."""

    rows: Tensor
    """Of the cells, as `columns`; both broadcast to (N, ..., 9)."""
    columns: Tensor
    moves: Tensor
    factors: Tensor
    """Of the taps, (N, ..., 9)."""


def _convolve(features: Tensor, cells: _Cells, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Values (N, ..., D) in these cells."""
    channels = features.shape[1]
    indices, weights = _bilinear_taps(cells, features.shape[2:])
    table = functional.pad(features.permute(0, 2, 3, 1), (0, 0, *_BORDER, *_BORDER))
    # A weighted sum of four rows per tap, which is what embedding_bag computes in one pass.
    found = functional.embedding_bag(
        indices,
        table.reshape(-1, channels),
        mode='sum',
        per_sample_weights=weights.to(table.dtype),
    )
    kernel = weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)
    result = functional.linear(found.view(-1, TAPS * channels), kernel, bias)
    return result.view(*cells.factors.shape[:-1], -1)


def _compiled_operator(features: Tensor) -> Callable[..., Tensor] | None:
    """Return torchvision's deform_conv2d for tensors it can be faster on, else None."""
    if features.device.type != 'cuda' or features.dtype == torch.bfloat16:
        return None
    if importlib.util.find_spec('torchvision') is None:
        return None
    operators = importlib.import_module('torchvision.ops')
    return operators.deform_conv2d  # type: ignore[no-any-return]


def _check(features: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor) -> None:
    count, channels, height, width = features.shape
    expected = (
        (offsets, 'offsets', (count, 2 * TAPS, height, width)),
        (mask, 'mask', (count, TAPS, height, width)),
        (weight, 'weight', (weight.shape[0], channels, KERNEL_SIZE, KERNEL_SIZE)),
    )
    for tensor, name, shape in expected:
        if tensor.shape != shape:
            raise ValueError(
                f'{name} must have shape {shape} for features {tuple(features.shape)}, '
                f'not {tuple(tensor.shape)}'
            )


def _bilinear_taps(cells: _Cells, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the four cells around every tap and their weights, both (taps, 4).

    They are rows of the feature map of this shape (H, W) with its border of zeros, flattened over
    batch, rows and columns. At least in float32: an index needs more digits than bfloat16 has.
    """
    height, width = shape
    moves, device = cells.moves, cells.moves.device
    dtype = torch.promote_types(moves.dtype, torch.float32)
    moves, factors = moves.to(dtype), cells.factors.to(dtype)
    tap = torch.arange(TAPS, device=device)
    y, below = _split(moves[..., 0] + (cells.rows + tap // KERNEL_SIZE - 1), height)
    x, right = _split(moves[..., 1] + (cells.columns + tap % KERNEL_SIZE - 1), width)
    stride = width + sum(_BORDER)
    start = torch.arange(len(moves), dtype=torch.int32, device=device)
    start = start.view(-1, *[1] * (factors.dim() - 1))
    first = (start * (height + sum(_BORDER)) + y) * stride + x
    corners = constant((0, 1, stride, stride + 1), first)
    lower = factors * below
    upper = factors - lower
    upper_right, lower_right = upper * right, lower * right
    weights = torch.stack((upper - upper_right, upper_right, lower - lower_right, lower_right), -1)
    return (first.unsqueeze(-1) + corners).reshape(-1, 4), weights.reshape(-1, 4)


def _split(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cell before each position on one axis, counted with the border, and the share beyond it."""
    # Beyond one cell outside nothing contributes any more, however far an offset points.
    position = position.clamp(-1, size)
    cell = position.detach().floor()
    return cell.to(torch.int32) + _BORDER[0], position - cell


class DeformConv(nn.Module):
    """Deformable 3 x 3 convolution whose offsets and mask are convolved from its own input.

    State-dict keys are those of the published DCNv2 layer: `weight`, `bias` and `conv_offset_mask`
    with 27 channels, of which the last nine are the logits of the mask.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, KERNEL_SIZE, KERNEL_SIZE))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.conv_offset_mask = nn.Conv2d(inputs, 3 * TAPS, KERNEL_SIZE, padding=1)
        bound = 1 / math.sqrt(TAPS * inputs)
        nn.init.uniform_(self.weight, -bound, bound)
        # Published networks overwrite the zero offsets of the paper by the normal draw of their
        # other convolutions, so that a new layer does not start as a plain convolution.
        nn.init.normal_(self.conv_offset_mask.weight, std=math.sqrt(2 / (TAPS * 3 * TAPS)))
        nn.init.zeros_(self.conv_offset_mask.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        offsets, logits = self.conv_offset_mask(features).split((2 * TAPS, TAPS), 1)
        return deform_conv(features, offsets, logits.sigmoid(), self.weight, self.bias)

    def at(self, features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Values (N, K, outputs) of `forward` in some cells (N, K) of the map."""
        convolution = self.conv_offset_mask
        patches = patches_at(features, rows, columns).flatten(2)
        found = functional.linear(patches, convolution.weight.flatten(1), convolution.bias)
        offsets, logits = found[..., : 2 * TAPS], found[..., 2 * TAPS :]
        moves = offsets.reshape(*rows.shape, TAPS, 2)
        cells = _Cells(rows[..., None], columns[..., None], moves, logits.sigmoid())
        return _convolve(features, cells, self.weight, self.bias)
