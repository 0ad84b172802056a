import numpy as np
import pytest
import torch

from tracker_core.box_candidates import average_best, jitter_box

BOX = torch.tensor([10.0, 20.0, 16.0, 4.0])


class Fixed:
    def __init__(self, value):
        self.value = np.array(value, dtype=np.float64)

    def random(self, size):
        return np.broadcast_to(self.value, size).copy()


def test_the_first_candidate_is_the_box_itself():
    boxes = jitter_box(BOX, 9, 0.1, 0.5, np.random.default_rng(0))
    assert boxes.shape == (10, 4) and torch.equal(boxes[0], BOX)


def test_noise_is_relative_to_the_root_of_the_area():
    """Root 8: draws of 1 move the centre by 0.05 * 8 and add 0.25 * 8 to the sides."""
    one = jitter_box(BOX, 1, 0.1, 0.5, Fixed([1, 1, 1, 1]))[1]
    assert one.tolist() == pytest.approx([18.4 - 9, 22.4 - 3, 18, 6])


def test_sides_stay_above_a_third_of_the_shorter_side():
    one = jitter_box(BOX, 1, 0.1, 2.0, Fixed([0.5, 0.5, 0.5, 0]))[1]
    assert one[2:].tolist() == pytest.approx([16, 4 / 3])


def test_mean_of_the_best():
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 2, 10, 12], [4, 4, 10, 14], [90, 90, 10, 10]])
    best = average_best(boxes, torch.tensor([0.9, 0.7, 0.8, 0.1]), 3, 6)
    assert best.tolist() == pytest.approx([2, 2, 10, 12])


def test_implausible_boxes_are_left_out():
    boxes = torch.tensor([[0.0, 0, 61, 10], [0, 0, 10, 61], [5, 5, 10, 10], [0, 0, np.nan, 10]])
    scores = torch.tensor([0.9, 0.9, 0.1, 0.9])
    assert average_best(boxes, scores, 3, 6).tolist() == [5, 5, 10, 10]
    assert average_best(boxes[:2], scores[:2], 3, 6) is None


def test_sides_of_less_than_a_pixel_become_one():
    boxes = torch.tensor([[0.0, 0, -3, 2]])
    assert average_best(boxes, torch.tensor([1.0]), 3, 6).tolist() == [0, 0, 1, 2]
