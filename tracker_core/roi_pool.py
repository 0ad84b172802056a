"""Precise RoI pooling (Jiang et al. 2018) in plain PyTorch, differentiable in the boxes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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
    pooled = torch.matmul(over_x[:, :, None], _strips(features, over_y))
    return pooled.permute(0, 1, 4, 2, 3)


def _strips(features: Tensor, over_y: Tensor) -> Tensor:
    """Pool (N, C, H, W) along y alone by (N, K, rows, H): (N, K, rows, W, C)."""
    count, boxes, rows, height = over_y.shape
    # (N, K rows, H) x (N, H, W C): all boxes of a map in one product, channels last.
    surface = features.permute(0, 2, 3, 1).flatten(2)
    strips = torch.bmm(over_y.reshape(count, boxes * rows, height), surface)
    return strips.view(count, boxes, rows, features.shape[3], features.shape[1])


class PooledBoxes:
    """Pooled boxes that remember what their gradient in the boxes needs.

    The same values as `roi_pool` in square bins; the gradient is written out because it is
    several times faster than autograd, and works in inference mode.
    """

    def __init__(self, features: Tensor, boxes_ltrb: Tensor, size: int, scale: float) -> None:
        self.features, self.scale = features, scale
        height, width = features.shape[2:]
        # Both axes in one go: the tensors are so small that every operation costs the same.
        corners = (boxes_ltrb * scale).permute(2, 0, 1)
        self._bins = _Bins(corners[:2], corners[2:], size, max(height, width))
        over_x, over_y = self._bins.weights.to(features.dtype)
        self._over_x = over_x[..., :width]
        self._strips = _strips(features, over_y[..., :height])
        self.values = torch.matmul(self._over_x[:, :, None], self._strips)
        """Pooled features (N, K, rows, columns, C): channels last, unlike those of `roi_pool`."""

    def box_gradient(self, gradient: Tensor) -> Tensor:
        """Turn the gradient in the values (N, K, rows, columns, C) into one in the boxes.

        Returns (N, K, 4) for left, top, right and bottom in input pixels.
        """
        in_x = torch.matmul(gradient, self._strips.transpose(-1, -2)).float().sum(2)
        back = torch.matmul(self._over_x[:, :, None].transpose(-1, -2), gradient)
        count, boxes, rows = back.shape[:3]
        surface = self.features.permute(0, 2, 3, 1).flatten(2)
        in_y = torch.bmm(back.reshape(count, boxes * rows, -1), surface.transpose(1, 2))
        in_y = in_y.float().view(count, boxes, rows, -1)
        cells = self._bins.weights.shape[-1]
        both = [functional.pad(each, (0, cells - each.shape[-1])) for each in (in_x, in_y)]
        edges = torch.cat(self._bins.edge_gradients(torch.stack(both)))
        return edges.permute(1, 2, 0) * self.scale


class _Bins:
    """Equal bins of intervals [start, stop], (..., K) in cells, and the cells' share in each."""

    def __init__(self, start: Tensor, stop: Tensor, bins: int, cells: int) -> None:
        width = (stop - start).clamp(min=0) / bins
        self._steps = torch.arange(bins + 1, dtype=start.dtype, device=start.device)
        at = torch.arange(cells, dtype=start.dtype, device=start.device)
        edges = start[..., None] + width[..., None] * self._steps
        self._distances = (edges[..., None] - at).clamp(-1, 1)
        self._empty = (width == 0)[..., None, None]
        self._width = width[..., None, None].masked_fill(self._empty, 1)
        integral = self._distances * (1 - 0.5 * self._distances.abs())
        self.weights = (integral.diff(dim=-2) / self._width).masked_fill(self._empty, 0)

    def edge_gradients(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients (..., K) in start and stop from that in the weights (..., K, bins, cells)."""
        gradient = (gradient / self._width).masked_fill(self._empty, 0)
        # The hat function is the derivative of the integral up to an edge.
        hats = 1 - self._distances.abs()
        edges = functional.pad((gradient * hats[..., 1:, :]).sum(-1), (1, 0))
        edges = edges - functional.pad((gradient * hats[..., :-1, :]).sum(-1), (0, 1))
        width = (edges * self._steps).sum(-1) - (gradient * self.weights).sum((-2, -1))
        width = width / (len(self._steps) - 1)
        return edges.sum(-1) - width, width


def bin_weights(start: Tensor, stop: Tensor, bins: int, cells: int) -> Tensor:
    """Mean of every cell's hat function over every bin of [start, stop]: (N, K, bins, cells).

    start, stop: (N, K) in feature cells. These are the factors of `roi_pool` along one axis.
    """
    return _Bins(start, stop, bins, cells).weights
