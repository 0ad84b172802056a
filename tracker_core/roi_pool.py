"""Precise RoI pooling (Jiang et al. 2018) in plain PyTorch, differentiable in the boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tracker_core.box_bins import BoxBins, CellShares, Level


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
    """Boxes pooled from maps of an image, with what their gradient in the boxes needs.

    The same values as `roi_pool` in square bins; the gradient is written out because it is
    several times faster than autograd, and works in inference mode.
    """

    def __init__(
        self, maps: Sequence[Tensor], boxes_ltwh: Tensor, levels: tuple[Level, ...]
    ) -> None:
        """Pool boxes (N, K, 4) in input pixels from maps (N, C, H, W), one per level."""
        bins = BoxBins(boxes_ltwh, levels)
        cells = max(max(each.shape[2:]) for each in maps)
        places = torch.arange(cells, dtype=boxes_ltwh.dtype, device=boxes_ltwh.device)
        self._shares = CellShares(bins, places)
        self._slices = bins.slices
        self._pooled = [
            _Pooled(features, self._shares.weights[:, :, :, each])
            for features, each in zip(maps, self._slices, strict=True)
        ]

    @property
    def values(self) -> list[Tensor]:
        """Pooled features (N, K, rows, columns, C): channels last, unlike those of `roi_pool`."""
        return [each.values for each in self._pooled]

    def box_gradient(self, gradients: Sequence[Tensor]) -> Tensor:
        """Turn the gradients in the values (N, K, rows, columns, C) into one in the boxes.

        Returns (N, K, 4) for left, top, width and height in input pixels.
        """
        in_weights = torch.zeros_like(self._shares.weights)
        for pooled, each, gradient in zip(self._pooled, self._slices, gradients, strict=True):
            pooled.weight_gradient(gradient, in_weights[:, :, :, each])
        return self._shares.box_gradient(in_weights)


class _Pooled:
    """Boxes pooled from one map (N, C, H, W) by weights (N, K, 2, bins, cells), x first."""

    def __init__(self, features: Tensor, weights: Tensor) -> None:
        self._features = features
        height, width = features.shape[2:]
        self._over_x = weights[:, :, 0, :, :width].to(features.dtype)[:, :, None]
        self._strips = _strips(features, weights[:, :, 1, :, :height].to(features.dtype))
        self.values = torch.matmul(self._over_x, self._strips)

    def weight_gradient(self, gradient: Tensor, result: Tensor) -> None:
        """Write the gradient in the weights, from that in the values, into `result`."""
        height, width = self._features.shape[2:]
        in_x = torch.matmul(gradient, self._strips.transpose(-1, -2))
        result[:, :, 0, :, :width] = in_x.sum(2, dtype=result.dtype)
        back = torch.matmul(self._over_x.transpose(-1, -2), gradient)
        count, boxes, rows = back.shape[:3]
        surface = self._features.permute(0, 2, 3, 1).flatten(2)
        in_y = torch.bmm(back.reshape(count, boxes * rows, -1), surface.transpose(1, 2))
        result[:, :, 1, :, :height] = in_y.view(count, boxes, rows, height)


def bin_weights(start: Tensor, stop: Tensor, bins: int, cells: int) -> Tensor:
    """Mean of every cell's hat function over every bin of [start, stop]: (N, K, bins, cells).

    start, stop: (N, K) in feature cells. These are the factors of `roi_pool` along one axis.
    """
    width = (stop - start).clamp(min=0) / bins
    steps = torch.arange(bins + 1, dtype=start.dtype, device=start.device)
    at = torch.arange(cells, dtype=start.dtype, device=start.device)
    edges = start[..., None] + width[..., None] * steps
    distances = (edges[..., None] - at).clamp(-1, 1)
    integral = distances * (1 - 0.5 * distances.abs())
    empty = (width == 0)[..., None, None]
    width = width[..., None, None].masked_fill(empty, 1)
    return (integral.diff(dim=-2) / width).masked_fill(empty, 0)
