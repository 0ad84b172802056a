"""Functions recorded once and replayed: on a GPU, and on a CPU with a stand-in for the graph."""

import copy
import logging
import pickle
import subprocess
import sys

import pytest
import torch

from tracker_core import Box, box_refinement
from tracker_core.box_refinement import refine_boxes
from tracker_core.dcfst.network import dcfst18
from tracker_core.dcfst.settings import DCFSTSettings
from tracker_core.dcfst.tracker import DCFSTTracker
from tracker_core.dimp.network import dimp18
from tracker_core.dimp.settings import DiMPSettings
from tracker_core.dimp.tracker import DiMPTracker
from tracker_core.iou_net import IoUNet
from tracker_core.overlap_predictor import OverlapPredictor
from tracker_core.replay import Replay
from tracker_core.settings import override

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
HOW = {'steps': 3, 'step_length': 1.0}


class Recorder:
    """Does the same work in the same memory, as a graph would."""

    def __init__(self):
        self.shapes = []
        self.runs = 0

    def __call__(self, function, buffers):
        self.shapes.append([tuple(each.shape) for each in buffers])
        # What is recorded computes nothing yet.
        results = tuple(torch.full_like(each, torch.nan) for each in function(*buffers))

        def run():
            self.runs += 1
            for result, each in zip(results, function(*buffers), strict=True):
                result.copy_(each)

        return run, results


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def replay(recorder):
    return Replay(recorder, 'cpu')


def double(values, shift):
    return 2 * values + shift, values - shift


def test_results_are_those_of_the_inputs_of_the_moment(replay, recorder):
    kept = []
    for value in range(4):
        inputs = torch.full((3,), float(value)), torch.tensor(value / 2)
        kept.append((inputs, replay(double, inputs, 'double')))
    assert (len(recorder.shapes), recorder.runs) == (1, 4)
    for value, ((values, shift), found) in enumerate(kept):
        assert (values == value).all() and shift == value / 2
        torch.testing.assert_close(found, double(values, shift))


@pytest.mark.parametrize('first', [True, False])
def test_recorded_in_inference_mode_and_replayed_outside_and_reversed(replay, first):
    for mode in (first, not first):
        with torch.inference_mode(mode):
            inputs = torch.ones(3), torch.tensor(float(mode))
            torch.testing.assert_close(replay(double, inputs, 'double'), double(*inputs))


def test_other_shapes_types_and_names_are_recorded_anew(replay, recorder):
    inputs = [torch.arange(n, dtype=dtype) for n, dtype in ((3, torch.float), (4, torch.float))]
    inputs.append(inputs[0].double())
    for _ in range(2):
        for values in inputs:
            for name, factor in (('plain', 1), ('triple', 3)):
                (found,) = replay(lambda x, factor=factor: (factor * x,), [values], name)
                assert found.dtype == values.dtype
                torch.testing.assert_close(found, factor * values)
    assert len(recorder.shapes) == 6


def test_nothing_is_recorded_on_other_devices(recorder):
    replay = Replay(recorder)
    for device in ('cpu', 'meta'):
        inputs = torch.ones(3, device=device), torch.ones(1, device=device)
        assert replay(double, inputs, 'double')[0].device.type == device
    assert recorder.shapes == []


def test_what_cannot_be_recorded_is_called_and_one_line_says_why(caplog):
    tries = []

    def fail(function, buffers):
        tries.append(len(buffers[0]))
        raise RuntimeError('operation not permitted')

    replay = Replay(fail, 'cpu')
    with caplog.at_level(logging.WARNING):
        for count in (3, 3, 4):
            inputs = torch.rand(count), torch.rand(1)
            torch.testing.assert_close(replay(double, inputs, 'double'), double(*inputs))
    assert tries == [3, 4]
    (line,) = caplog.messages
    assert 'operation not permitted' in line


def test_copies_of_a_network_begin_without_recordings(recorder):
    network = IoUNet(4, 6)
    network.replay = Replay(lambda *inputs: recorder(*inputs), 'cpu')
    network.replay(double, (torch.ones(3), torch.ones(1)), 'double')
    twin = copy.deepcopy(network)
    for _ in range(2):
        twin.replay(double, (torch.ones(3), torch.ones(1)), 'double')
    assert len(recorder.shapes) == 2
    assert isinstance(pickle.loads(pickle.dumps(IoUNet(4, 6))).replay, Replay)


class Situation:
    """A network, a target and the features of an image, all drawn at random."""

    def __init__(self, device, network=None, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape):
            return torch.randn(shape, generator=generator).to(device)

        self.network = network or _network(device)
        self.layers = draw(1, 4, 36, 36), draw(1, 6, 18, 18)
        target = torch.tensor([[90.0, 100, 40, 50]]).to(device) + 4 * draw(1, 4)
        other = draw(1, 4, 36, 36), draw(1, 6, 18, 18)
        self.predictor = OverlapPredictor(self.network, self.network.modulation(*other, target))
        self.boxes = target[None] + 4 * draw(1, 10, 4)

    def refine(self, count=10, replay=True, predictor=None, **how):
        predictor, boxes = predictor or self.predictor, self.boxes[:, :count]
        how = {**HOW, 'replay': self.network.replay if replay else None, **how}
        return refine_boxes(predictor, self.network.embed(*self.layers), boxes, **how)


def _network(device):
    torch.manual_seed(0)
    return IoUNet(4, 6).eval().requires_grad_(False).to(device)


def check(situation, **how):
    """Compare replayed with eager refinement; returns the boxes of both."""
    found, expected = situation.refine(**how), situation.refine(replay=False, **how)
    moved = (expected[0] - situation.boxes[:, : how.get('count', 10)]).abs().amax()
    assert 0.01 < moved < 50
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    return found[0], expected[0]


def check_in_a_row(network, device):
    """Other images, targets and boxes on one recording; other counts and options on others."""
    situations = [Situation(device, network, seed) for seed in range(4)]
    pairs = [check(each) for each in situations]
    pairs += [check(each, count=7) for each in situations]
    pairs += [check(each) for each in situations]
    first = situations[0]
    how = (
        {'steps': 2},
        {'space': 'relative', 'step_length': 0.1},
        {'decay': 0.5},
        {'step_length': (0.5, 2.0)},
    )
    pairs += [check(first, **each) for each in how]
    vectors = (torch.ones(1, 256, 1, 1).to(device),) * 2
    rounded = OverlapPredictor(network, vectors, gradient_decimals=2)
    pairs.append(check(first, predictor=rounded))
    # Nothing was overwritten by what came later.
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_refinement_replayed_in_a_row(recorder):
    network = _network('cpu')
    network.replay = Replay(recorder, 'cpu')
    check_in_a_row(network, 'cpu')
    # Two counts, then steps, space, decay and predictor; step lengths are inputs.
    assert len(recorder.shapes) == 6
    assert recorder.runs == 17


TRACKERS = {
    'dimp': (DiMPTracker, dimp18, DiMPSettings()),
    'dcfst': (DCFSTTracker, dcfst18, DCFSTSettings()),
}


@pytest.mark.parametrize('name', TRACKERS)
def test_trackers_replay_unless_told_otherwise(name, frames, monkeypatch):
    # As on a GPU.
    monkeypatch.setattr(box_refinement, '_can_be_read', lambda _: False)
    kind, network, settings = TRACKERS[name]
    recorders, boxes = {}, {}
    for replay in (True, False):
        torch.manual_seed(0)
        changes = {'image_size': 96, 'not_found': -1e9, 'precision': 'float32'}
        changes |= {} if replay else {'replay': False}
        tracker = kind(network(), override(settings, changes))
        recorders[replay] = Recorder()
        tracker.network.bb_regressor.replay = Replay(recorders[replay], 'cpu')
        boxes[replay] = []
        for box in (Box(50, 40, 30, 30), Box(80, 60, 20, 40)):
            tracker.initialize(frames[0], box)
            boxes[replay] += [tracker.track(frame).box.as_ltwh() for frame in frames[1:4]]
    assert boxes[True] == pytest.approx(boxes[False], abs=1e-4)
    assert (len(recorders[True].shapes), recorders[True].runs) == (1, 6)
    assert recorders[False].shapes == []


@pytest.fixture
def graphs(monkeypatch, caplog):
    """Recorded graphs; a function that could not be recorded is an error at the end."""
    from tracker_core import replay

    made, original = [], replay.record_graph

    def record(function, buffers):
        made.append(original(function, buffers))
        return made[-1]

    monkeypatch.setattr(replay, 'record_graph', record)
    yield made
    assert caplog.get_records('call') == []


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_replays_in_a_row(graphs):
    check_in_a_row(_network('cuda'), 'cuda')
    assert len(graphs) == 6


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_replays_networks_side_by_side(graphs):
    first, second = (Situation('cuda', seed=seed) for seed in range(2))
    pairs = [check(each) for _ in range(3) for each in (first, second)]
    assert len(graphs) == 2
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


#: In a process of its own: PyTorch's random numbers on the GPU do not survive such an error.
GO_ON = """
import torch
from tracker_core.replay import Replay

replay, stream = Replay(), torch.cuda.current_stream()
for value in (1.0, 2.0):
    values = torch.full((3,), value, device='cuda')
    (found,) = replay(lambda each: (each * each.sum().item(),), [values], 'waits')
    assert found.tolist() == [3 * value**2] * 3
assert torch.cuda.current_stream() == stream
"""


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_goes_on_after_what_cannot_be_recorded():
    done = subprocess.run([sys.executable, '-c', GO_ON], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('nothing can be recorded') == 1
