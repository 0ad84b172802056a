"""Losses of DiMP (Bhat et al. 2019, section 3.4) and PrDiMP (Danelljan et al. 2020, section 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def make_labels(boxes_ltwh: Tensor, cells: int, sigma: float, stride: int) -> Tensor:
    """Gaussians (..., cells, cells) of height 1 around the centres of boxes (..., 4).

    Boxes are in pixels of the network's input, `stride` pixels per cell; `sigma` in cells.
    """
    centre = (boxes_ltwh[..., :2] + boxes_ltwh[..., 2:] / 2) / stride
    at = torch.arange(cells, dtype=centre.dtype, device=centre.device)
    x, y = torch.exp(-0.5 * ((at - centre[..., None]) / sigma) ** 2).unbind(-2)
    return y[..., :, None] * x[..., None, :]


def hinge_loss(scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Mean squared error in which background counts only where its score is positive (eq. 7).

    scores, labels: any equal shape; background is where the label is below `threshold`.
    """
    background = labels < threshold
    errors = torch.where(background, functional.relu(scores), scores - labels)
    return errors.square().mean()


def density_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Divergence of the softmax of scores (..., h, w) from a density, but for a constant.

    labels: (..., h, w), scaled here to a sum of 1 per map. Mean over the maps (PrDiMP, eq. 8).
    """
    density = labels / (labels.sum((-2, -1), keepdim=True) + 1e-8)
    return (scores.flatten(-2).logsumexp(-1) - (scores * density).sum((-2, -1))).mean()


def box_density_loss(predictions: Tensor, drawn: Tensor, wanted: Tensor) -> Tensor:
    """Divergence of the predicted density of boxes from the wanted one, by importance sampling.

    All (..., K): log densities predicted for K sampled boxes, not normalised; the log densities
    they were drawn with; the wanted log densities. Mean over the rest, but for a constant
    (PrDiMP, eq. 6).
    """
    normalizer = (predictions - drawn).logsumexp(-1) - math.log(predictions.shape[-1])
    agreement = (predictions * (wanted - drawn).exp()).mean(-1)
    return (normalizer - agreement).mean()
