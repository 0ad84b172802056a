"""The uniform grid of proposals (paper section 3.1): places, boxes, labels and pooling factors.

Everything is in pixels of the 288 px network input; proposals are numbered row by row, x fastest.
A `step` of 2 takes every second row and column, 16 x 16 = 256 proposals that reach as far as all
961 do; only 1 is published.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tracker_core.resnet import STRIDES
from tracker_core.roi_pool import bin_weights

#: Side of the network's input image.
IMAGE_SIZE = 288
#: Side of the search region relative to the square root of the target's area.
SEARCH_FACTOR = 5.0
#: Proposals along one axis.
SIDE = 31
#: Number of the proposal in the middle of the image.
MIDDLE = SIDE * SIDE // 2
#: Standard deviation of the labels relative to the square root of the target's area.
LABEL_SIGMA = 0.25
_MARGIN = IMAGE_SIZE / SEARCH_FACTOR / 2
_STEP = (IMAGE_SIZE - 2 * _MARGIN) / (SIDE - 1)


def line(device: torch.device | None = None, step: int = 1) -> Tensor:
    """Coordinates (31,) of the centres along one axis: 28.8, 36.48, ... 259.2."""
    return _MARGIN + _STEP * torch.arange(0, SIDE, step, dtype=torch.float32, device=device)


def centers(device: torch.device | None = None, step: int = 1) -> Tensor:
    """Centres (961, 2) as (x, y); number 480 is the middle of the image."""
    places = line(device, step)
    y, x = torch.meshgrid(places, places, indexing='ij')
    return torch.stack([x, y], -1).reshape(-1, 2)


def boxes_ltwh(sizes: Tensor, step: int = 1) -> Tensor:
    """Proposals (N, 961, 4) of size (width, height) = `sizes` (N, 2)."""
    places = centers(sizes.device, step)
    size = sizes[:, None].expand(-1, len(places), -1)
    return torch.cat([places - size / 2, size], -1)


def labels(target_centers: Tensor, sigmas: Tensor, step: int = 1) -> Tensor:
    """Gaussian of the distance to the target: (N, 961, 1).

    target_centers: (N, 2) as (x, y). sigmas: (N,) in pixels.
    """
    offsets = centers(target_centers.device, step) - target_centers[:, None]
    return (-0.5 * offsets.square().sum(-1) / sigmas[:, None].square()).exp()[..., None]


def factors(sizes: Tensor, bins: int, layer: str, step: int = 1) -> tuple[Tensor, Tensor]:
    """Pooling factors (N, 31, bins, cells) of the grid along y and along x (see `bin_weights`).

    sizes: (N, 2), width and height of the proposals. layer: 'layer2' or 'layer3'.
    """
    stride = STRIDES[layer]
    middle = line(sizes.device, step) / stride
    width, height = (sizes / (2 * stride)).unbind(-1)
    over_y, over_x = (
        bin_weights(middle - half[:, None], middle + half[:, None], bins, IMAGE_SIZE // stride)
        for half in (height, width)
    )
    return over_y, over_x


def shares(step: int, device: torch.device | None = None) -> Tensor:
    """Part (256, 1) of the whole grid that each proposal stands for, by area; the sum is one."""
    row = torch.full((len(line(step=step)),), float(step), device=device)
    row[0] = row[-1] = (step + 1) / 2
    row = row / row.sum()
    return (row[:, None] * row).view(-1, 1)
