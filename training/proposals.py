"""Boxes near the true one, on which a box regressor learns to tell good from bad."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]


def overlap(boxes_ltwh: Boxes, other_ltwh: Boxes) -> Boxes:
    """Intersection over union of boxes (..., 4) and others of a matching shape, (...)."""
    low = np.maximum(boxes_ltwh[..., :2], other_ltwh[..., :2])
    high = np.minimum(
        boxes_ltwh[..., :2] + boxes_ltwh[..., 2:], other_ltwh[..., :2] + other_ltwh[..., 2:]
    )
    shared = np.maximum(high - low, 0).prod(-1)
    areas = boxes_ltwh[..., 2:].prod(-1) + other_ltwh[..., 2:].prod(-1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-12))


def perturb_box(
    box_ltwh: Boxes,
    count: int,
    sigmas: tuple[float, ...],
    min_iou: float,
    rng: np.random.Generator,
    tries: int = 100,
) -> tuple[Boxes, Boxes]:
    """Boxes (count, 4) at random offsets from a box (4,), and their overlap with it (count,).

    Centre, width and height change by Gaussian noise of sigma times the size sqrt(w h), each box
    with one of the sigmas; sides of at most a pixel are replaced by 0.15 to 0.5 of the true ones
    and boxes are rounded to whole pixels. A box with an overlap below `min_iou` is drawn again
    with 0.9 of its noise, and the last draw is kept (published code of DiMP).
    """
    center, size = box_ltwh[:2] + box_ltwh[2:] / 2, box_ltwh[2:]
    noise = rng.choice(np.asarray(sigmas), count) * np.sqrt(size.prod())
    boxes, overlaps = np.empty((count, 4)), np.zeros(count)
    pending = np.arange(count)
    for _ in range(tries):
        drawn = rng.standard_normal((len(pending), 4)) * noise[pending, None]
        sides = size + drawn[:, 2:]
        small = size * rng.uniform(0.15, 0.5, sides.shape)
        sides = np.where(sides <= 1, small, sides)
        boxes[pending, :2] = np.round(center + drawn[:, :2] - sides / 2)
        boxes[pending, 2:] = np.round(sides)
        overlaps[pending] = overlap(boxes[pending], box_ltwh)
        pending = pending[overlaps[pending] <= min_iou]
        if not len(pending):
            break
        noise[pending] *= 0.9
    return boxes, overlaps


def draw_from_mixture(
    box_ltwh: Boxes,
    count: int,
    sigmas: tuple[tuple[float, float], ...],
    wanted_sigma: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Boxes, Boxes, Boxes]:
    """Boxes (count, 4) from a mixture of Gaussians around a box, and two log densities (count,).

    Densities are of the offset in centre / (width, height) of the box and in the logarithms of
    width and height, with standard deviations (centre, size): that of the mixture, whose parts
    `sigmas` are equally likely, and the wanted one (PrDiMP, section 4.2).
    """
    deviations = np.asarray(sigmas, np.float64)
    chosen = deviations[rng.integers(len(deviations), size=count)]
    offsets = rng.standard_normal((count, 4)) * chosen.repeat(2, axis=1)
    parts = np.stack([_log_gaussian(offsets, pair) for pair in deviations])
    drawn = np.logaddexp.reduce(parts) - math.log(len(deviations))
    size = box_ltwh[2:] * np.exp(offsets[:, 2:])
    center = box_ltwh[:2] + box_ltwh[2:] / 2 + offsets[:, :2] * box_ltwh[2:]
    boxes = np.concatenate([center - size / 2, size], axis=1)
    return boxes, np.asarray(drawn), _log_gaussian(offsets, np.asarray(wanted_sigma))


def _log_gaussian(offsets: Boxes, sigma: Boxes) -> Boxes:
    """Log density (n,) of offsets (n, 4); sigma: (2,) of the first and the last two of them."""
    deviations = sigma.repeat(2)
    exponents = -0.5 * (offsets / deviations) ** 2 - np.log(deviations * math.sqrt(2 * math.pi))
    return np.asarray(exponents.sum(1))
