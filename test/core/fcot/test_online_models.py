"""When the three models learn, from what, and how the first models are blended in."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tracker_core.classifier import Classifier
from tracker_core.fcot.network import Pyramid, Regressor, SideMaps
from tracker_core.fcot.online_models import Features, OnlineModels
from tracker_core.fcot.settings import FCOTSettings
from tracker_core.fcot.side_regression import SideDescent, predict_sides
from tracker_core.settings import override
from tracker_core.target_filter import SteepestDescent, correlate

SETTINGS = FCOTSettings(memory_size=12, every_frame_until=2, update_interval=4)
CHANNELS, FINE, COARSE = 4, 16, 4
BOX = torch.tensor([20.0, 24.0, 24.0, 20.0])


def _features(seed, count=1):
    draw = torch.Generator().manual_seed(seed)
    coarse, fine = (
        torch.rand(count, CHANNELS, size, size, generator=draw) for size in (COARSE, FINE)
    )
    inner = torch.randn(count, 128, FINE, FINE, generator=draw)
    return Features(coarse, fine, SideMaps(None, inner))


def _regressor(*, as_released=False):
    """Regressor on the finest map alone whose filters have 256 channels."""
    regressor = Regressor(SideDescent(as_released=as_released)).requires_grad_(False)
    regressor.initialize = lambda pyramid, boxes: 0.01 * torch.rand(1, 4, 256, 3, 3)
    return regressor


def _models(**changes):
    torch.manual_seed(0)
    network = SimpleNamespace(
        classifier_18=Classifier(nn.Sequential(), CHANNELS, SteepestDescent(16)),
        classifier_72=Classifier(nn.Sequential(), CHANNELS, SteepestDescent(4)),
        regressor_72=_regressor(as_released=changes.pop('as_released', False)),
    )
    features = _features(100, 3)
    if changes.pop('leave_out_fine', False):
        features = Features(features.coarse, None, features.sides)
    pyramid = Pyramid(*(torch.zeros(1, CHANNELS, 4, 4) for _ in range(3)))
    settings = override(SETTINGS, changes)
    with torch.inference_mode():
        return OnlineModels(network, settings, features, pyramid, BOX.expand(3, 4))


@torch.inference_mode()
def _learn(models, frame, score=0.5, *, hard_negative=False):
    """Learn from a frame whose features are told apart by its number."""
    models.learn(_features(frame), BOX, score, frame, hard_negative=hard_negative)


@torch.inference_mode()
def _stored(models):
    """Numbers of the frames in the memory of the regression, after the first frame's three."""
    known = {
        frame: models.sides._samples(_features(frame).sides, BOX[None])[0][0]
        for frame in range(1, 20)
    }
    return [
        next(frame for frame, features in known.items() if torch.equal(features, sample))
        for sample in models.sides.memory.features[3:]
    ]


def test_every_early_frame_then_the_best_of_an_interval():
    models = _models()
    scores = {1: 0.1, 2: 0.2, 3: 0.6, 4: 0.4, 5: 0.3, 6: 0.7, 7: 0.7, 8: 0.2, 9: 0.9}
    learned = {}
    for frame, score in scores.items():
        before = models.fine.filters
        _learn(models, frame, score)
        learned[frame] = not torch.equal(before, models.fine.filters)
    # Of the frames 5 to 8 two are best; the later one counts.
    assert _stored(models) == [1, 2, 3, 7]
    assert [frame for frame, changed in learned.items() if changed] == [1, 2, 4, 8]
    assert len(models.coarse.memory) == len(models.fine.memory) == 7


def test_a_hard_negative_is_learned_from_at_once_and_weighs_more():
    models = _models()
    before = models.coarse.filters, models.fine.filters, models.sides.filters
    _learn(models, 5, hard_negative=True)
    assert _stored(models) == [5]
    after = models.coarse.filters, models.fine.filters, models.sides.filters
    changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [True, True, False]  # published: no step of the regression
    rate = SETTINGS.hard_negative_learning_rate
    # As published, what is there is scaled up before the sum is made one again.
    assert models.fine.memory.weights[-1] == pytest.approx(rate / (1 / (1 - rate) + rate))


def test_number_of_steps():
    counts = []
    models = _models(early_iterations=3, early_side_iterations=2)
    for model in (models.coarse, models.fine, models.sides):
        model.improve = lambda steps, model=model: counts.append((type(model).__name__, steps))
    _learn(models, 1)
    assert counts == [('_OnlineClassifier', 3), ('_OnlineClassifier', 3), ('_OnlineRegressor', 2)]


@torch.inference_mode()
def test_scores_are_blended_and_summed():
    models = _models(coarse_latest=0.3, fine_latest=0.6, coarse_weight=0.5, fine_weight=2.0)
    _learn(models, 1)
    features = _features(50)
    expected = torch.zeros(FINE, FINE)
    for model, part, share, weight in (
        (models.coarse, features.coarse, 0.3, 0.5),
        (models.fine, features.fine, 0.6, 2.0),
    ):
        assert not torch.equal(model.first, model.filters)
        latest, first = (correlate(part[:, None], f) for f in (model.filters, model.first))
        scores = share * latest + (1 - share) * first
        expected += weight * nn.functional.interpolate(scores, (FINE, FINE))[0, 0]
    torch.testing.assert_close(models.score(features, FINE), expected)


@pytest.mark.parametrize('cell', [(0, 0), (5, 9), (15, 15), (0, 15)])
@torch.inference_mode()
def test_sides_in_one_cell_equal_the_whole_map(cell):
    models = _models(side_latest=0.4)
    _learn(models, 1)
    assert not torch.equal(models.sides.first, models.sides.filters)
    features = _features(50)
    whole = models.sides.regressor.features(features.sides)[:, None]
    latest, first = (
        predict_sides(whole, f)[0, 0, :, cell[0], cell[1]]
        for f in (models.sides.filters, models.sides.first)
    )
    found = torch.tensor(models.predict_sides(features, cell))
    torch.testing.assert_close(found, 0.4 * latest + 0.6 * first)


@torch.inference_mode()
def test_whole_maps_are_kept_only_where_the_released_steps_need_them():
    """These look at the response in the whole map; the paper's at the centre of the target."""
    small, large = _models(), _models(as_released=True)
    assert small.sides.memory.features.shape[1:] == (256, 3, 3)
    assert large.sides.memory.features.shape[1:] == (256, FINE, FINE)
    assert torch.equal(large.sides.memory.boxes_ltwh, BOX.expand(3, 4))


def test_without_online_regression_the_first_filter_stays():
    models = _models(online_regression=False)
    first = models.sides.first
    for frame in range(1, 5):
        _learn(models, frame)
    assert torch.equal(models.sides.filters, first)
    assert models.sides.memory is None
    assert not torch.equal(_models().sides.filters, first)


@torch.inference_mode()
def test_a_classifier_can_be_left_out():
    """The other one then counts fully: thresholds are meant for scores of about one."""
    models = _models(leave_out_fine=True, coarse_weight=0.9, fine_weight=0.0)
    features = Features(_features(50).coarse, None, _features(50).sides)
    models.learn(features, BOX, 0.5, 1, hard_negative=False)
    assert models.fine is None and len(models.coarse.memory) == 4
    scores = models.coarse.score(features.coarse)
    expected = nn.functional.interpolate(scores, (FINE, FINE))[0, 0]
    torch.testing.assert_close(models.score(features, FINE), expected)
