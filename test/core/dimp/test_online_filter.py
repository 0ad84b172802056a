"""The filter of one target on small random features: when it learns, and from what."""

import pytest
import torch
from torch import nn

from tracker_core.classifier import Classifier
from tracker_core.dimp.online_filter import OnlineFilter
from tracker_core.dimp.settings import PRDIMP18, DiMPSettings
from tracker_core.settings import override
from tracker_core.target_filter import DensityDescent, SteepestDescent

BOXES = torch.tensor([[30.0, 30, 40, 40], [20, 34, 40, 40], [44, 20, 40, 40]])


@pytest.fixture(scope='module')
def features():
    return torch.randn(10, 8, 6, 6, generator=torch.Generator().manual_seed(2)) * 0.1


def start(features, base=None, kind=SteepestDescent, **changes):
    torch.manual_seed(1)
    classifier = Classifier(nn.Sequential(), 8, kind()).requires_grad_(False)
    classifier.filter_initializer.to(features.dtype)
    settings = override(base or DiMPSettings(), {'update_interval': 4, **changes})
    return OnlineFilter(classifier, settings, features[:3], BOXES)


def learn(online, features, frames, hard_negative=False):
    """Learn from frames 1 ... n; returns the frames after which the filter is another."""
    changed = []
    for frame in range(1, frames + 1):
        before = online.filters
        online.learn(features[2 + frame][None], BOXES[0], frame, hard_negative=hard_negative)
        if not torch.equal(online.filters, before):
            changed.append(frame)
    return changed


def objective(online):
    memory = online.memory
    fit = online.classifier.filter_optimizer(
        online.filters,
        memory.features[:, None],
        memory.boxes_ltwh[:, None],
        0,
        memory.weights[:, None],
        with_losses=True,
    )
    return fit.losses[0].item()


def test_first_filter_is_that_of_the_classifier(features):
    online = start(features)
    expected = online.classifier.fit(features[:3, None], BOXES[:, None], 10).filters
    assert torch.equal(online.filters, expected)
    assert len(online.memory) == 3


def test_scores_are_the_correlation(features):
    online = start(features)
    scores = online.score(features[:1])
    assert scores.shape == (7, 7)
    middle = (features[0, :, 1:5, 1:5] * online.filters[0]).sum()
    assert scores[3, 3].item() == pytest.approx(middle.item(), abs=1e-5)


def test_scores_as_a_density(features):
    plain = start(features, PRDIMP18, DensityDescent, score_softmax=False).score(features[:1])
    density = start(features, PRDIMP18, DensityDescent).score(features[:1])
    torch.testing.assert_close(density, plain.exp() / plain.exp().sum())


def test_every_frame_is_stored_and_learned_from_at_intervals(features):
    online = start(features)
    assert learn(online, features, 7) == [4]
    assert len(online.memory) == 10


def test_hard_negatives_are_learned_from_at_once_and_weigh_more(features):
    online, usual = start(features), start(features)
    assert learn(online, features, 3, hard_negative=True) == [1, 2, 3]
    learn(usual, features, 3)
    assert online.memory.weights[3:].sum() > 1.9 * usual.memory.weights[3:].sum()


def test_learning_lowers_the_objective(features):
    online, idle = start(features, update_interval=6), start(features, update_interval=100)
    assert learn(online, features, 6) == [6] and learn(idle, features, 6) == []
    assert objective(online) < objective(idle)


def test_without_optimizer_the_filter_is_the_initial_one(features):
    online = start(features, first_iterations=0)
    initial = online.classifier.filter_initializer(features[:3, None], BOXES[:, None])
    assert torch.equal(online.filters, initial)


def test_gradient_descent_takes_fixed_steps_along_the_gradient(features):
    """One iteration: the change is the step times the gradient of the objective over two."""
    settings = {'optimizer': 'gradient_descent', 'gradient_step': 0.25, 'first_iterations': 1}
    initial = start(features, first_iterations=0).filters
    online = start(features, **settings)
    filters = initial.clone().requires_grad_()
    fit = online.classifier.filter_optimizer(
        filters, features[:3, None], BOXES[:, None], 0, with_losses=True
    )
    (gradient,) = torch.autograd.grad(fit.losses[0], filters)
    torch.testing.assert_close(online.filters, initial - 0.25 * gradient / 2)


def test_without_update_nothing_is_learned(features):
    online = start(features, update='none')
    assert learn(online, features, 5, hard_negative=True) == []
    assert len(online.memory) == 3


def test_averaging_blends_in_the_filter_of_each_frame(features):
    online = start(features, update='average')
    before = online.filters
    assert learn(online, features, 1) == [1]
    new = online.classifier.fit(features[3:4, None], BOXES[:1, None], 10).filters
    torch.testing.assert_close(online.filters, 0.99 * before + 0.01 * new)
    assert len(online.memory) == 3


def test_features_of_lower_precision_leave_the_filter_in_float32(features):
    online, exact = start(features.bfloat16()), start(features)
    assert online.filters.dtype == torch.float32
    assert online.memory.features.dtype == torch.bfloat16
    learn(online, features.bfloat16(), 4)
    learn(exact, features, 4)
    torch.testing.assert_close(online.filters, exact.filters, rtol=0.1, atol=0.05)
    scores = online.score(features[:1].bfloat16())
    torch.testing.assert_close(scores, exact.score(features[:1]), rtol=0.1, atol=0.05)
