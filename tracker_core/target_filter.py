"""A filter that tells the target from its background: start, apply and improve it.

Bhat et al. 2019 (DiMP), sections 3.1 to 3.3; Danelljan et al. 2020 (PrDiMP) for densities.
N = samples per target, S = targets in the batch; boxes are pixels of the network's input image.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracker_core.roi_pool import roi_pool

#: Side of the target filter of all published classifiers in cells.
FILTER_SIZE = 4


class FilterFit(NamedTuple):
    """Result of an optimiser."""

    filters: Tensor
    """The improved filters, (S, C, k, k)."""
    iterates: list[Tensor]
    """Filters before every iteration and after the last."""
    losses: list[Tensor]
    """Objective of every iterate, mean over the targets; empty unless asked for."""


def correlate(features: Tensor, filters: Tensor) -> Tensor:
    """Apply filters (S, C, k, k) to features (N, S, C, H, W) of their targets.

    The border is padded with k // 2 zeros: returns (N, S, H', W') with H' = H + 1 for even k and
    H' = H for odd k. Filters (S, F, C, k, k) give (N, S, F, H', W'). Products are computed in the
    type of the features, sums and the result are in that of the filters. Written as one matrix
    product and a sum of k k shifted maps, which is much faster than a convolution to few channels.
    """
    count, targets, channels, height, width = features.shape
    size, several = filters.shape[-1], filters.shape[1:-3]
    taps = filters.flip(-2, -1).flatten(-2).transpose(-2, -1).reshape(targets, -1, channels)
    taps, cells = taps.to(features.dtype), features.flatten(3)
    if features.stride(2) == 1:
        # Channels last: the product in this order does without a copy of the features.
        products = torch.matmul(cells.transpose(2, 3), taps.transpose(1, 2)).transpose(2, 3)
    else:
        products = torch.matmul(taps, cells)
    products = products.to(filters.dtype)
    grow = 1 - size % 2
    scores = functional.fold(
        products.flatten(0, 1), (height + grow, width + grow), size, padding=size - 1 - size // 2
    )
    return scores.view(count, targets, *several, height + grow, width + grow)


def correlate_transposed(features: Tensor, residuals: Tensor, size: int) -> Tensor:
    """Adjoint of `correlate` in the filters: sum over N of features times residuals.

    features: (N, S, C, H, W); residuals: (N, S, H', W'). Returns (S, C, size, size), in the type
    of the residuals.
    """
    count, targets, channels = features.shape[:3]
    maps = residuals.reshape(count * targets, 1, *residuals.shape[2:])
    patches = functional.unfold(maps, size, padding=size - 1 - size // 2)
    patches = patches.view(count, targets, size * size, -1).to(features.dtype)
    taps = torch.matmul(patches, features.flatten(3).transpose(2, 3)).to(residuals.dtype).sum(0)
    return taps.transpose(1, 2).reshape(targets, channels, size, size).flip(-2, -1)


class FilterInitializer(nn.Module):
    """Start of a filter: features pooled over the target, mean over the samples (section 3.3)."""

    def __init__(self, channels: int, filter_size: int = 4, stride: int = 16) -> None:
        super().__init__()
        self.filter_size, self.stride = filter_size, stride
        self.filter_conv = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(self.filter_conv.weight, std=math.sqrt(2 / (9 * channels)))
        nn.init.zeros_(self.filter_conv.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, boxes_ltwh: Tensor) -> Tensor:
        """Filters (S, C, k, k) from features (N, S, C, H, W) and boxes (N, S, 4)."""
        mapped = self.filter_conv(features.flatten(0, 1))
        corners = torch.cat([boxes_ltwh[..., :2], boxes_ltwh[..., :2] + boxes_ltwh[..., 2:]], -1)
        boxes = corners.reshape(-1, 1, 4)
        pooled = roi_pool(mapped, boxes, self.filter_size, 1 / self.stride)[:, 0]
        return pooled.view(*features.shape[:2], *pooled.shape[1:]).mean(0)


class _Descent(nn.Module):
    """Steepest descent with the step length of the Gauss-Newton approximation."""

    def __init__(
        self, stride: int, step: float, regularization: float, minimum: float, alpha_eps: float
    ) -> None:
        super().__init__()
        self.stride, self.minimum, self.alpha_eps = stride, minimum, alpha_eps
        self.log_step_length = nn.Parameter(torch.full((1,), math.log(step)))
        self.filter_reg = nn.Parameter(torch.full((1,), regularization))

    @abstractmethod
    def _problem(
        self, features: Tensor, boxes_ltwh: Tensor, size: int, weights: Tensor | None
    ) -> _Problem:
        """Set up the objective on these samples; `size` is that of the filter."""

    def forward(
        self,
        filters: Tensor,
        features: Tensor,
        boxes_ltwh: Tensor,
        iterations: int,
        sample_weights: Tensor | None = None,
        *,
        with_losses: bool = False,
        step_length: float | None = None,
    ) -> FilterFit:
        """Improve filters (S, C, k, k) on samples (paper algorithm 1).

        features: (N, S, C, H, W); boxes_ltwh: (N, S, 4); sample_weights: (N, S), None for equal
        ones. step_length: fixed, for plain gradient descent, instead of the computed one.
        Differentiable in everything but the boxes.
        """
        problem = self._problem(features, boxes_ltwh, filters.shape[-1], sample_weights)
        strength = self.filter_reg.square().clamp(min=self.minimum**2)
        iterates, losses = [filters], []
        for _ in range(iterations):
            scores = correlate(features, filters)
            if with_losses:
                losses.append(problem.loss(scores) + _penalty(filters, strength))
            residuals = problem.residuals(scores)
            gradient = correlate_transposed(features, residuals, filters.shape[-1])
            gradient = gradient + strength * filters
            if step_length is None:
                bend = problem.curvature(correlate(features, gradient))
                step = self._step(gradient, bend, strength)
                filters = filters - step[:, None, None, None] * gradient
            else:
                filters = filters - step_length * gradient
            iterates.append(filters)
        if with_losses:
            losses.append(problem.loss(correlate(features, filters)) + _penalty(filters, strength))
        return FilterFit(filters, iterates, losses)

    def _step(self, gradient: Tensor, bend: Tensor, strength: Tensor) -> Tensor:
        """Step length (S,) that is best for the quadratic model, times the learned factor."""
        power = gradient.square().sum((1, 2, 3))
        curvature = bend + (strength + self.alpha_eps) * power
        return self.log_step_length.exp() * power / curvature.clamp(min=1e-8)


def _penalty(filters: Tensor, strength: Tensor) -> Tensor:
    return strength.squeeze() * filters.square().sum() / filters.shape[0]


class _Problem(Protocol):
    """Objective of an optimiser on given samples; maps are (N, S, H', W')."""

    def residuals(self, scores: Tensor) -> Tensor:
        """Gradient of the objective in the scores; remembers them for `curvature`."""
        ...

    def curvature(self, along: Tensor) -> Tensor:
        """Second derivative (S,) of the quadratic model along a change of the scores."""
        ...

    def loss(self, scores: Tensor) -> Tensor:
        """Objective, mean over the targets, without regularisation."""
        ...


class _Radial(nn.Module):
    """A learned function of the distance to the target centre, linear between its bins."""

    def __init__(self, values: Tensor, bin_step: float) -> None:
        super().__init__()
        self.bin_step = bin_step
        self.weight = nn.Parameter(values.view(1, -1, 1, 1))

    def forward(self, distances: Tensor) -> Tensor:
        """Map distances in score cells, of any shape; constant from the last bin on."""
        values = self.weight.flatten()
        at = (distances / self.bin_step).clamp(max=len(values) - 1)
        below = at.long().clamp(max=len(values) - 2)
        share = at - below
        lower, upper = values[below], values[below + 1]
        return lower + share * (upper - lower)


class SteepestDescent(_Descent):
    """DiMP's optimiser: squared error to a learned label under a learned weight (equation 4).

    Where the target is not (mask towards 0) only positive scores count as errors. stride: input
    pixels per feature cell; label_sigma: of the first label, in cells; bins and bin_step: of the
    learned functions of the distance to the target, in cells.
    """

    def __init__(
        self,
        stride: int = 16,
        *,
        label_sigma: float = 0.9,
        bins: int = 100,
        bin_step: float = 0.1,
        step: float = 0.9,
        regularization: float = 0.1,
        minimum_regularization: float = 1e-3,
    ) -> None:
        super().__init__(stride, step, regularization, minimum_regularization, 0.0)
        at = torch.arange(bins) * bin_step
        label = torch.exp(-0.5 * (at / label_sigma) ** 2)
        self.label_map_predictor = _Radial(label - label.min(), bin_step)
        mask = _Radial(3 * torch.tanh(2 - at), bin_step)
        self.target_mask_predictor = nn.Sequential(mask, nn.Sigmoid())
        self.spatial_weight_predictor = _Radial(torch.ones(bins), bin_step)

    def maps(
        self, boxes_ltwh: Tensor, shape: tuple[int, int], size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Label, target mask and spatial weight of boxes (N, S, 4), each (N, S, *shape).

        shape: rows and columns of the score map of a filter of `size` x `size` cells.
        """
        distances = _centre_distances(boxes_ltwh, shape, size, self.stride)
        label = self.label_map_predictor(distances)
        return (
            label,
            self.target_mask_predictor(distances),
            self.spatial_weight_predictor(distances),
        )

    def _problem(
        self, features: Tensor, boxes_ltwh: Tensor, size: int, weights: Tensor | None
    ) -> _Problem:
        label, mask, spatial = self.maps(boxes_ltwh, _score_shape(features, size), size)
        weight = _sample_weights(features, weights).sqrt()[..., None, None] * spatial
        return _HingeProblem(label, mask, weight)


class _HingeProblem:
    def __init__(self, label: Tensor, mask: Tensor, weight: Tensor) -> None:
        self.label, self.mask, self.weight = label, mask, weight
        self.slope = weight

    def _errors(self, scores: Tensor) -> Tensor:
        negative, positive = 0.5 * (1 - self.mask), 0.5 * (1 + self.mask)
        self.slope = self.weight * (negative * scores.sign() + positive)
        return self.weight * (negative * scores.abs() + positive * scores - self.label)

    def residuals(self, scores: Tensor) -> Tensor:
        errors = self._errors(scores)
        return self.slope * errors

    def curvature(self, along: Tensor) -> Tensor:
        return (self.slope * along).square().sum((0, 2, 3))

    def loss(self, scores: Tensor) -> Tensor:
        return self._errors(scores).square().sum() / scores.shape[1]


class DensityDescent(_Descent):
    """PrDiMP's optimiser: KL divergence of the softmax of the scores from a Gaussian.

    label_sigma: of the Gaussian, in cells.
    """

    def __init__(
        self,
        stride: int = 16,
        *,
        label_sigma: float = 0.9,
        step: float = 1.0,
        regularization: float = 0.05,
        minimum_regularization: float = 0.05,
        alpha_eps: float = 0.05,
    ) -> None:
        super().__init__(stride, step, regularization, minimum_regularization, alpha_eps)
        self.label_sigma = label_sigma

    def label(self, boxes_ltwh: Tensor, shape: tuple[int, int], size: int) -> Tensor:
        """Density of boxes (N, S, 4) over the score map, (N, S, *shape), each of sum one."""
        distances = _centre_distances(boxes_ltwh, shape, size, self.stride)
        variance = self.label_sigma**2
        density = torch.exp(-0.5 * distances.square() / variance) / (2 * math.pi * variance)
        return density / (density.sum((-2, -1), keepdim=True) + 1e-8)

    def _problem(
        self, features: Tensor, boxes_ltwh: Tensor, size: int, weights: Tensor | None
    ) -> _Problem:
        label = self.label(boxes_ltwh, _score_shape(features, size), size)
        return _DensityProblem(label, _sample_weights(features, weights)[..., None, None])


class _DensityProblem:
    def __init__(self, label: Tensor, weight: Tensor) -> None:
        self.label, self.weight = label, weight
        self.density = label

    def residuals(self, scores: Tensor) -> Tensor:
        self.density = scores.flatten(2).softmax(-1).view_as(scores)
        return self.weight * (self.density - self.label)

    def curvature(self, along: Tensor) -> Tensor:
        part = self.density * along
        spread = (along * part).sum((2, 3)) - part.sum((2, 3)).square()
        return (self.weight[..., 0, 0] * spread.clamp(min=0)).sum(0)

    def loss(self, scores: Tensor) -> Tensor:
        missed = scores.flatten(2).logsumexp(-1) - (self.label * scores).sum((2, 3))
        return (self.weight[..., 0, 0] * missed).sum() / scores.shape[1]


def _score_shape(features: Tensor, size: int) -> tuple[int, int]:
    grow = 1 - size % 2
    return features.shape[-2] + grow, features.shape[-1] + grow


def _sample_weights(features: Tensor, weights: Tensor | None) -> Tensor:
    """Weights (N, S), equal ones of sum one where none are given."""
    if weights is not None:
        return weights
    count, targets = features.shape[:2]
    return torch.full((count, targets), 1 / count, dtype=features.dtype, device=features.device)


def _centre_distances(
    boxes_ltwh: Tensor, shape: tuple[int, int], size: int, stride: int
) -> Tensor:
    """Distance in cells of every score cell from the centre of its box: (N, S, *shape)."""
    centre = (boxes_ltwh[..., :2] + boxes_ltwh[..., 2:] / 2) / stride - (size % 2) / 2
    x, y = centre[..., None, None].unbind(2)
    rows = torch.arange(shape[0], dtype=boxes_ltwh.dtype, device=boxes_ltwh.device)[:, None]
    columns = torch.arange(shape[1], dtype=boxes_ltwh.dtype, device=boxes_ltwh.device)
    return ((rows - y).square() + (columns - x).square()).sqrt()
