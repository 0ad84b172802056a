"""Single cells of a map with what is around them."""

import pytest
import torch
from torch.nn import functional

from tracker_core.patches import neighbors, patches_at


def test_patches_are_what_a_convolution_meets():
    features = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    rows, columns = torch.tensor([[0, 4, 2], [0, 1, 3]]), torch.tensor([[0, 6, 3], [6, 0, 5]])
    found = patches_at(features, rows, columns)
    assert found.shape == (2, 3, 3, 3, 3)
    everywhere = functional.conv2d(features, kernel, padding=1)
    expected = torch.stack([everywhere[n, :, rows[n], columns[n]].T for n in range(2)])
    torch.testing.assert_close(found.flatten(2) @ kernel.flatten(1).T, expected)
    assert torch.autograd.gradcheck(lambda x: patches_at(x, rows, columns), features)


@pytest.mark.parametrize(('cell', 'count'), [((0, 0), 4), ((0, 2), 6), ((2, 2), 9), ((-3, 2), 0)])
def test_neighbors_outside_the_map_are_told_apart(cell, count):
    rows, columns, inside = neighbors(*(torch.tensor([at]) for at in cell), (4, 6))
    assert rows.shape == columns.shape == inside.shape == (1, 3, 3)
    assert inside.sum() == count
    assert (rows.min(), columns.min()) >= (0, 0) and (rows.max() < 4) and (columns.max() < 6)
