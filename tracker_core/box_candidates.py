"""Boxes to refine around a first guess, and the one box that the refined ones amount to (ATOM)."""

from __future__ import annotations

import torch
from torch import Tensor

from tracker_core.augmentation import UniformDraws

#: Smallest side of a candidate relative to the shorter side of the first guess.
_SMALLEST = 1 / 3


def jitter_box(
    box_ltwh: Tensor, count: int, position: float, size: float, draws: UniformDraws
) -> Tensor:
    """Box (4,) and `count` random ones around it, (1 + count, 4).

    position, size: full ranges of the uniform noise on centre and sides, relative to the square
    root of the area. Draws (count, 4) in the order x, y, width, height.
    """
    sides = box_ltwh[2:]
    noise = torch.from_numpy(draws.random((count, 4)) - 0.5).to(box_ltwh)
    ranges = box_ltwh.new_tensor([position, position, size, size])
    noise = noise * ranges * sides.prod().sqrt()
    sizes = (sides + noise[:, 2:]).clamp(min=sides.min() * _SMALLEST)
    centers = box_ltwh[:2] + sides / 2 + noise[:, :2]
    return torch.cat([box_ltwh[None], torch.cat([centers - sizes / 2, sizes], 1)])


def average_best(
    boxes_ltwh: Tensor, scores: Tensor, count: int, max_aspect_ratio: float
) -> Tensor | None:
    """Mean (4,) of the `count` boxes (K, 4) with the highest scores (K,), sides at least 1 px.

    Boxes longer than `max_aspect_ratio` are left out; None where that leaves no box.
    """
    boxes = torch.cat([boxes_ltwh[:, :2], boxes_ltwh[:, 2:].clamp(min=1)], 1)
    ratios = boxes[:, 2] / boxes[:, 3]
    plausible = (ratios < max_aspect_ratio) & (ratios > 1 / max_aspect_ratio)
    plausible &= boxes.isfinite().all(1)
    boxes, scores = boxes[plausible], scores[plausible]
    if not len(boxes):
        return None
    return boxes[scores.topk(min(count, len(boxes))).indices].mean(0)
