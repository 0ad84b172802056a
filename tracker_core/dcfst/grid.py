"""The uniform grid of proposals of the paper: places, boxes, labels and pooling factors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tracker_core.resnet import STRIDES
from tracker_core.roi_pool import bin_weights

#: Side of the search region relative to the square root of the target's area.
SEARCH_FACTOR = 5.0
#: Standard deviation of the labels relative to the square root of the target's area.
LABEL_SIGMA = 0.25


@dataclass(frozen=True)
class Grid:
    """P = side * side proposals of one size in a square image, numbered row by row, x fastest.

    Coordinates are pixels of the network's input image. The defaults are published.
    """

    side: int = 31
    """Proposals along one axis."""
    image_size: int = 288
    """A multiple of 16, the stride of `layer3`."""

    def __post_init__(self) -> None:
        if self.side < 2 or self.image_size % STRIDES['layer3']:
            raise ValueError(
                f'a grid needs two proposals or more and an image size that is a multiple of '
                f'{STRIDES["layer3"]}, not {self.side} and {self.image_size}'
            )

    @property
    def target_side(self) -> float:
        """Square root of the area of a target in its search region: 57.6."""
        return self.image_size / SEARCH_FACTOR

    @property
    def middle(self) -> int:
        """Number of the proposal in the middle of the image, for an odd side: 480."""
        return self.side * self.side // 2

    def line(self, device: torch.device | None = None) -> Tensor:
        """Coordinates (side,) of the centres along one axis: 28.8, 36.48, ... 259.2."""
        step = (self.image_size - self.target_side) / (self.side - 1)
        places = torch.arange(self.side, dtype=torch.float32, device=device)
        return self.target_side / 2 + step * places

    def centers(self, device: torch.device | None = None) -> Tensor:
        """Centres (P, 2) as (x, y)."""
        places = self.line(device)
        y, x = torch.meshgrid(places, places, indexing='ij')
        return torch.stack([x, y], -1).reshape(-1, 2)

    def boxes_ltwh(self, sizes: Tensor) -> Tensor:
        """Proposals (N, P, 4) of size (width, height) = `sizes` (N, 2)."""
        places = self.centers(sizes.device)
        size = sizes[:, None].expand(-1, len(places), -1)
        return torch.cat([places - size / 2, size], -1)

    def labels(self, target_centers: Tensor, sigmas: Tensor) -> Tensor:
        """Gaussian of the distance to the target: (N, P, 1).

        target_centers: (N, 2) as (x, y). sigmas: (N,) in pixels.
        """
        offsets = self.centers(target_centers.device) - target_centers[:, None]
        squares = offsets.square().sum(-1)
        return (-0.5 * squares / sigmas[:, None].square()).exp()[..., None]

    def factors(self, sizes: Tensor, bins: int, layer: str) -> tuple[Tensor, Tensor]:
        """Pooling factors (N, side, bins, cells) along y and along x (see `bin_weights`).

        sizes: (N, 2), width and height of the proposals. layer: 'layer2' or 'layer3'.
        """
        stride = STRIDES[layer]
        middle, cells = self.line(sizes.device) / stride, self.image_size // stride
        width, height = (sizes / (2 * stride)).unbind(-1)
        over_y, over_x = (
            bin_weights(middle - half[:, None], middle + half[:, None], bins, cells)
            for half in (height, width)
        )
        return over_y, over_x

    @property
    def _thinning(self) -> int:
        return 2 if (self.side - 1) % 3 else 3

    def thinned(self) -> Grid:
        """Every third row and column, or every second where the third would not reach as far.

        An odd side is needed for that.
        """
        return Grid((self.side - 1) // self._thinning + 1, self.image_size)

    def shares_of_thinned(self, device: torch.device | None = None) -> Tensor:
        """Part (K, 1) of this grid that each proposal of `thinned` stands for; sums to one."""
        row = torch.full(
            (self.thinned().side,), self._thinning, dtype=torch.float32, device=device
        )
        row[0] = row[-1] = (self._thinning + 1) / 2
        row = row / self.side
        return (row[:, None] * row).view(-1, 1)


def gaussian(distances: Tensor, sigma: float) -> Tensor:
    """Gaussian of distances with its peak of 1 at zero."""
    return (-0.5 * (distances / sigma).square()).exp()
