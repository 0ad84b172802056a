"""Boxes improved by their predicted overlap, on the whole image and on the part around them."""

import pytest
import torch

from tracker_core.box_refinement import refine_boxes, refine_boxes_nearby
from tracker_core.iou_net import IoUNet
from tracker_core.overlap_predictor import OverlapPredictor


@pytest.mark.parametrize(('space', 'length'), [('default', 0.1), ('relative', 1e-5)])
def test_refinement_climbs(overlap_setting, space, length):
    network, modulation, embedding = overlap_setting
    boxes = torch.tensor([[[17.3, 22.1, 38.7, 41.2], [30.4, 28.9, 21.3, 33.8]]]).double()
    scale = float(network.predict(modulation, embedding, boxes).abs().max())
    how = {'steps': 1, 'step_length': (length / scale,) * 2, 'space': space}
    predictor = OverlapPredictor(network, modulation)
    refined, before = refine_boxes(predictor, embedding, boxes, **how)
    torch.testing.assert_close(before, network.predict(modulation, embedding, boxes))
    after = network.predict(modulation, embedding, refined)
    assert (after > before).all()
    assert (refined[..., 2:] > 0).all()


def test_refinement_without_steps_changes_nothing(overlap_setting):
    network, modulation, embedding = overlap_setting
    boxes = torch.tensor([[[17.3, 22.1, 38.7, 41.2]]]).double()
    predictor = OverlapPredictor(network, modulation)
    refined, _ = refine_boxes(predictor, embedding, boxes, steps=0, step_length=1.0)
    torch.testing.assert_close(refined, boxes)


def test_step_length_of_position_and_size(overlap_setting):
    network, modulation, embedding = overlap_setting
    boxes = torch.tensor([[[17.3, 22.1, 38.7, 41.2]]]).double()
    how = {'steps': 1, 'step_length': (1e-4, 0.0), 'space': 'relative'}
    predictor = OverlapPredictor(network, modulation)
    refined, _ = refine_boxes(predictor, embedding, boxes, **how)
    torch.testing.assert_close(refined[..., 2:], boxes[..., 2:])
    assert not torch.equal(refined[..., :2], boxes[..., :2])


@pytest.fixture(scope='module')
def wide_setting():
    """Layers of a 288 px image with a predictor, embedded cells counted."""
    torch.manual_seed(0)
    network = IoUNet(4, 6).double().eval().requires_grad_(False)
    layers = torch.randn(1, 4, 36, 36).double(), torch.randn(1, 6, 18, 18).double()
    box = torch.tensor([[100.0, 110.0, 60.0, 50.0]]).double()
    return network, OverlapPredictor(network, network.modulation(*layers, box)), layers


@pytest.mark.parametrize(
    'corner', [(114, 117), (10, 130), (-20, -15), (230, 5), (260, 255), (90, 215), (128, 64)]
)
@pytest.mark.parametrize('size', [(60, 50), (40, 90), (25, 30)])
def test_refinement_nearby_equals_that_on_the_whole_image(wide_setting, corner, size, monkeypatch):
    network, predictor, layers = wide_setting
    first = torch.tensor([*corner, *size]).double()
    boxes = first + torch.tensor([[0, 0, 0, 0], [4.3, -3.1, 6, -5], [-2.2, 5, -7, 8]]).double()
    how = {'steps': 3, 'step_length': (0.01, 0.01)}
    expected = refine_boxes(predictor, network.embed(*layers), boxes[None], **how)
    embedded = []
    embed = network.embed
    monkeypatch.setattr(network, 'embed', lambda *p: embedded.append(p[1].shape[-1]) or embed(*p))
    found = refine_boxes_nearby(network, predictor, layers, boxes[None], **how)
    assert len(embedded) == 1
    assert embedded[0] < 18
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_boxes_that_leave_the_part_are_refined_on_the_whole_image(wide_setting):
    network, predictor, layers = wide_setting
    boxes = torch.tensor([[[114.0, 117.0, 60.0, 50.0]]]).double()
    gradient = predictor(network.embed(*layers), boxes)[1]
    length = 120 / float((gradient[..., :2].abs() * 60).max())
    how = {'steps': 2, 'step_length': (length, 0.0)}
    expected = refine_boxes(predictor, network.embed(*layers), boxes, **how)
    assert (expected[0] - boxes)[..., :2].abs().max() > 60
    found = refine_boxes_nearby(network, predictor, layers, boxes, **how)
    torch.testing.assert_close(found[0], expected[0])


def test_large_boxes_are_refined_on_the_whole_image(wide_setting):
    network, predictor, layers = wide_setting
    boxes = torch.tensor([[[10.0, 17.0, 260.0, 250.0]]]).double()
    how = {'steps': 1, 'step_length': (0.01, 0.01)}
    expected = refine_boxes(predictor, network.embed(*layers), boxes, **how)
    found = refine_boxes_nearby(network, predictor, layers, boxes, **how)
    torch.testing.assert_close(found[0], expected[0])


def test_refinement_reads_nothing_back_from_a_device():
    """Tensors without data, which cannot be read, stand for those of a GPU that is not ready."""
    network = IoUNet(4, 6).eval().requires_grad_(False).to('meta')
    layers = torch.empty(1, 4, 36, 36, device='meta'), torch.empty(1, 6, 18, 18, device='meta')
    modulation = network.modulation(*layers, torch.empty(1, 4, device='meta'))
    boxes = torch.empty(1, 7, 4, device='meta')
    predictor = OverlapPredictor(network, modulation)
    how = {'steps': 3, 'step_length': 1.0}
    found, scores = refine_boxes_nearby(network, predictor, layers, boxes, **how)
    assert found.shape == (1, 7, 4) and scores.shape == (1, 7)
