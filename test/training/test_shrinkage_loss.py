import math

import pytest
import torch

from training.shrinkage_loss import shrinkage_loss


def loss(prediction, label, **options):
    return float(shrinkage_loss(torch.tensor([prediction]), torch.tensor([label]), **options))


@pytest.mark.parametrize(
    ('prediction', 'label'), [(0.1, 0.0), (0.3, 0.9), (1.2, 1.0), (-0.4, 0.5)]
)
def test_value_is_that_of_the_formula(prediction, label):
    error = abs(prediction - label)
    expected = math.exp(label) * error**2 / (1 + math.exp(10 * (0.2 - error)))
    assert loss(prediction, label) == pytest.approx(expected, rel=1e-5)


def test_mean_over_all_samples():
    both = shrinkage_loss(torch.tensor([[0.1], [0.3]]), torch.tensor([[0.0], [0.9]]))
    assert float(both) == pytest.approx((loss(0.1, 0.0) + loss(0.3, 0.9)) / 2, rel=1e-5)


def test_easy_samples_shrink_and_hard_ones_do_not():
    """The sign of the exponent: the weight of an error rises with its size."""
    weights = [loss(error, 0.0) / error**2 for error in (0.01, 0.1, 0.2, 0.3, 0.5, 1.0)]
    assert weights == sorted(weights)
    assert weights[0] < 0.14 and weights[2] == pytest.approx(0.5) and weights[-1] > 0.99
    assert loss(0.3, 0.0, signed=True) == pytest.approx(loss(0.3, 0.0))


def test_only_the_signed_form_takes_predictions_below_the_label_for_easy():
    above, below = loss(0.9, 0.4), loss(-0.1, 0.4)
    assert above == pytest.approx(below, rel=1e-5)
    assert loss(-0.1, 0.4, signed=True) < 0.002 * loss(0.9, 0.4, signed=True)


def test_high_labels_weigh_more():
    assert loss(0.5, 1.0) / loss(0.5, 0.0) == pytest.approx(math.e, rel=1e-5)


def test_predictions_are_limited_and_pull_no_more_there():
    assert loss(7.0, 1.0) == loss(1.5, 1.0) and loss(-7.0, 0.0) == loss(-0.5, 0.0)
    predictions = torch.tensor([7.0, 0.5], requires_grad=True)
    shrinkage_loss(predictions, torch.zeros(2)).backward()
    assert predictions.grad[0] == 0 and predictions.grad[1] > 0


@pytest.mark.parametrize('signed', [False, True])
def test_gradient(signed):
    predictions = torch.tensor([0.1, 0.35, 0.8, -0.2], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0.0, 0.1, 0.2, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda p: shrinkage_loss(p, labels, signed=signed), (predictions,)
    )


def test_shapes_must_agree():
    with pytest.raises(ValueError, match='same shape'):
        shrinkage_loss(torch.zeros(3, 1), torch.zeros(3))
