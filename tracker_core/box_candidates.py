"""Boxes around a first guess, and the mean of the best of them (Danelljan et al. 2019, ATOM)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tracker_core.transfer import constant


def jitter_box(box_ltwh: Tensor, draws: Tensor, position: float, size: float) -> Tensor:
    """Return a box (4,) followed by n random ones around it: (n + 1, 4).

    draws: (n, 4), uniform in [0, 1). position, size: full range of the change of the centre and of
    width and height, relative to the square root of the box's area. No side gets shorter than a
    third of the shorter side.
    """
    extent = box_ltwh[2:]
    unit = extent.prod().sqrt() * constant([position, position, size, size], box_ltwh)
    noise = (draws.to(box_ltwh) - 0.5) * unit
    sizes = torch.maximum(extent + noise[:, 2:], extent.min() / 3)
    centers = box_ltwh[:2] + extent / 2 + noise[:, :2]
    return torch.cat([box_ltwh[None], torch.cat([centers - sizes / 2, sizes], 1)])


def mean_of_best(boxes_ltwh: Tensor, scores: Tensor, count: int, max_aspect: float) -> Tensor:
    """Mean (4,) of the `count` boxes (K, 4) with the highest scores (K,).

    Sides below one pixel become one pixel. Boxes more than `max_aspect` times longer one way than
    the other are left out; nan if no box remains. Nothing is read back from a GPU for that.
    """
    boxes = torch.cat([boxes_ltwh[:, :2], boxes_ltwh[:, 2:].clamp(min=1)], 1)
    aspect = boxes[:, 2] / boxes[:, 3]
    kept = (aspect < max_aspect) & (aspect > 1 / max_aspect)
    best = torch.where(kept, scores, -math.inf).topk(min(count, len(boxes))).indices
    counted = kept.index_select(0, best)
    chosen = torch.where(counted[:, None], boxes.index_select(0, best), 0)
    return chosen.sum(0) / counted.sum()
