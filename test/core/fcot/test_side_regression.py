"""Regression of the four sides: targets by hand, the reference optimiser, paper's equations."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional

from tracker_core.fcot.side_regression import (
    SideDescent,
    crop_to_centers,
    predict_sides,
    side_patches,
    side_targets,
)
from tracker_core.patches import patches_at


def _dense(targets, shape):
    """Label (N, S, 4, H, W) and mask of the same shape, as the reference stores them."""
    labels = torch.zeros(*targets.rows.shape[:2], 4, *shape)
    mask = torch.zeros_like(labels)
    for n, s, k in np.ndindex(*targets.rows.shape):
        if targets.valid[n, s, k]:
            row, column = targets.rows[n, s, k], targets.columns[n, s, k]
            labels[n, s, :, row, column] = targets.distances[n, s, k].float()
            mask[n, s, :, row, column] = 1
    return labels, mask


@pytest.fixture(scope='module')
def reference(parity):
    return np.load(parity / 'fcot_regopt.npz')


@pytest.mark.parametrize('radius', [0, 1])
def test_released_targets_equal_the_reference(reference, radius):
    boxes = torch.from_numpy(reference['bb'])[:, None]
    labels, mask = _dense(side_targets(boxes, (72, 72), radius, as_released=True), (72, 72))
    np.testing.assert_array_equal(labels, reference[f'label_r{radius}'])
    np.testing.assert_array_equal(mask, reference[f'mask_r{radius}'])
    assert mask.sum() == 2 * 4 * (2 * radius + 1) ** 2


@pytest.mark.parametrize('case', ['plain', 'radius1', 'weighted'])
def test_optimizer_equals_the_reference(reference, case):
    optimizer = SideDescent(
        radius=int(case == 'radius1'),
        step=float(reference['init_step_length']),
        regularization=float(reference['filter_reg']),
        as_released=True,
    )
    features = torch.from_numpy(reference['feat'].astype(np.float32))
    boxes = torch.from_numpy(reference['bb'])[:, None]
    weights = torch.tensor([[0.7], [0.3]]) if case == 'weighted' else None
    start = torch.from_numpy(reference['filter_in'])
    fit = optimizer(start, features, boxes, 5, weights, with_losses=True)
    iterates = torch.stack(fit.iterates).detach().numpy()
    np.testing.assert_allclose(iterates, reference[f'{case}/iterates'], rtol=0, atol=1e-5)
    change = iterates[1:] - iterates[:1]
    expected = reference[f'{case}/iterates'][1:] - reference[f'{case}/iterates'][:1]
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(change, expected, rtol=0, atol=1e-5)
    losses = torch.stack(fit.losses).detach().numpy()
    np.testing.assert_allclose(losses, reference[f'{case}/losses'], rtol=0, atol=1e-6)


def test_targets_are_distances_from_the_centre_of_the_cell():
    """Box from (40, 20) to (80, 100) px: centre (60, 60) px, in the cell whose centre is 62."""
    targets = side_targets(torch.tensor([[[40.0, 20.0, 40.0, 80.0]]]), (72, 72), 0)
    assert (targets.rows.item(), targets.columns.item()) == (15, 15)
    assert (4 * targets.distances).flatten().tolist() == [22.0, 18.0, 42.0, 38.0]


def test_cells_outside_the_map_or_the_box_do_not_count():
    """A box of two cells at the corner; radius 1 leaves both and the map."""
    boxes = torch.tensor([[[0.0, 0.0, 8.0, 4.0]], [[100.0, 100.0, 40.0, 40.0]]])
    targets = side_targets(boxes, (72, 72), 1)
    inside = [
        (row, column)
        for row, column, valid in zip(
            targets.rows[0, 0].tolist(),
            targets.columns[0, 0].tolist(),
            targets.valid[0, 0].tolist(),
            strict=True,
        )
        if valid
    ]
    assert inside == [(0, 0), (0, 1)]
    assert targets.valid[1].all()
    # The authors' code drops for all samples what does not count for one.
    assert not side_targets(boxes, (72, 72), 1, as_released=True).valid[1].all()


def _samples(dtype=torch.float64, side=9):
    draw = torch.Generator().manual_seed(3)
    features = torch.randn(3, 2, 4, side, side, generator=draw, dtype=dtype)
    offset = 4 * torch.rand(3, 2, 2, generator=draw, dtype=dtype)
    boxes = torch.cat([offset + 6, torch.full_like(offset, 17.0)], -1)
    filters = 0.1 * torch.randn(2, 4, 4, 3, 3, generator=draw, dtype=dtype)
    return features, boxes, filters


def test_patches_are_what_the_filter_meets():
    features, boxes, filters = _samples()
    boxes[0, 0] = torch.tensor([0.0, 30.0, 4.0, 5.0])  # at the left and the lower border
    targets = side_targets(boxes, (9, 9), 1)
    products = torch.einsum('nskd,sqd->nskq', side_patches(features, targets), filters.flatten(2))
    padded = torch.stack(
        [functional.conv2d(features[:, s], filters[s], padding=1) for s in range(2)], 1
    )
    for n, s, k in np.ndindex(3, 2, 9):
        row, column = targets.rows[n, s, k], targets.columns[n, s, k]
        if targets.valid[n, s, k]:
            torch.testing.assert_close(products[n, s, k], padded[n, s, :, row, column])
    torch.testing.assert_close(predict_sides(features, filters), padded.relu())


def test_the_cells_around_the_centres_are_all_that_a_step_needs():
    features, boxes, filters = _samples()
    boxes[0, 1] = torch.tensor([0.0, 30.0, 4.0, 5.0])  # centre in the first column
    boxes[1, 0] = torch.tensor([40.0, 10.0, 12.0, 5.0])  # centre outside
    whole = SideDescent()(filters, features, boxes, 2).filters
    rows, columns, moved = crop_to_centers(boxes.flatten(0, 1), (9, 9))
    cells = patches_at(features.flatten(0, 1), rows[:, None], columns[:, None]).view(3, 2, 4, 3, 3)
    found = SideDescent()(filters, cells, moved.view(3, 2, 4), 2).filters
    torch.testing.assert_close(found, whole)
    assert (rows.view(3, 2)[0, 1], columns.view(3, 2)[0, 1]) == (8, 0)


@pytest.mark.parametrize('weighted', [False, True])
def test_step_is_the_best_along_the_gradient(weighted):
    """Paper: with step factor 1 every iteration minimises the objective along its gradient."""
    features, boxes, filters = _samples()
    optimizer = SideDescent(radius=1).double()
    weights = torch.tensor([[0.5, 0.2], [0.3, 0.2], [0.2, 0.6]]).double() if weighted else None
    targets = side_targets(boxes, (9, 9), 1)
    patches = side_patches(features, targets)
    share = torch.full((3, 2), 1 / 3, dtype=torch.float64) if weights is None else weights

    def objective(candidate):
        predicted = torch.einsum('nskd,sqd->nskq', patches, candidate.flatten(2))
        errors = (predicted - targets.distances).square() * targets.valid[..., None]
        data = (share[..., None, None] * errors).sum((0, 2, 3))
        return data + 0.01 * candidate.square().sum((1, 2, 3, 4))

    start = filters.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(start).sum(), start)
    end = optimizer(filters, features, boxes, 1, weights).filters.detach()
    step = ((filters - end) * gradient).sum((1, 2, 3, 4)) / gradient.square().sum((1, 2, 3, 4))
    torch.testing.assert_close(end, filters - step.view(2, 1, 1, 1, 1) * gradient)
    best = objective(end)
    for factor in (0.95, 1.05):
        nearby = filters - factor * step.view(2, 1, 1, 1, 1) * gradient
        assert (objective(nearby) > best).all()


def test_iterations_fit_the_sides():
    features, boxes, filters = _samples()
    fit = SideDescent(regularization=1e-3)(filters, features, boxes, 20, with_losses=True)
    losses = torch.stack(fit.losses)
    assert (losses.diff() <= 0).all()
    assert losses[-1] < 0.01 * losses[0]


def test_released_steps_are_shorter():
    features, boxes, filters = _samples()
    paper = SideDescent()(filters, features, boxes, 1).filters
    optimizer = SideDescent(as_released=True)
    released = optimizer(filters, features, boxes, 1).filters
    assert (released - filters).norm() < 0.8 * (paper - filters).norm()


def test_gradients_reach_filters_features_and_parameters():
    features, boxes, filters = _samples(side=6)
    optimizer = SideDescent(radius=1).double()

    def run(filters, features, step, strength):
        values = {'log_step_length': step, 'filter_reg': strength}
        inputs = (filters, features, boxes * 0.6, 2)
        return torch.func.functional_call(optimizer, values, inputs).filters

    step = torch.tensor([-0.2], dtype=torch.float64)
    strength = torch.tensor([0.3], dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (filters, features, step, strength)]
    assert gradcheck(run, inputs, fast_mode=True)
