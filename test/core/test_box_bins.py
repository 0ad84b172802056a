"""Shares of cells in the bins of boxes against those of `roi_pool`, and their gradient."""

import pytest
import torch

from tracker_core.box_bins import BoxBins, CellShares
from tracker_core.roi_pool import bin_weights

LEVELS = ((5, 1 / 8), (3, 1 / 16), (1, 0.5))
CELLS = 11


@pytest.fixture
def boxes():
    """Two images with five boxes, in and around 88 px, two of them empty."""
    generator = torch.Generator().manual_seed(0)
    corner = 80 * torch.rand(2, 5, 2, generator=generator).double() - 10
    size = 5 + 60 * torch.rand(2, 5, 2, generator=generator).double()
    boxes = torch.cat([corner, size], -1)
    boxes[0, 3, 2] = 0
    boxes[1, 1, 3] = -4
    return boxes


def reference(boxes, cells=CELLS):
    """Weights (N, K, 2, bins, cells) of the operator that is differentiated by autograd."""
    axes = []
    for axis in (0, 1):
        start = boxes[..., axis]
        stop = start + boxes[..., 2 + axis]
        axes.append(torch.cat([bin_weights(start * s, stop * s, n, cells) for n, s in LEVELS], 2))
    return torch.stack(axes, 2)


def test_shares_are_the_weights_of_the_operator(boxes):
    bins = BoxBins(boxes, LEVELS)
    weights = CellShares(bins, torch.arange(CELLS)).weights
    torch.testing.assert_close(weights, reference(boxes), rtol=0, atol=1e-12)
    assert bins.slices == (slice(0, 5), slice(5, 8), slice(8, 9))
    assert (weights[0, 3, 0] == 0).all() and (weights[1, 1, 1] == 0).all()
    torch.testing.assert_close(bins.edges[0, 0, 0, 5, 0], boxes[0, 0, 0] / 16)


def test_every_bin_may_have_cells_of_its_own(boxes):
    first = torch.arange(2 * 9).view(2, 9, 1, 1) % 7
    weights = CellShares(BoxBins(boxes, LEVELS), first + torch.arange(4)).weights
    whole = reference(boxes)
    for axis in (0, 1):
        for index in range(9):
            start = int(first[axis, index])
            torch.testing.assert_close(
                weights[:, :, axis, index], whole[:, :, axis, index, start : start + 4]
            )


def test_gradient_is_that_of_autograd(boxes):
    cotangent = torch.randn(2, 5, 2, 9, CELLS, generator=torch.Generator().manual_seed(1)).double()
    (reference(boxes.requires_grad_()) * cotangent).sum().backward()
    shares = CellShares(BoxBins(boxes.detach(), LEVELS), torch.arange(CELLS))
    found = shares.box_gradient(cotangent)
    expected = boxes.grad.clone()
    # Moving an empty box is said to change nothing.
    expected[0, 3, [0, 2]] = 0
    expected[1, 1, [1, 3]] = 0
    torch.testing.assert_close(found, expected)


def test_constants_serve_training_after_inference(boxes):
    with torch.inference_mode():
        BoxBins(boxes, ((4, 0.25),))
    edges = BoxBins(boxes.requires_grad_(), ((4, 0.25),)).edges
    edges.sum().backward()
    assert boxes.grad is not None
