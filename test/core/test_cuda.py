"""What a GPU computes equals what the CPU does, and it is waited for as rarely as is possible."""

import warnings

import numpy as np
import pytest
import torch

from tracker_core import build_tracker
from tracker_core.box_refinement import refine_boxes_nearby
from tracker_core.dcfst.ridge_regression import (
    gauss_seidel,
    normal_matrix,
    solve_normal_equations,
)
from tracker_core.deform_conv import DeformConv
from tracker_core.iou_net import IoUNet
from tracker_core.overlap_predictor import OverlapPredictor
from tracker_core.roi_pool import PooledBoxes, roi_pool
from tracker_core.synthetic import SceneSettings, render_sequence
from tracker_core.target_filter import DensityDescent, FilterInitializer, SteepestDescent

DEVICE = torch.device('cuda')
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device'),
]
#: The models are learnt often, and a GPU and a CPU take the same way.
OFTEN = {
    'siamfc': {},
    'dimp18': {'update_interval': 5},
    'dcfst18': {'refit_interval': 5, 'search': 'exact', 'learn': 'each'},
    'fcot18': {'update_interval': 5},
}
#: Results that a frame reads from the GPU: the scores, on which the decision depends; but for
#: SiamFC the box, which depends on that; for DCFST whether there is a distractor at the new place.
READ = {'siamfc': 1, 'dimp18': 2, 'dcfst18': 3, 'fcot18': 2}


@pytest.fixture(scope='module')
def scene():
    return list(render_sequence(SceneSettings(frames=12), 1))


@pytest.fixture
def without_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


def start(name, device, scene, precision='float32', **changes):
    settings = {**OFTEN[name], 'precision': precision, **changes}
    tracker = build_tracker(name, device=str(device), settings=settings)
    tracker.initialize(scene[0].image, scene[0].box)
    return tracker


def track(name, device, scene, precision='float32'):
    tracker = start(name, device, scene, precision)
    return [tracker.track(frame.image).box for frame in scene[1:]]


@pytest.fixture(scope='module', params=list(OFTEN))
def name(request):
    return request.param


@pytest.fixture(scope='module')
def expected(name, scene):
    """Boxes of the CPU in float32."""
    return track(name, 'cpu', scene)


@pytest.mark.usefixtures('without_tf32')
def test_a_tracker_finds_the_boxes_of_the_cpu(name, scene, expected):
    """Rounding is the only difference: a hundredth of a pixel, or one where it tips a decision.

    A search region begins at a whole pixel, and SiamFC's peak is one of a grid of half pixels.
    """
    pairs = zip(track(name, DEVICE, scene), expected, strict=True)
    differences = np.abs([np.subtract(box.as_ltwh(), other.as_ltwh()) for box, other in pairs])
    assert np.median(differences) < 0.01
    assert differences.max() < 1


@pytest.mark.parametrize('precision', ['auto', 'float32', 'bfloat16'])
def test_a_tracker_follows_in_every_precision(name, precision, scene, expected):
    """Coarser numbers, those of TF32 among them, cost some pixels but not the target."""
    found = track(name, DEVICE, scene, precision)
    assert min(box.iou(other) for box, other in zip(found, expected, strict=True)) > 0.7


def waits(function):
    """Where in the code a call waits for the GPU."""
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            function()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    marked = [each for each in caught if 'synchronizing CUDA operation' in str(each.message)]
    return [f'{each.filename}:{each.lineno}' for each in marked]


def test_waits_are_noticed():
    values = torch.ones(3, device=DEVICE)
    assert len(waits(lambda: (values + 1).sum())) == 0
    assert len(waits(lambda: values.sum().item())) == 1
    assert len(waits(lambda: torch.tensor([1.0], device=DEVICE))) == 1
    assert len(waits(lambda: values[values > 0])) == 1


def test_a_frame_waits_for_nothing_but_its_results(name, scene):
    tracker = start(name, DEVICE, scene)
    for index, frame in enumerate(scene[1:]):
        places = waits(lambda frame=frame: tracker.track(frame.image))
        assert 0 < len(places) <= READ[name], (index, places)


@pytest.mark.parametrize('refining', ['dimp18', 'dcfst18'])
@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_replayed_refinement_is_that_step_by_step(refining, precision, scene):
    """Two trackers side by side, on one target after the other, each as without recordings."""
    other = list(render_sequence(SceneSettings(frames=12), 2))
    replayed = [start(refining, DEVICE, each, precision) for each in (scene, other)]
    eager = [start(refining, DEVICE, each, precision, replay=False) for each in (scene, other)]
    for scenes in ((scene, other), (other, scene)):
        for frames, *trackers in zip(scenes, replayed, eager, strict=True):
            for tracker in trackers:
                tracker.initialize(frames[0].image, frames[0].box)
        for frames in zip(*scenes, strict=True):
            found, expected = (
                [
                    tracker.track(frame.image).box.as_ltwh()
                    for tracker, frame in zip(trackers, frames, strict=True)
                ]
                for trackers in (replayed, eager)
            )
            np.testing.assert_allclose(found, expected, atol=0.01)
    assert [len(each.network.bb_regressor.replay.recorded) for each in replayed] == [1, 1]
    assert [len(each.network.bb_regressor.replay.recorded) for each in eager] == [0, 0]


def both(function, *tensors, **options):
    """Compare what a function makes of double precision tensors on the CPU and on the GPU."""
    results = []
    for device in ('cpu', DEVICE):
        found = function(*(tensor.to(device) for tensor in tensors), **options)
        results.append([each.cpu() for each in (found if isinstance(found, tuple) else (found,))])
    for found, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def draw(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def boxes_ltrb(count=7):
    """Boxes (2, count, 4) in and around an image of 96 px."""
    corner, size = draw((2, count, 2), (2, count, 2))
    return torch.cat([30 + 20 * corner, 60 + 20 * corner + 10 * size], -1)


def test_pooling_and_its_gradients():
    def pool(features, boxes):
        features.requires_grad_()
        boxes.requires_grad_()
        pooled = roi_pool(features, boxes, 3, 1 / 8)
        return (pooled.detach(), *torch.autograd.grad(pooled.square().sum(), (features, boxes)))

    def pool_by_hand(features, boxes):
        sizes = boxes[..., 2:] - boxes[..., :2]
        boxes_ltwh = torch.cat([boxes[..., :2], sizes], -1)
        pooled = PooledBoxes([features] * 2, boxes_ltwh, ((3, 1 / 8), (2, 1 / 9)))
        return (*pooled.values, pooled.box_gradient(pooled.values))

    (features,) = draw((2, 5, 12, 12))
    both(pool, features.clone(), boxes_ltrb())
    both(pool_by_hand, features, boxes_ltrb())


def test_deformable_convolution():
    layer = DeformConv(6, 8).double().requires_grad_(False)
    rows, columns = torch.tensor([[0, 6, 3], [6, 0, 5]]), torch.tensor([[0, 8, 3], [8, 0, 5]])

    def everywhere(features):
        return layer.to(features.device)(features)

    def in_cells(features, rows, columns):
        return layer.to(features.device).at(features, rows, columns)

    (features,) = draw((2, 6, 7, 9))
    both(everywhere, features)
    both(in_cells, features, rows, columns)


@pytest.mark.parametrize('kind', [SteepestDescent, DensityDescent])
def test_target_filter(kind):
    optimizer = kind().double().requires_grad_(False)
    initializer = FilterInitializer(5).double().requires_grad_(False)

    def fit(features, boxes):
        start = initializer.to(features.device)(features, boxes)
        return optimizer.to(features.device)(start, features, boxes, 5).filters

    features, offset = draw((6, 1, 5, 18, 18), (6, 1, 2))
    both(fit, features, torch.cat([120 + 10 * offset, torch.full_like(offset, 50)], -1))


def test_overlap_network_and_refinement():
    network = IoUNet(4, 6).double().eval().requires_grad_(False)

    def refine(layer2, layer3, boxes):
        network.to(layer2.device)
        modulation = network.modulation(layer2, layer3, boxes[0, :1])
        predictor = OverlapPredictor(network, modulation)
        layers = layer2, layer3
        return refine_boxes_nearby(network, predictor, layers, boxes, steps=3, step_length=1e-3)

    (jitter,) = draw((1, 7, 4))
    boxes = torch.tensor([90.0, 100, 40, 50], dtype=torch.float64) + 4 * jitter
    both(refine, *draw((1, 4, 36, 36), (1, 6, 18, 18)), boxes)


def test_ridge_regression():
    def fit(features, labels):
        equations = normal_matrix(features, 0.1), features.mT @ labels
        return gauss_seidel(*equations, torch.zeros_like(equations[1]), 5), (
            solve_normal_equations(*equations)
        )

    both(fit, *draw((200, 40), (200, 1)))
