"""Ridge regression as a differentiable layer, and the sweeps that keep a solution up to date."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def solve(features: Tensor, labels: Tensor, regularization: float) -> Tensor:
    """Weights that map the rows of `features` to `labels` (paper eq. 1): (..., D, 1).

    features: (..., P, D), float32 or float64. labels: (..., P, 1). regularization: lambda > 0.
    With at least as many rows as columns the normal equations of eq. 2 are solved, else those of
    the right side of eq. 3 (Woodbury; its left side misprints lambda I). The gradient is that of
    the implicit function, which needs one more solve with the same factor.
    """
    if regularization <= 0:
        raise ValueError(f'regularization must be positive, not {regularization}')
    if labels.shape != (*features.shape[:-1], 1):
        raise ValueError(
            f'labels {tuple(labels.shape)} do not fit features {tuple(features.shape)}: '
            'one label per row, (..., P, 1)'
        )
    layer = _Primal if features.shape[-2] >= features.shape[-1] else _Dual
    return layer.apply(features, labels, regularization)  # type: ignore[no-any-return, no-untyped-call]


def solve_normal_equations(matrix: Tensor, target: Tensor) -> Tensor:
    """Solve `matrix` w = `target` for a symmetric positive definite matrix (..., D, D).

    target: (..., D, 1). Computed in float64, as averaged products are nearly singular.
    """
    factor = torch.linalg.cholesky(matrix.double())
    return torch.cholesky_solve(target.double(), factor).to(target.dtype)


def gauss_seidel(matrix: Tensor, target: Tensor, start: Tensor, sweeps: int) -> Tensor:
    """Move `start` towards the solution of `matrix` w = `target` by sweeps over all unknowns.

    matrix: (D, D), symmetric positive definite. target, start: (D, 1). One sweep solves
    tril(A) w' = b - triu(A, 1) w. Ill-conditioned systems are not solved by a few sweeps: they
    stay near `start`, which the tracker relies on.
    """
    upper = matrix.triu(1)
    weights = start
    for _ in range(sweeps):
        weights = torch.linalg.solve_triangular(matrix, target - upper @ weights, upper=False)
    return weights


def normal_matrix(features: Tensor, regularization: float) -> Tensor:
    """Return X'X + lambda I, (..., D, D), of `features` X (..., P, D)."""
    matrix = features.mT @ features
    matrix.diagonal(dim1=-2, dim2=-1).add_(regularization)
    return matrix


def _factor(features: Tensor, regularization: float) -> Tensor:
    """Cholesky factor of X'X + lambda I; where rounding swallowed lambda, by way of float64."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(normal_matrix(features, regularization))
    if bool(failed.any()):
        matrix = normal_matrix(features.double(), regularization)
        factor = torch.linalg.cholesky(matrix).to(features.dtype)
    return factor


class _Primal(torch.autograd.Function):
    """w = A^-1 X'y with A = X'X + lambda I."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, labels: Tensor, regularization: float) -> Tensor:
        factor = _factor(features, regularization)
        weights = torch.cholesky_solve(features.mT @ labels, factor)
        ctx.save_for_backward(features, labels, weights, factor)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        features, labels, weights, factor = ctx.saved_tensors
        # A w = X'y differentiated: A dw = dX'(y - Xw) + X'(dy - dX w), and u = A^-1 dL/dw.
        adjoint = torch.cholesky_solve(gradient, factor)
        to_labels = features @ adjoint
        residual = labels - features @ weights
        to_features = residual @ adjoint.mT - to_labels @ weights.mT
        return to_features, to_labels, None


class _Dual(torch.autograd.Function):
    """w = X' K^-1 y with K = XX' + lambda I."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, labels: Tensor, regularization: float) -> Tensor:
        factor = _factor(features.mT, regularization)
        coefficients = torch.cholesky_solve(labels, factor)
        weights = features.mT @ coefficients
        ctx.save_for_backward(features, coefficients, weights, factor)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        features, coefficients, weights, factor = ctx.saved_tensors
        # As above with y - Xw = lambda K^-1 y and lambda u = g - X'(Xu): no division by lambda.
        to_labels = torch.cholesky_solve(features @ gradient, factor)
        scaled_adjoint = gradient - features.mT @ to_labels
        to_features = coefficients @ scaled_adjoint.mT - to_labels @ weights.mT
        return to_features, to_labels, None
