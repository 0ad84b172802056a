"""Precise RoI pooling (Jiang et al. 2018) in plain PyTorch, differentiable in the boxes."""

from __future__ import annotations

import torch
from torch import Tensor


def roi_pool(
    features: Tensor, boxes_ltrb: Tensor, size: int | tuple[int, int], scale: float
) -> Tensor:
    """Average the bilinear surface of a feature map over the bins of each box, exactly.

    features: (N, C, H, W); cell k lies *at* coordinate k and everything outside is zero.
    boxes_ltrb: (N, K, 4), K boxes per map, in input pixels. size: bins (rows, columns) per box.
    scale: feature cells per input pixel. Returns (N, K, C, rows, columns); bins of an empty box
    are zero. The surface is a tensor product of hat functions, so that the integral over a bin is
    two small matrix products.
    """
    rows, columns = (size, size) if isinstance(size, int) else size
    left, top, right, bottom = (boxes_ltrb * scale).unbind(-1)
    over_y = bin_weights(top, bottom, rows, features.shape[2]).to(features.dtype)
    over_x = bin_weights(left, right, columns, features.shape[3]).to(features.dtype)
    count, boxes = boxes_ltrb.shape[:2]
    channels, height, width = features.shape[1:]
    # (N, K rows, H) x (N, H, W C): all boxes of a map in one product, channels last.
    surface = features.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    strips = torch.bmm(over_y.reshape(count, boxes * rows, height), surface)
    strips = strips.view(count * boxes, rows, width, channels)
    over_x = over_x.reshape(count * boxes, 1, columns, width)
    pooled = torch.matmul(over_x, strips)
    return pooled.view(count, boxes, rows, columns, channels).permute(0, 1, 4, 2, 3)


def bin_weights(start: Tensor, stop: Tensor, bins: int, cells: int) -> Tensor:
    """Mean of every cell's hat function over every bin of [start, stop]: (N, K, bins, cells).

    start, stop: (N, K) in feature cells. These are the factors of `roi_pool` along one axis.
    """
    width = (stop - start).clamp(min=0) / bins
    edges = start[..., None] + width[..., None] * torch.arange(
        bins + 1, dtype=start.dtype, device=start.device
    )
    at = torch.arange(cells, dtype=start.dtype, device=start.device)
    integral = _hat_integral(edges[..., None] - at)
    empty = (width == 0)[..., None, None]
    length = width[..., None, None].masked_fill(empty, 1)
    return (integral.diff(dim=-2) / length).masked_fill(empty, 0)


def _hat_integral(upper: Tensor) -> Tensor:
    """Integral of max(0, 1 - |u|) from zero to `upper`."""
    inside = upper.clamp(-1, 1)
    return inside - 0.5 * inside * inside.abs()
