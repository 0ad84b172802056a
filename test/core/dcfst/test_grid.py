import math

import pytest
import torch

from tracker_core.dcfst.grid import Grid

GRID = Grid()


def test_centres_run_row_by_row_through_the_middle():
    centers = GRID.centers()
    assert centers.shape == (961, 2)
    expected = torch.tensor(
        [[28.8, 28.8], [36.48, 28.8], [28.8, 36.48], [144, 144], [259.2, 259.2]]
    )
    torch.testing.assert_close(centers[[0, 1, 31, 480, 960]], expected)


@pytest.mark.parametrize(('grid', 'step'), [(GRID, 3), (Grid(15), 2)])
def test_fewer_places_reach_as_far(grid, step):
    every, fewer = grid.centers().view(grid.side, grid.side, 2), grid.thinned().centers()
    torch.testing.assert_close(fewer, every[::step, ::step].reshape(-1, 2))


@pytest.mark.parametrize(('grid', 'step'), [(GRID, 3), (Grid(15), 2)])
def test_shares_of_fewer_places(grid, step):
    """A mean over all proposals, of something linear or slowly curved."""
    shares = grid.shares_of_thinned()
    assert shares.shape == (grid.thinned().side ** 2, 1)
    assert float(shares.sum()) == pytest.approx(1)
    x, y = grid.centers().unbind(-1)
    values = (x / 100) ** 2 + 0.5 * y / 100
    estimate = (values.view(grid.side, -1)[::step, ::step].reshape(-1, 1) * shares).sum()
    assert float(estimate) == pytest.approx(float(values.mean()), rel=1e-2)


def test_another_image_size():
    small = Grid(7, 96)
    assert small.target_side == pytest.approx(19.2) and small.middle == 24
    torch.testing.assert_close(small.centers()[[0, 24, 48]],
                               torch.tensor([[9.6, 9.6], [48, 48], [86.4, 86.4]]))  # fmt: skip
    assert small.factors(torch.tensor([[20.0, 10.0]]), 4, 'layer3')[0].shape == (1, 7, 4, 6)


def test_boxes_have_the_size_of_their_target():
    boxes = GRID.boxes_ltwh(torch.tensor([[20.0, 60.0], [57.6, 57.6]]))
    assert boxes.shape == (2, 961, 4)
    torch.testing.assert_close(boxes[0, 480], torch.tensor([134.0, 114.0, 20.0, 60.0]))
    torch.testing.assert_close(
        boxes[..., :2] + boxes[..., 2:] / 2, GRID.centers().expand(2, -1, -1)
    )


def test_labels_are_a_gaussian_of_the_distance():
    target = torch.tensor([[144.0, 144.0], [28.8, 36.48]])
    labels = GRID.labels(target, torch.tensor([14.4, 7.68]))
    assert labels.shape == (2, 961, 1)
    assert labels[0, 480] == 1 and labels[1, 31] == 1
    assert float(labels[0, 481]) == pytest.approx(math.exp(-0.5 * (7.68 / 14.4) ** 2), rel=1e-5)
    assert float(labels[1, 0]) == pytest.approx(math.exp(-0.5), rel=1e-4)


def test_factors_are_means_over_bins_inside_the_map():
    over_y, over_x = GRID.factors(torch.tensor([[57.6, 20.0]]), 8, 'layer2')
    assert over_y.shape == over_x.shape == (1, 31, 8, 36)
    torch.testing.assert_close(over_y[0, 15].sum(-1), torch.ones(8))
    # Cell k lies at k: the first proposal begins at cell 0, the last ends at 36, after cell 35.
    torch.testing.assert_close(over_x[0, 0].sum(-1), torch.ones(8))
    assert over_x[0, 30, 7].sum() < 0.7
    middle = (over_y[0, 15] * torch.arange(36.0)).sum(-1).mean()
    assert float(middle) == pytest.approx(144 / 8, abs=1e-5)
