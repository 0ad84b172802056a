"""Bins of boxes on maps of several strides, with the share of every cell and its gradient.

The factors of precise RoI pooling (see `roi_pool`) for a few boxes that are improved step by step.
All maps and both axes go together: what is computed is so little that every operation costs the
same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional

from tracker_core.transfer import upload

#: Bins per side of a box, and cells of a map per input pixel.
Level = tuple[int, float]


class BoxBins:
    """Where the bins of boxes lie."""

    def __init__(self, boxes_ltwh: Tensor, levels: tuple[Level, ...]) -> None:
        """Divide boxes (N, K, 4) in input pixels."""
        self.constants = constants = _constants(levels, boxes_ltwh.dtype, boxes_ltwh.device)
        corner, size = boxes_ltwh[..., :2, None, None], boxes_ltwh[..., 2:, None, None]
        self.edges = torch.addcmul(corner, size, constants.fractions) * constants.scales
        """(N, K, 2, bins, 2) in cells: x before y, the bins of all levels in a row, both ends."""
        self.per_size = functional.threshold(size, 0, math.inf).reciprocal()
        """One over the sizes (N, K, 2, 1, 1) in pixels, zero for empty boxes."""

    @property
    def slices(self) -> tuple[slice, ...]:
        """The bins of every level."""
        return self.constants.slices


class CellShares:
    """Mean over every bin of the hat functions of some cells."""

    def __init__(self, bins: BoxBins, cells: Tensor) -> None:
        """cells: places of n cells (n), or of n of its own for every bin (2, bins, 1, n)."""
        self._bins = bins
        distances = (bins.edges[..., None] - cells).clamp(-1, 1)
        self._hats = 1 - distances.abs()
        # Twice the integral of a hat up to an edge, apart from a constant.
        integral = torch.addcmul(distances, distances, self._hats)
        per_bin = bins.per_size * bins.constants.per_bin
        self.weights = (integral[..., 1, :] - integral[..., 0, :]) * per_bin
        """(N, K, 2, bins, n), x before y; zero for empty boxes."""

    def box_gradient(self, gradient: Tensor) -> Tensor:
        """Turn the gradient in the weights into one in the boxes.

        Returns (N, K, 4) for left, top, width and height in input pixels.
        """
        # The hat function is the derivative of the integral up to an edge. Edges move with the
        # corner, and by their fraction with the size, which also divides the integral.
        in_edges = (self._hats * gradient[..., None, :]).sum(-1)
        in_boxes = torch.matmul(in_edges.flatten(-2), self._bins.constants.moves)
        in_boxes[..., 1] -= (self.weights * gradient).sum((-1, -2))
        return (in_boxes * self._bins.per_size[..., 0]).transpose(-1, -2).flatten(-2)


@dataclass(frozen=True)
class _Constants:
    """What follows from the levels alone, for the bins of all in a row."""

    fractions: Tensor
    """Both ends of a bin in the box (bins, 2)."""
    scales: Tensor
    """Cells per input pixel (bins, 1)."""
    per_bin: Tensor
    """Half the number of bins that are a cell long in a box of a pixel (bins, 1)."""
    moves: Tensor
    """Bins that each gains at an end with the corner and with the size: (2 bins, 2)."""
    slices: tuple[slice, ...]


@cache
def _constants(levels: tuple[Level, ...], dtype: torch.dtype, device: torch.device) -> _Constants:
    stops = list(accumulate(count for count, _ in levels))

    def place(values: Tensor) -> Tensor:
        return upload(values.to(dtype), device)

    # They are kept for all later calls, in inference mode or not.
    with torch.inference_mode(False):
        rows = [(count, scale, i) for count, scale in levels for i in range(count)]
        counts, scales, index = torch.tensor(rows, dtype=torch.float64).T[..., None]
        fractions = torch.cat([index, index + 1], 1) / counts
        gains = counts * torch.tensor([-1, 1])
        moves = torch.stack([gains, gains * fractions], -1).flatten(0, 1)
        return _Constants(
            fractions=place(fractions),
            scales=place(scales),
            per_bin=place(counts / scales / 2),
            moves=place(moves),
            slices=tuple(map(slice, [0, *stops], stops)),
        )
