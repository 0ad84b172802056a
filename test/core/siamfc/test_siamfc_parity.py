"""The same numbers as the published implementation, from the same weights."""

import json

import numpy as np
import pytest
import torch

from tracker_core import Box
from tracker_core.search_region import crop_square
from tracker_core.siamfc.network import SiamFC, cross_correlate
from tracker_core.siamfc.tracker import SiamFCSettings, SiamFCTracker
from tracker_core.weights import load_tensors

pytestmark = pytest.mark.data


@pytest.fixture(scope='module')
def data(parity):
    return np.load(parity / 'siamfc.npz')


@pytest.fixture(scope='module')
def state(parity, rule, data):
    keys = rule.read_keys(parity / 'keys_siamfc.txt')
    state = rule.make_state_dict(keys, str(data['salt']), rule.GAINS['siamfc'])
    assert np.allclose(rule.state_dict_sums(state), data['weights_sums'], rtol=0, atol=1e-4)
    return {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}


@pytest.fixture
def network(state):
    network = SiamFC().eval()
    load_tensors(network, state, 'the rule')
    return network


@pytest.fixture(scope='module')
def sequence(rule, data):
    frames, boxes = rule.make_sequence(**json.loads(str(data['sequence_args'])))
    return frames, boxes


def _features(network, crop):
    with torch.inference_mode():
        return network.features(torch.from_numpy(crop).permute(2, 0, 1)[None].float())


def test_crops(data, sequence):
    frames, _ = sequence
    x, y, width, height = data['boxes_1based'][0]
    center = (x - 1 + (width - 1) / 2, y - 1 + (height - 1) / 2)
    exemplar = crop_square(frames[0], center, float(data['z_sz']), 127, data['avg_color'])
    assert _grey_levels(exemplar, data['z_crop']) <= 1
    center_yx = data['edge_center_yx']
    edge = crop_square(
        frames[0], tuple(center_yx[::-1]), float(data['edge_size']), 255, data['avg_color']
    )
    assert _grey_levels(edge, data['edge_crop']) <= 1


def test_network_on_the_stored_crops(network, data, rule):
    exemplar = _features(network, data['z_crop'])
    np.testing.assert_allclose(exemplar.numpy(), data['kernel'], rtol=0, atol=1e-3)
    search = _features(network, data['x_crop_central'])
    summary = rule.summary(search.numpy())
    np.testing.assert_allclose(summary['ch'][0], data['x_feat__ch'][1], rtol=0, atol=1e-3)
    np.testing.assert_allclose(summary['rms'][0], data['x_feat__rms'][1], rtol=0, atol=1e-3)
    response = cross_correlate(exemplar, search)
    np.testing.assert_allclose(response[0], data['response'][1], rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ('prefix', 'changes'), [('', {}), ('no_penalty/', {'scale_penalty': 1.0})]
)
def test_boxes_over_the_whole_trace(network, data, sequence, prefix, changes):
    frames, _ = sequence
    tracker = SiamFCTracker(
        network, SiamFCSettings(precision='float32', recovery_regions=0, **changes)
    )
    tracker.initialize(frames[0], _from_one_based(data['boxes_1based'][0]))
    boxes = [tracker.track(frame).box for frame in frames[1:]]
    expected = [_from_one_based(row) for row in data[prefix + 'pred_boxes_1based']]
    difference = np.subtract([b.as_ltwh() for b in boxes], [b.as_ltwh() for b in expected])
    assert np.abs(difference).max() <= 1e-3


def test_scale_does_change_without_penalty(data):
    """The second trace is worth comparing: its size is not that of the first frame."""
    sizes = data['no_penalty/pred_boxes_1based'][:, 2:]
    assert np.ptp(sizes, axis=0).min() > 1


def _from_one_based(row) -> Box:
    return Box(row[0] - 1, row[1] - 1, row[2], row[3])


def _grey_levels(a, b) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())
