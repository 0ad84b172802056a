"""The whole loop of the published tracker, with its random draws fed back."""

import copy
import json

import numpy as np
import pytest
import torch

from tracker_core import Box
from tracker_core.fcot.settings import OTB
from tracker_core.fcot.tracker import FCOTTracker
from tracker_core.settings import override

#: What differs from the published settings for OTB, as noted in the trace.
CHANGES = {
    'rotations': (10.0, -45.0),
    'blurs': ((3.0, 1.0),),
    'relative_shifts': ((0.6, 0.6), (-0.6, -0.6)),
    'update_interval': 4,
    'every_frame_until': 3,
    'first_iterations': 25,
    'hard_negative_threshold': 0.9,
    'norm_scale_coef': 1.5,
    'precision': 'float32',
    'prefer_near': False,
    'recovery_regions': 0,
}


class RecordedDraws:
    """The draws of a trace in the order in which they were made."""

    def __init__(self, data):
        self.values = [np.asarray(pair, np.float64) for pair in data['init/rand']]

    def random(self, size):
        value = self.values.pop(0)
        assert value.shape == size
        return value


@pytest.fixture(scope='module')
def trace(published, parity, rule):
    """The stored trace, and a tracker that has seen its first frame."""
    data = np.load(parity / 'tracker_fcot_int.npz')
    draws = RecordedDraws(data)
    tracker = FCOTTracker(published(data), override(OTB, CHANGES), make_draws=lambda _: draws)
    frames, boxes = rule.make_sequence(**json.loads(str(data['sequence_args'])))
    tracker.initialize(frames[0], Box(*boxes[0]))
    assert not draws.values
    return data, tracker, frames


def test_settings_are_those_of_the_trace(trace):
    """The stored file of parameters, by our names; what is not mapped is the same in all."""
    data, tracker, _ = trace
    stored, settings = json.loads(str(data['params'])), tracker.settings
    names = {
        'image_sample_size': 'image_size',
        'search_area_scale': 'search_factor',
        'sample_memory_size': 'memory_size',
        'learning_rate': 'learning_rate',
        'init_samples_minimum_weight': 'first_frame_minimum',
        'train_skipping': 'update_interval',
        'init_train_frames': 'every_frame_until',
        'init_train_iter': 'early_iterations',
        'init_train_iter_72': 'early_iterations',
        'net_opt_iter': 'first_iterations',
        'net_opt_iter_72': 'first_iterations',
        'net_opt_update_iter': 'update_iterations',
        'net_opt_update_iter_72': 'update_iterations',
        'net_opt_hn_iter': 'hard_negative_iterations',
        'net_opt_hn_iter_72': 'hard_negative_iterations',
        'reg_init_train_iter': 'early_side_iterations',
        'reg_net_opt_iter': 'first_side_iterations',
        'reg_net_opt_hn_iter': 'hard_negative_side_iterations',
        'reg_net_opt_update_iter': 'update_side_iterations',
        'lamda_72': 'fine_latest',
        'lamda_18': 'coarse_latest',
        'reg_lamda': 'side_latest',
        'merge_rate_72': 'fine_weight',
        'merge_rate_18': 'coarse_weight',
        'augmentation_expansion_factor': 'expansion',
        'random_shift_factor': 'random_shift',
        'target_not_found_threshold': 'not_found',
        'distractor_threshold': 'distractor_threshold',
        'hard_negative_threshold': 'hard_negative_threshold',
        'target_neighborhood_scale': 'neighborhood',
        'dispalcement_scale': 'displacement',
        'window_output': 'window',
        'hard_negative_learning_rate': 'hard_negative_learning_rate',
    }
    for key, name in names.items():
        assert getattr(settings, name) == stored[key], key


def test_first_frame(trace):
    data, tracker, _ = trace
    target = tracker._target
    np.testing.assert_allclose(tracker._window, data['init/window'][0], rtol=0, atol=1e-6)
    assert target.scale == pytest.approx(float(data['init/target_scale']), abs=1e-6)
    boxes = target.models.fine.memory.boxes_ltwh
    np.testing.assert_allclose(boxes, data['init/target_boxes'], rtol=0, atol=1e-4)
    sides = target.models.sides
    np.testing.assert_allclose(sides.first, data['init/init_reg_filter'], rtol=0, atol=2e-6)
    np.testing.assert_allclose(sides.filters, data['init/reg_filter'], rtol=0, atol=2e-6)
    # 25 steps with random weights overshoot and amplify every rounding: a change of the features
    # by 1e-7 of their size changes the finer filter by more than 1 %.
    for model, key in ((target.models.coarse, 'filter18'), (target.models.fine, 'filter72')):
        stored = torch.from_numpy(data[f'init/{key}'])
        assert (model.filters - stored).norm() < 0.1 * stored.norm()


def start_from_the_stored_filters(models, data):
    for model, key in ((models.coarse, 'filter18'), (models.fine, 'filter72')):
        model.filters = model.first = torch.from_numpy(data[f'init/{key}'])


@torch.inference_mode()
def test_scores_of_the_stored_models(trace):
    data, tracker, frames = trace
    target = copy.copy(tracker._target)
    models = target.models = copy.deepcopy(target.models)
    start_from_the_stored_filters(models, data)
    features, _ = tracker._embed(tracker._cut(target, frames[1]).pixels[None])
    scores = models.score(features, 72)
    np.testing.assert_allclose(scores, data['step/scores'][0, 0, 0], rtol=0, atol=2e-5)


def test_tracked_frames(trace):
    """All frames in a row: early updates, the best of an interval, hard negatives.

    From the filters that the reference learned on the first frame: where rounding changes them
    more than anything else does, decisions would depend on the processor.
    """
    data, tracker, frames = trace
    start_from_the_stored_filters(tracker._target.models, data)
    assert len(data['step/flag']) == len(frames) - 1
    for index, frame in enumerate(frames[1:]):
        box, target = tracker.track(frame).box, tracker._target
        assert tracker.flag.value == data['step/flag'][index]
        assert len(target.models.fine.memory) == data['step/num_stored'][index]
        stored = {key: data[f'step/{key}'][index] for key in ('bbox', 'prev_pos', 'target_scale')}
        np.testing.assert_allclose(box.as_ltwh(), stored['bbox'], rtol=0, atol=1e-2)
        np.testing.assert_allclose(target.peak[::-1], stored['prev_pos'], rtol=0, atol=1e-3)
        assert target.scale == pytest.approx(float(stored['target_scale']), abs=1e-4)
        norm = target.models.sides.filters.norm()
        assert norm == pytest.approx(data['step/freg'][index], abs=1e-5)
