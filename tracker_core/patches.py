"""What a 3 x 3 filter meets in single cells of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor


def patches_at(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Cells (N, K, C, 3, 3) of features (N, C, H, W) around the cells rows, columns (N, K).

    Zero outside the map. Differentiable in the features.
    """
    channels, height, width = features.shape[1:]
    rows, columns, inside = neighbors(rows, columns, (height, width))
    index = (rows * width + columns).flatten(1)[:, None].expand(-1, channels, -1)
    found = features.flatten(2).gather(2, index) * inside.flatten(1)[:, None]
    return found.view(-1, channels, *inside.shape[1:]).movedim(1, 2)


def neighbors(
    rows: Tensor, columns: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns (..., 3, 3) of the cells around each cell (...), and which are in the map.

    The indices of those that are not are those of the nearest cell in the map.
    """
    step = torch.arange(-1, 2, device=rows.device)
    rows = rows[..., None, None] + step[:, None] + 0 * step
    columns = columns[..., None, None] + step + 0 * step[:, None]
    height, width = shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return rows.clamp(0, height - 1), columns.clamp(0, width - 1), inside
