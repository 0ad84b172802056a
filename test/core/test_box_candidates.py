import math

import pytest
import torch

from tracker_core.box_candidates import jitter_box, mean_of_best

BOX = torch.tensor([10.0, 20.0, 40.0, 90.0])


def test_the_box_itself_comes_first_and_half_draws_change_nothing():
    boxes = jitter_box(BOX, torch.full((3, 4), 0.5), 0.1, 0.5)
    assert boxes.shape == (4, 4)
    torch.testing.assert_close(boxes, BOX.expand(4, 4))


def test_draws_move_centre_and_size_by_shares_of_the_root_of_the_area():
    draws = torch.tensor([[1.0, 0.0, 0.75, 0.5]])
    moved = jitter_box(BOX, draws, 0.1, 0.5)[1]
    unit = math.sqrt(40 * 90)
    width = 40 + 0.25 * 0.5 * unit
    x, y = 30 + 0.05 * unit, 65 - 0.05 * unit
    expected = torch.tensor([x - width / 2, y - 45, width, 90.0])
    torch.testing.assert_close(moved, expected)


def test_no_side_gets_shorter_than_a_third_of_the_shorter_one():
    boxes = jitter_box(BOX, torch.zeros(1, 4), 0.1, 9.0)
    torch.testing.assert_close(boxes[1, 2:], torch.full((2,), 40 / 3))


def test_mean_of_the_best():
    boxes = torch.tensor([[0, 0, 10, 10], [2, 2, 10, 10], [9, 9, 50, 50], [4, 4, 10, 13]]).float()
    scores = torch.tensor([0.5, 0.9, 0.1, 0.7])
    found = mean_of_best(boxes, scores, 3, 6.0)
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0, 10.0, 11.0]))
    everything = mean_of_best(boxes, scores, 9, 6.0)
    torch.testing.assert_close(everything, boxes.mean(0))


@pytest.mark.parametrize('size', [(7.0, 1.0), (1.0, 7.0), (6.0, 0.2)])
def test_thin_boxes_are_left_out(size):
    boxes = torch.tensor([[0, 0, *size], [1, 1, 4, 4]])
    scores = torch.tensor([0.9, 0.1])
    torch.testing.assert_close(mean_of_best(boxes, scores, 1, 6.0), boxes[1])
    torch.testing.assert_close(mean_of_best(boxes, scores, 2, 6.0), boxes[1])
    assert mean_of_best(boxes[:1], scores[:1], 1, 6.0).isnan().all()


def test_sides_have_at_least_one_pixel():
    found = mean_of_best(torch.tensor([[5.0, 5.0, -3.0, 0.5]]), torch.ones(1), 1, 6.0)
    torch.testing.assert_close(found, torch.tensor([5.0, 5.0, 1.0, 1.0]))


def test_boxes_that_are_no_numbers_are_left_out():
    boxes = torch.tensor([[0, 0, math.nan, 4], [1, 1, 4, 4], [2, 2, math.inf, 4]])
    torch.testing.assert_close(mean_of_best(boxes, torch.ones(3), 3, 6.0), boxes[1])


def test_nothing_is_read_back_from_a_device():
    """Tensors without data, which cannot be read, stand for those of a GPU that is not ready."""
    boxes = jitter_box(torch.empty(4, device='meta'), torch.rand(5, 4), 0.1, 0.5)
    assert mean_of_best(boxes, torch.empty(6, device='meta'), 3, 6.0).shape == (4,)
