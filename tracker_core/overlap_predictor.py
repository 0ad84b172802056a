"""The IoU network for one target, with its gradient in the boxes written out.

Modulation and batch norm are multiplied into the linear layers once. This is several times faster
than autograd, and possible in inference mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracker_core.box_bins import BoxBins, CellShares
from tracker_core.iou_net import LEVELS, IoUNet, Pair
from tracker_core.roi_pool import PooledBoxes


class OverlapPredictor:
    """`IoUNet.predict` in evaluation for one target."""

    def __init__(
        self, network: IoUNet, modulation: Pair, gradient_decimals: int | None = None
    ) -> None:
        """Prepare for a modulation (1, 256, 1, 1) x 2; the network must be in evaluation mode.

        gradient_decimals: what the gradient is rounded to.
        """
        blocks = network.fc3_rt, network.fc4_rt
        linear = [
            _folded(block.linear, block.bn, vector, size)
            for block, vector, (size, _) in zip(blocks, modulation, LEVELS, strict=True)
        ]
        self.tensors: tuple[Tensor, ...] = (
            *(matrix for matrix, _ in linear),
            *(
                each.to(torch.promote_types(each.dtype, torch.float32))
                for each in (
                    torch.cat([bias for _, bias in linear]),
                    network.iou_predictor.weight[0],
                    network.iou_predictor.bias,
                )
            ),
        )
        """All that it depends on: matrix per level (bins, C, 256), bias, weight (512), bias."""
        self.gradient_decimals = gradient_decimals

    def __call__(self, embedding: Pair, boxes_ltwh: Tensor) -> tuple[Tensor, Tensor]:
        """Predict boxes (1, K, 4) on one image as (1, K); also return the gradient (1, K, 4)."""
        pooled = PooledBoxes(embedding, boxes_ltwh, LEVELS)
        matrices = [each.flatten(0, 1) for each in self.tensors[:2]]
        products = [
            values.flatten(0, 1).flatten(1) @ matrix
            for values, matrix in zip(pooled.values, matrices, strict=True)
        ]
        predictions, back = self.finish(torch.cat(products, 1))
        gradients = [
            (each @ matrix.T).view_as(values)
            for each, matrix, values in zip(back, matrices, pooled.values, strict=True)
        ]
        return predictions.to(boxes_ltwh.dtype), self.rounded(pooled.box_gradient(gradients))

    def finish(self, products: Tensor) -> tuple[Tensor, Pair]:
        """Predict from the products (K, 512) of pooled features with the matrices, as (1, K).

        Also returns the gradients in them, (K, 256) per level.
        """
        *_, bias, weight, last_bias = self.tensors
        hidden = products.to(bias.dtype) + bias
        predictions = hidden.relu() @ weight + last_bias
        back = (weight * (hidden > 0)).to(products.dtype)
        return predictions[None], (back[:, :256], back[:, 256:])

    def rounded(self, gradient: Tensor) -> Tensor:
        """Round a gradient as far as it is wanted."""
        decimals = self.gradient_decimals
        return gradient if decimals is None else gradient.round(decimals=decimals)


class CellPredictor:
    """An `OverlapPredictor` on one image, for boxes on a CPU that lie near each other.

    A linear layer over pooled features is the sum over all cells of their share in a bin times
    the layer of that bin applied to the cell. Here these are computed once for the cells around
    the boxes, and anew where boxes leave them. Then a step is four small products.
    """

    def __init__(self, predictor: OverlapPredictor, embedding: Pair) -> None:
        """Prepare for `embedding`, two maps (1, C, H, W)."""
        self._predictor, self._embedding = predictor, embedding
        self._table: _Table | None = None

    def __call__(self, boxes_ltwh: Tensor) -> tuple[Tensor, Tensor]:
        """Predict boxes (1, K, 4) as (1, K); also return the gradient (1, K, 4)."""
        bins = BoxBins(boxes_ltwh, LEVELS)
        if self._table is None or not self._table.holds(bins):
            self._table = _Table(self._predictor.tensors[:2], self._embedding, bins)
        shares = CellShares(bins, self._table.places)
        over = self._table.split(shares)
        predictions, back = self._predictor.finish(self._table.products(over))
        in_shares = self._table.share_gradient(over, back).view_as(shares.weights)
        gradient = self._predictor.rounded(shares.box_gradient(in_shares))
        return predictions.to(boxes_ltwh.dtype), gradient


class _Table:
    """The layer of every bin applied to the cells that the bin of some box may reach."""

    def __init__(self, matrices: Sequence[Tensor], maps: Pair, bins: BoxBins) -> None:
        counts = torch.tensor([each.stop - each.start for each in bins.slices])
        sizes = [[each.shape[axis] - 1 for each in maps] for axis in (3, 2)]
        last = bins.edges.new_tensor(sizes).repeat_interleave(counts, 1)
        # First and last cell that bins have a share of; some where boxes are not finite.
        low = _inside(bins.edges[..., 0].amin((0, 1)).floor(), last)
        high = _inside(bins.edges[..., 1].amax((0, 1)).ceil(), last)
        need = max(1, int((high - low).max()) + 1)
        side = need + 2  # a cell to spare on both sides
        spare = (side - 1 - high + low).div(2, rounding_mode='floor')
        first = (low - spare).minimum(last + 1 - side).clamp(min=0)
        final = first + side - 1
        # Nothing lies beyond the map.
        self._limits = (
            first.masked_fill(first == 0, -math.inf),
            final.masked_fill(final >= last, math.inf),
        )
        places = first[..., None] + torch.arange(side)
        self.places = places[:, :, None]
        """Of the cells, (2, bins, 1, n)."""
        self._parts = [slice(each.start * side, each.stop * side) for each in bins.slices]
        self._tables = [
            _apply(matrix, features, places[:, each].long())
            for matrix, features, each in zip(matrices, maps, bins.slices, strict=True)
        ]

    def holds(self, bins: BoxBins) -> bool:
        """Whether the bins of all boxes reach no other cells."""
        low, high = self._limits
        return bool(((bins.edges[..., 0] >= low) & (bins.edges[..., 1] <= high)).all())

    def split(self, shares: CellShares) -> list[Pair]:
        """Shares along x and along y, (K, bins n) each, per level."""
        over = shares.weights[0].flatten(2)
        return [(over[:, 0, part], over[:, 1, part]) for part in self._parts]

    def products(self, over: list[Pair]) -> Tensor:
        """Layers of all levels applied to the pooled boxes (K, 512)."""
        products = []
        for table, (over_x, over_y) in zip(self._tables, over, strict=True):
            over_both = (over_y[:, :, None] * over_x[:, None]).flatten(1)
            products.append(over_both.to(table.dtype) @ table)
        return torch.cat(products, 1)

    def share_gradient(self, over: list[Pair], gradients: Pair) -> Tensor:
        """Turn the gradients in the products, (K, 256) per level, into that in the shares.

        Returns (K, 2 bins n): along x for the bins of all levels, then along y.
        """
        in_x, in_y = [], []
        for table, (over_x, over_y), gradient in zip(self._tables, over, gradients, strict=True):
            in_both = (gradient @ table.T).to(over_y.dtype)
            in_both = in_both.view(*over_y.shape, over_x.shape[1])
            in_x.append(torch.bmm(over_y[:, None], in_both)[:, 0])
            in_y.append(torch.bmm(in_both, over_x[..., None])[..., 0])
        return torch.cat([*in_x, *in_y], 1)


def _inside(cells: Tensor, last: Tensor) -> Tensor:
    return cells.nan_to_num().clamp(min=0).minimum(last)


def _apply(matrix: Tensor, features: Tensor, places: Tensor) -> Tensor:
    """Apply the layer of every bin, (bins squared, C, 256), to the cells at its places.

    features: map (1, C, H, W), zero outside. places: (2, bins, n) columns and rows. Returns
    (bins n bins n, 256), rows before columns.
    """
    _, bins, side = places.shape
    height, width = features.shape[2:]
    if min(height, width) < side:
        features = functional.pad(features, (0, max(0, side - width), 0, max(0, side - height)))
        width = features.shape[3]
    columns, rows = places
    index = rows[:, None, :, None] * width + columns[:, None]
    cells = features[0].flatten(1).T.index_select(0, index.flatten())
    applied = torch.bmm(cells.view(bins * bins, side * side, -1), matrix)
    return applied.view(bins, bins, side, side, -1).transpose(1, 2).reshape((bins * side) ** 2, -1)


def _folded(
    linear: nn.Linear, norm: nn.Module, vector: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Weight (size * size, C, 256) and bias (256) of a layer for modulated features."""
    if isinstance(norm, nn.BatchNorm1d):
        linear = nn.utils.fusion.fuse_linear_bn_eval(linear, norm)
    weight = linear.weight.detach().view(len(linear.weight), -1, size, size)
    weight = weight * vector.view(1, -1, 1, 1)
    return weight.permute(2, 3, 1, 0).flatten(0, 1).contiguous(), linear.bias.detach()
