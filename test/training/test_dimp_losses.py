"""Losses of DiMP and PrDiMP against values worked out by hand or by a sum."""

import math

import numpy as np
import pytest
import torch

from training.dimp_losses import box_density_loss, density_loss, hinge_loss, make_labels


def test_labels_peak_on_the_target() -> None:
    # Centre (64, 48) px = cell (4, 3).
    labels = make_labels(torch.tensor([[44.0, 38.0, 40.0, 20.0]]), 19, 0.9, 16)[0]
    assert labels.shape == (19, 19) and labels[3, 4] == 1
    assert labels[3, 5].item() == pytest.approx(math.exp(-0.5 / 0.9**2))
    assert labels[5, 4].item() == pytest.approx(math.exp(-2 / 0.9**2))


def test_background_counts_only_above_zero_by_hand() -> None:
    labels = torch.tensor([1.0, 0.5, 0.04, 0.04])
    scores = torch.tensor([0.7, 0.7, 0.3, -5.0])
    expected = (0.3**2 + 0.2**2 + 0.3**2 + 0) / 4
    assert hinge_loss(scores, labels, 0.05).item() == pytest.approx(expected)


def test_density_loss_is_cross_entropy_with_the_label() -> None:
    scores = torch.tensor([[[0.0, 1.0], [2.0, -1.0]]])
    labels = torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])
    log_softmax = scores.flatten().log_softmax(0)
    expected = -(0.75 * log_softmax[0] + 0.25 * log_softmax[1])
    assert density_loss(scores, labels).item() == pytest.approx(expected.item(), abs=1e-6)


def test_box_density_loss_is_smallest_for_the_wanted_density() -> None:
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randn(200_000, generator=generator, dtype=torch.float64) * 0.5
    drawn = -0.5 * (offsets / 0.5) ** 2 - math.log(0.5 * math.sqrt(2 * math.pi))
    wanted = -0.5 * (offsets / 0.2) ** 2 - math.log(0.2 * math.sqrt(2 * math.pi))
    right = box_density_loss(wanted, drawn, wanted).item()
    # Cross-entropy of a Gaussian with itself, not changed by a constant in the predictions.
    entropy = 0.5 * math.log(2 * math.pi * math.e * 0.2**2)
    assert right == pytest.approx(entropy, abs=0.02)
    assert box_density_loss(wanted + 7, drawn, wanted).item() == pytest.approx(right, abs=0.1)
    for other in (0.1, 0.3):
        assert box_density_loss(-0.5 * (offsets / other) ** 2, drawn, wanted).item() > right + 0.1


def test_labels_differ_in_rows_and_columns() -> None:
    box = torch.tensor([100.0, 20.0, 20.0, 20.0])
    row, column = np.unravel_index(make_labels(box, 19, 0.9, 16).argmax().item(), (19, 19))
    assert (row, column) == (2, 7)
