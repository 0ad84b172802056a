"""Distances to the four sides of the target by a filter that is learnt online.

Cui et al. 2020 (FCOT), sections 3.1 and 3.2, equations 2 to 5 and 7 to 12.
N = samples per target, S = targets in the batch, K = cells per sample; the four sides are in the
order left, right, top, bottom; distances in cells of the feature map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tracker_core.patches import patches_at
from tracker_core.target_filter import FilterFit, correlate
from tracker_core.transfer import constant

#: Input pixels per cell of the regression features.
STRIDE = 4


def predict_sides(features: Tensor, filters: Tensor) -> Tensor:
    """Distances (N, S, 4, H, W) from every cell to the sides of the target, never negative.

    features: (N, S, C, H, W); filters: (S, 4, C, 3, 3) (equation 2).
    """
    return correlate(features, filters).relu()


class SideTargets(NamedTuple):
    """What the regression should answer in the cells around the target centre."""

    rows: Tensor
    """Cells (N, S, K)."""
    columns: Tensor
    distances: Tensor
    """From these cells to the four sides, (N, S, K, 4)."""
    valid: Tensor
    """Which cells count, (N, S, K): those in the map and inside the box."""


def side_targets(
    boxes_ltwh: Tensor, shape: tuple[int, int], radius: int, *, as_released: bool = False
) -> SideTargets:
    """Targets of the (2 radius + 1)**2 cells around the centres of boxes (N, S, 4) (equation 3).

    boxes_ltwh: input pixels; shape: rows and columns of the map. Distances are measured from the
    centre of a cell. as_released: as in the optimiser of the authors' code, which rounds all
    coordinates down to whole cells, exchanges rows and columns, and drops a cell for all samples
    when it does not count for one; published weights were made with that.
    """
    left, top, width, height = (boxes_ltwh / STRIDE).unbind(-1)
    right, bottom = left + width, top + height
    # trunc, not floor: for boxes that leave the crop the two differ.
    x, y = (left + width / 2).trunc(), (top + height / 2).trunc()
    half = 0.0 if as_released else 0.5
    if as_released:
        left, top, right, bottom = (side.trunc() for side in (left, top, right, bottom))
    offset = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    dx, dy = (each.flatten() for each in torch.meshgrid(offset, offset, indexing='ij'))
    x, y = x[..., None] + dx, y[..., None] + dy
    across = x + half - left[..., None], right[..., None] - x - half
    down = y + half - top[..., None], bottom[..., None] - y - half
    distances = torch.stack((*across, *down), -1)
    rows, columns = (x, y) if as_released else (y, x)
    valid = (distances > 0).all(-1) & (rows >= 0) & (columns >= 0)
    valid &= (rows < shape[0]) & (columns < shape[1])
    if as_released:
        valid = valid.all(0, keepdim=True).all(1, keepdim=True).expand_as(valid)
    return SideTargets(rows.long(), columns.long(), distances, valid)


def side_patches(features: Tensor, targets: SideTargets) -> Tensor:
    """Features (N, S, C, H, W) that a 3 x 3 filter meets in the target cells: (N, S, K, C 9).

    Zero outside the map.
    """
    rows, columns = targets.rows.flatten(0, 1), targets.columns.flatten(0, 1)
    patches = patches_at(features.flatten(0, 1), rows, columns)
    return patches.reshape(*targets.rows.shape, -1)


def crop_to_centers(boxes_ltwh: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns (n,) of the centres of boxes (n, 4), and the boxes seen from there.

    These are relative to the 3 x 3 cells around the centre: all that `SideDescent` looks at with a
    radius of 0, unless it is `as_released`. shape: rows and columns of the whole map. A box whose
    centre is outside stays outside.
    """
    corner, size = boxes_ltwh[:, :2], boxes_ltwh[:, 2:]
    at = corner / STRIDE + size / STRIDE / 2
    cells = at.floor()
    limits = constant(shape[::-1], at)
    inside = ((cells >= 0) & (cells < limits)).all(-1, keepdim=True)
    local = torch.where(inside, corner - STRIDE * (cells - 1), -STRIDE * limits - size)
    columns, rows = cells.long().unbind(-1)
    return rows, columns, torch.cat([local, size], -1)


@dataclass
class _Problem:
    """Squared error in the target cells; `strength` of the regularisation."""

    features: Tensor
    patches: Tensor
    targets: SideTargets
    weights: Tensor
    """Of the samples, (N, S); the residuals are multiplied by their roots."""
    strength: Tensor

    def errors(self, filters: Tensor) -> Tensor:
        """Weighted residuals (N, S, K, 4), zero in cells that do not count."""
        predicted = self._products(filters)
        root = self.weights.sqrt()[..., None, None]
        return root * self.targets.valid[..., None] * (predicted - self.targets.distances)

    def gradient(self, filters: Tensor) -> Tensor:
        """Half the gradient of the objective in the filters (equation 11)."""
        errors = self.weights.sqrt()[..., None, None] * self.errors(filters)
        products = torch.einsum('nskq,nskd->sqd', errors, self.patches)
        return products.view_as(filters) + self.strength * filters

    def curvature(self, gradient: Tensor, everywhere: bool) -> Tensor:
        """Squared norm (S,) of the change of the residuals along the gradient (equation 12).

        everywhere: over the whole map, as in the authors' code, instead of the target cells.
        """
        if everywhere:
            weight = self.weights[..., None, None, None]
            return (weight * correlate(self.features, gradient).square()).sum((0, 2, 3, 4))
        change = self._products(gradient).square() * self.targets.valid[..., None]
        return (self.weights[..., None, None] * change).sum((0, 2, 3))

    def _products(self, filters: Tensor) -> Tensor:
        return torch.einsum('nskd,sqd->nskq', self.patches, filters.flatten(2))


class SideDescent(nn.Module):
    """Steepest descent on the squared error of the sides with Gauss-Newton steps (equation 5).

    as_released: see `side_targets`; in addition the step length then counts the response in the
    whole map though the error lives in a few cells, which makes steps much shorter than is best.
    """

    def __init__(
        self,
        *,
        radius: int = 0,
        step: float = 1.0,
        regularization: float = 0.1,
        minimum_regularization: float = 1e-3,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        self.radius, self.minimum, self.as_released = radius, minimum_regularization, as_released
        self.log_step_length = nn.Parameter(torch.tensor([step]).log())
        self.filter_reg = nn.Parameter(torch.tensor([regularization]))

    def forward(
        self,
        filters: Tensor,
        features: Tensor,
        boxes_ltwh: Tensor,
        iterations: int,
        sample_weights: Tensor | None = None,
        *,
        with_losses: bool = False,
    ) -> FilterFit:
        """Improve filters (S, 4, C, 3, 3) on samples.

        features: (N, S, C, H, W); boxes_ltwh: (N, S, 4) in input pixels; sample_weights: (N, S),
        None for equal ones of sum one. Losses are means over the whole map, as published.
        """
        problem = self._problem(filters, features, boxes_ltwh, sample_weights)
        iterates, losses = [filters], []
        for _ in range(iterations):
            if with_losses:
                losses.append(_mean_square(problem.errors(filters), features))
            gradient = problem.gradient(filters)
            power = gradient.square().sum((1, 2, 3, 4))
            bend = problem.curvature(gradient, everywhere=self.as_released)
            step = power / (bend + problem.strength * power).clamp(min=1e-8)
            step = self.log_step_length.exp() * step
            filters = filters - step[:, None, None, None, None] * gradient
            iterates.append(filters)
        if with_losses:
            losses.append(_mean_square(problem.errors(filters), features))
        return FilterFit(filters, iterates, losses)

    def _problem(
        self, filters: Tensor, features: Tensor, boxes_ltwh: Tensor, weights: Tensor | None
    ) -> _Problem:
        count, targets, _, height, width = features.shape
        if weights is None:
            weights = filters.new_full((count, targets), 1 / count)
        cells = side_targets(
            boxes_ltwh, (height, width), self.radius, as_released=self.as_released
        )
        patches = side_patches(features, cells).to(filters.dtype)
        strength = self.filter_reg.square().clamp(min=self.minimum**2)
        return _Problem(features, patches, cells, weights, strength)


def _mean_square(errors: Tensor, features: Tensor) -> Tensor:
    """Mean over all samples, sides and cells of the map, of which most have no error."""
    count, targets, _, height, width = features.shape
    return errors.square().sum() / (4 * count * targets * height * width)
