"""The whole online procedure against traces of the published code."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tracker_core import Box
from tracker_core.dcfst.network import dcfst18, dcfst50
from tracker_core.dcfst.settings import DCFST18, DCFST50
from tracker_core.dcfst.tracker import DCFSTTracker
from tracker_core.weights import load_tensors

pytestmark = pytest.mark.data
#: In frame 11 of the first trace a score lies so close to the threshold of a hard negative that
#: the reference itself decides either way; its boxes differ from there on. The second trace ends
#: earlier to be quick, after both kinds of refits.
REPEATABLE = {'dcfst18': 10, 'dcfst50': 13}
BUILDERS = {'dcfst18': (dcfst18, DCFST18), 'dcfst50': (dcfst50, DCFST50)}


class Recorded:
    """The draws of the trace, in its order; no first patch is shifted."""

    def __init__(self, draws):
        self.rows = [row for row in draws if np.isfinite(row).all()]

    def random(self, size):
        return np.full(size, 0.5) if size == (2,) else self.rows.pop(0)


@pytest.fixture(scope='module', params=BUILDERS)
def trace(request, parity):
    return request.param, np.load(parity / f'tracker_{request.param}_int.npz')


@pytest.fixture(scope='module')
def frames(trace, rule):
    return rule.make_sequence(**json.loads(str(trace[1]['sequence_args'])))[0]


@pytest.fixture(scope='module')
def tracker(trace, frames, reference_state):
    """A tracker that has seen the first frame."""
    name, data = trace
    build, settings = BUILDERS[name]
    network = build()
    load_tensors(network, reference_state(name), 'the rule')
    tracker = DCFSTTracker(
        network,
        replace(settings, precision='float32', search='exact', learn='each', recovery_regions=0),
        make_draws=lambda seed: Recorded(data['step/rand']),
    )
    tracker.initialize(frames[0], Box(*data['gt'][0]))
    return tracker


def test_first_frame(trace, tracker):
    data, target = trace[1], tracker._target
    region = tracker._region(target.place)
    assert region.scale == pytest.approx(float(data['init/sample_scale']), rel=1e-6)
    size = region.target_size[::-1]
    np.testing.assert_allclose(size, data['init/target_sample_sz'], rtol=1e-5)
    np.testing.assert_allclose(tracker._labels, data['init/labels'], rtol=0, atol=1e-6)
    np.testing.assert_allclose(tracker._window, data['init/window'], rtol=0, atol=1e-6)
    away = tracker._distances(480) > 57.6 * tracker.settings.hard_negative_distance
    np.testing.assert_array_equal(away, data['init/hn_mask'])
    # The reference solves in float32, which is off by more than that (see the fixture's notes).
    np.testing.assert_allclose(target.model.weights, data['init/model'], rtol=0, atol=2e-3)


def test_every_frame_of_the_trace(trace, tracker, frames):
    name, data = trace
    for index in range(REPEATABLE[name]):
        before = tracker._target.model.weights
        estimate = tracker.track(frames[index + 1])
        scale, model = tracker._region(tracker._target.place).scale, tracker._target.model
        found = estimate.box.as_ltwh()
        np.testing.assert_allclose(found, data['step/bbox'][index], rtol=0, atol=1e-2)
        assert scale == pytest.approx(float(data['step/sample_scale'][index]), rel=1e-4)
        assert (model.weights is not before) == bool(data['step/sweeps'][index])
        assert model.first_weight == pytest.approx(float(data['step/init_weight'][index]))
        norm = float(model.weights.norm())
        assert norm == pytest.approx(float(data['step/model_norm'][index]), rel=2e-3)


def test_frames_from_their_stored_state(trace, tracker, frames):
    """Also those after the frame in which the reference is not repeatable."""
    data, target = trace[1], tracker._target
    tested = [int(number) for number in data['frames_with_model'] if number < len(frames) - 1]
    for row, number in enumerate(tested):
        left, top, width, height = data['step/bbox'][number - 1].tolist()
        corner = 0.5 if trace[0] == 'dcfst18' else 0.0
        x, y = left + width / 2 - corner, top + height / 2 - corner
        target.place = replace(target.place, x=x, y=y, width=width, height=height)
        target.model.weights = torch.from_numpy(data['step/model'][row])
        target.draws = Recorded(data['step/rand'][number : number + 1])
        estimate = tracker.track(frames[number + 1])
        expected = data['step/bbox'][number]
        np.testing.assert_allclose(estimate.box.as_ltwh(), expected, rtol=0, atol=1e-3)
    assert len(tested) == 3


def test_the_trace_shows_what_it_should(trace):
    data = trace[1]
    assert (data['step/sweeps'] > 0).sum() == 8
    assert np.ptp(data['step/sz'], axis=0).min() > 3
