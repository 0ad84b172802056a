"""Textures and images of a device, warped, blended and blurred; positions are in pixels.

Pixel i covers [i, i + 1); positions of a grid are its columns (n, 1, w) and rows (n, h, 1), or
any x and y that broadcast.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

Positions = tuple[Tensor, Tensor]


def positions(
    windows: Tensor, step: Tensor, shape: tuple[int, int], size: tuple[int, int]
) -> Positions:
    """Where the middles of the pixels of crops (h, w) lie in images of (width, height).

    `windows` (n, 3) hold left and top, `step` (n,) the distance of two pixels. Beyond the edge of
    the image is its edge.
    """
    columns, rows = (torch.arange(n, device=windows.device) + 0.5 for n in shape[::-1])
    x = windows[:, :1] + step[:, None] * columns
    y = windows[:, 1:2] + step[:, None] * rows
    return x.clamp(0.5, size[0] - 0.5)[:, None], y.clamp(0.5, size[1] - 0.5)[..., None]


def project(matrices: Tensor, at: Positions) -> list[Tensor]:
    """Rows of matrices (n, k, 3) times (x, y, 1): k times (n, h, w)."""
    # No matrix product: it may be set to fewer bits than positions need.
    x, y = at
    rows = matrices[..., None, None].unbind(1)
    return [(row[:, 0] * x + row[:, 2]) + row[:, 1] * y for row in rows]


def sample(
    textures: Tensor, matrices: Tensor, at: Positions, bounds: Tensor | None = None
) -> Tensor:
    """Values (n, c, h, w) of textures (n, c, H, W), by bilinear interpolation.

    Matrices (n, 2, 3) or homographies (n, 3, 3) map positions to the textures, where they are
    clamped to the bounds (n, 4) x0, y0, x1, y1, or else to the edge.
    """
    height, width = textures.shape[2:]
    # What the interpolation counts from -1 to 1.
    scaled = torch.stack([matrices[:, 0] * (2 / width), matrices[:, 1] * (2 / height)], 1)
    if matrices.shape[1] == 3:
        x, y, depth = project(torch.cat([scaled, matrices[:, 2:]], 1), at)
        depth = depth.clamp_(min=1e-9)
        x, y = x.div_(depth), y.div_(depth)
    else:
        x, y = project(scaled, at)
    if bounds is not None:
        x0, y0, x1, y1 = bounds.T[..., None, None]
        x = x.clamp_(x0 * (2 / width), x1 * (2 / width))
        y = y.clamp_(y0 * (2 / height), y1 * (2 / height))
    grid = torch.stack([x, y], -1).sub_(1)
    return functional.grid_sample(
        textures.float(), grid, mode='bilinear', padding_mode='border', align_corners=False
    )


def shrink_and_shift(matrices: Tensor, maps: Tensor) -> Tensor:
    """Shrink and then shift by maps (n, 3) what matrices (n, 2 or 3, 3) map to."""
    shrink, shift = maps[:, :1, None], maps[:, 1:, None]
    if matrices.shape[1] == 2:
        return torch.cat([shrink * matrices[..., :2], shrink * matrices[..., 2:] + shift], 2)
    depth = matrices[:, 2:]
    return torch.cat([shrink * matrices[:, :2] + shift * depth, depth], 1)


def blend(image: Tensor, rgba: Tensor) -> None:
    """Draw premultiplied RGBA (n, 4, h, w), 0..255, over images (n, 3, h, w) in place."""
    image *= 1 - rgba[:, 3:] / 255
    image += rgba[:, :3]


def blur(image: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Gaussian blur of images (n, c, h, w), each by its own sigma (n,); 0: none.

    None reaches further than `radius` or two and a half of its sigma, whatever the others do.
    """
    steps = torch.arange(-radius, radius + 1, device=image.device)
    weights = torch.exp(-0.5 * (steps / sigma.clamp(min=1e-3)[:, None]) ** 2)
    weights = weights * (steps.abs() <= (2.5 * sigma).ceil()[:, None])
    weights = (weights / weights.sum(1, keepdim=True)).T[..., None, None, None]
    for axis, margin in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        wide = functional.pad(image, margin, mode='replicate')
        length = image.shape[axis]
        image = weights[0] * wide.narrow(axis, 0, length)
        for number, weight in enumerate(weights[1:], 1):
            image.addcmul_(weight, wide.narrow(axis, number, length))
    return image
