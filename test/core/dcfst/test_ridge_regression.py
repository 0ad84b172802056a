"""The layer against its definition, autograd, finite differences and the reference solutions."""

import numpy as np
import pytest
import torch

from tracker_core.dcfst.ridge_regression import (
    gauss_seidel,
    normal_matrix,
    solve,
    solve_normal_equations,
)

TALL, WIDE = (9, 5), (5, 9)


def problem(shape, batch=(2,), dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(*batch, *shape, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.rand(*batch, shape[0], 1, generator=generator, dtype=torch.float64).to(dtype)
    return features, labels


def by_definition(features, labels, regularization):
    """Equation 2, whatever the shape, with a general solver."""
    eye = torch.eye(features.shape[-1], dtype=features.dtype)
    return torch.linalg.solve(features.mT @ features + regularization * eye, features.mT @ labels)


@pytest.mark.parametrize('shape', [TALL, WIDE, (6, 6)])
@pytest.mark.parametrize('batch', [(), (3,), (2, 2)])
def test_solution_is_that_of_the_normal_equations(shape, batch):
    features, labels = problem(shape, batch)
    weights = solve(features, labels, 0.1)
    assert weights.shape == (*batch, shape[1], 1)
    torch.testing.assert_close(weights, by_definition(features, labels, 0.1))


@pytest.mark.parametrize(('shape', 'side'), [(TALL, 5), (WIDE, 5), ((6, 6), 6)])
def test_the_smaller_system_is_solved(monkeypatch, shape, side):
    sizes = []
    original = torch.linalg.cholesky_ex
    monkeypatch.setattr(
        torch.linalg, 'cholesky_ex', lambda a: (sizes.append(a.shape[-1]), original(a))[1]
    )
    solve(*problem(shape), 0.1)
    assert sizes == [side]


@pytest.mark.parametrize('shape', [TALL, WIDE])
def test_gradient_against_finite_differences(shape):
    features, labels = problem(shape)
    inputs = features.requires_grad_(), labels.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: solve(x, y, 0.1), inputs)


@pytest.mark.parametrize('shape', [TALL, WIDE])
def test_gradient_against_autograd_and_the_implicit_formula(shape):
    features, labels = problem(shape)
    generator = torch.Generator().manual_seed(2)
    cotangent = torch.randn(2, shape[1], 1, generator=generator, dtype=torch.float64)
    expected = gradients(by_definition, features, labels, cotangent)
    found = gradients(solve, features, labels, cotangent)
    torch.testing.assert_close(found, expected)
    # d(X'Xw + lambda w - X'y) = 0 solved for dw, then its transpose.
    matrix = normal_matrix(features, 0.1)
    weights, adjoint = solve(features, labels, 0.1), torch.linalg.solve(matrix, cotangent)
    residual = labels - features @ weights
    implicit = residual @ adjoint.mT - features @ adjoint @ weights.mT
    torch.testing.assert_close(found[0], implicit)
    torch.testing.assert_close(found[1], features @ adjoint)


def gradients(solver, features, labels, cotangent):
    features, labels = (t.clone().requires_grad_() for t in (features, labels))
    (solver(features, labels, 0.1) * cotangent).sum().backward()
    return features.grad, labels.grad


@pytest.mark.parametrize('shape', [(300, 128), (96, 128)])
def test_float32_predicts_what_float64_does_for_dependent_columns(shape):
    """Rank 12: the condition number is about 1e6, and only lambda makes the matrix definite."""
    generator = torch.Generator().manual_seed(3)
    basis = torch.randn(shape[0], 12, generator=generator)
    features = basis @ torch.randn(12, shape[1], generator=generator)
    features = features / features.square().mean(0).sqrt()
    labels = torch.rand(shape[0], 1, generator=generator)
    exact = features.double() @ solve(features.double(), labels.double(), 0.1)
    single = features @ solve(features, labels, 0.1)
    assert (single - exact).abs().max() < 5e-3
    assert exact.abs().max() > 0.2


@pytest.mark.parametrize('shape', [(400, 200), (200, 400)])
def test_where_float32_swallows_lambda_float64_solves(shape):
    """Equal columns of 30: lambda is below the spacing of float32 numbers in X'X."""
    features, labels = torch.full(shape, 30.0), torch.full((shape[0], 1), 0.5)
    small = features if shape[0] > shape[1] else features.mT
    assert torch.linalg.cholesky_ex(normal_matrix(small, 1e-3)).info > 0
    weights = solve(features, labels, 1e-3)
    torch.testing.assert_close(features @ weights, labels, rtol=0, atol=5e-3)


def test_normal_equations_of_averaged_products():
    first, second = (problem(TALL, batch=(), seed=seed) for seed in (1, 2))
    matrix = (normal_matrix(first[0], 0.1) + normal_matrix(second[0], 0.1)) / 2
    target = (first[0].mT @ first[1] + second[0].mT @ second[1]) / 2
    weights = solve_normal_equations(matrix.float(), target.float())
    assert weights.dtype == torch.float32
    torch.testing.assert_close(matrix @ weights.double(), target, rtol=0, atol=1e-5)


def test_bad_arguments():
    features, labels = problem(TALL)
    with pytest.raises(ValueError, match='one label per row'):
        solve(features, labels[..., 0], 0.1)
    with pytest.raises(ValueError, match='positive'):
        solve(features, labels, 0.0)


def test_sweeps_solve_a_well_conditioned_system_and_stay_near_the_start_otherwise():
    features, labels = problem((40, 10), batch=())
    matrix, target = normal_matrix(features, 0.1), features.mT @ labels
    exact = torch.linalg.solve(matrix, target)
    zero = torch.zeros_like(exact)
    torch.testing.assert_close(gauss_seidel(matrix, target, zero, 200), exact)
    once = gauss_seidel(matrix, target, zero, 1)
    by_hand = torch.zeros(10, 1, dtype=torch.float64)
    for row in range(10):
        by_hand[row] = (target[row] - matrix[row] @ by_hand) / matrix[row, row] + by_hand[row]
    torch.testing.assert_close(once, by_hand)
    assert torch.equal(gauss_seidel(matrix, target, exact, 0), exact)


@pytest.fixture(scope='module')
def data(parity):
    return np.load(parity / 'dcfst18.npz')


@pytest.mark.data
def test_reference_solution(data):
    features = torch.from_numpy(data['X']).double()
    labels = torch.from_numpy(data['train_labels'])[:, None].double()
    weights = solve(features, labels, 0.1)
    np.testing.assert_allclose(weights.numpy(), data['w_float64'], rtol=0, atol=2e-5)
    single = solve(features.float(), labels.float(), 0.1)
    np.testing.assert_allclose(single.numpy(), data['w_float64'], rtol=0, atol=1e-2)
