import pytest
import torch

from tracker_core.dcfst.model import OnlineModel, PendingFrames
from tracker_core.dcfst.ridge_regression import gauss_seidel, normal_matrix, solve

LABELS = torch.rand(20, 1, generator=torch.Generator().manual_seed(0))


def samples(seed):
    return torch.randn(20, 6, generator=torch.Generator().manual_seed(seed))


def build(average, *seeds, minimum=0.25):
    return OnlineModel(
        [samples(seed) for seed in seeds],
        LABELS,
        average=average,
        regularization=0.1,
        minimum=minimum,
    )


def by_products(weighted):
    """Solve for weighted sums of X'X and X'y."""
    matrix = sum(share * x.mT @ x for share, x in weighted) + 0.1 * torch.eye(6)
    target = sum(share * x.mT @ LABELS for share, x in weighted)
    return matrix, target


def test_the_first_model_fits_the_mean_of_the_features():
    mean = (samples(1) + samples(2) + samples(3)) / 3
    model = build('features', 1, 2, 3)
    torch.testing.assert_close(model.weights, solve(mean, LABELS, 0.1), rtol=1e-3, atol=1e-5)


def test_the_first_model_fits_the_mean_of_the_products():
    matrix, target = by_products([(1 / 3, samples(seed)) for seed in (1, 2, 3)])
    expected = torch.linalg.solve(matrix, target)
    torch.testing.assert_close(build('products', 1, 2, 3).weights, expected, rtol=1e-3, atol=1e-5)


def test_new_features_are_mixed_in_but_the_weights_wait_for_a_refit():
    model = build('features', 1)
    before = model.weights
    model.add(samples(2), 0.1)
    assert model.weights is before and model.first_weight == pytest.approx(0.9)
    model.refit(3)
    mixed = 0.9 * samples(1) + 0.1 * samples(2)
    expected = gauss_seidel(normal_matrix(mixed, 0.1), mixed.mT @ LABELS, before, 3)
    torch.testing.assert_close(model.weights, expected)


def test_new_products_are_mixed_in():
    model = build('products', 1)
    before = model.weights
    model.add(samples(2), 0.1)
    model.refit(3)
    expected = gauss_seidel(*by_products([(0.9, samples(1)), (0.1, samples(2))]), before, 3)
    torch.testing.assert_close(model.weights, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('average', ['features', 'products'])
def test_the_first_frame_keeps_its_share(average):
    model = build(average, 1, minimum=0.6)
    model.add(samples(2), 0.3)
    assert model.first_weight == pytest.approx(0.7)
    model.add(samples(3), 0.5)
    assert model.first_weight == 0.6
    # .7 .3 -> .35 .15 .5, then the others shrink together until the first has .6.
    others = 0.4 / 0.65
    shares = [(0.6, samples(1)), (0.15 * others, samples(2)), (0.5 * others, samples(3))]
    before = model.weights
    model.refit(2)
    if average == 'products':
        expected = gauss_seidel(*by_products(shares), before, 2)
    else:
        mixed = sum(share * x for share, x in shares)
        expected = gauss_seidel(normal_matrix(mixed, 0.1), mixed.mT @ LABELS, before, 2)
    torch.testing.assert_close(model.weights, expected, rtol=1e-4, atol=1e-6)


def test_frames_that_wait_weigh_as_if_they_had_been_added_one_by_one():
    together, one_by_one = build('features', 1, minimum=0), build('features', 1, minimum=0)
    pending = PendingFrames()
    for seed, rate in ((2, 0.1), (3, 0.1), (4, 0.4)):
        one_by_one.add(samples(seed), rate)
        pending.add((samples(seed),), rate)
    assert pending.rate == pytest.approx(1 - 0.9 * 0.9 * 0.6)
    together.add(*pending.parts, pending.rate)
    assert together.first_weight == pytest.approx(one_by_one.first_weight)
    for model in (together, one_by_one):
        model.refit(2)
    torch.testing.assert_close(together.weights, one_by_one.weights)


def test_frames_that_do_not_count_are_nothing_to_wait_for():
    pending = PendingFrames()
    pending.add((torch.ones(2),), 0.0)
    assert pending.rate == 0
