"""The IoU network for one target, pooled box by box and from tables of cells."""

import pytest
import torch

from tracker_core import overlap_predictor
from tracker_core.iou_net import IoUNet
from tracker_core.overlap_predictor import CellPredictor, OverlapPredictor


def test_written_out_gradient_is_that_of_autograd(overlap_setting):
    network, modulation, embedding = overlap_setting
    boxes = torch.tensor([[[17.3, 22.1, 38.7, 41.2], [30.4, 28.9, 21.3, 33.8]]]).double()
    expected = network.predict(modulation, embedding, boxes.requires_grad_())
    expected.sum().backward()
    with torch.inference_mode():
        found, gradient = OverlapPredictor(network, modulation)(embedding, boxes.detach())
    torch.testing.assert_close(found.float(), expected.detach().float())
    torch.testing.assert_close(gradient.float(), boxes.grad.float())


@pytest.fixture(scope='module')
def wide():
    """A predictor in double precision, and the embedding of an image of 288 px."""
    torch.manual_seed(0)
    network = IoUNet(4, 6).double().eval().requires_grad_(False)
    layers = torch.randn(1, 4, 36, 36).double(), torch.randn(1, 6, 18, 18).double()
    box = torch.tensor([[100.0, 110.0, 60.0, 50.0]]).double()
    return OverlapPredictor(network, network.modulation(*layers, box)), network.embed(*layers)


def around(*ltwh):
    """Three boxes (1, 3, 4)."""
    offsets = torch.tensor([[0, 0, 0, 0], [4.3, -3.1, 6, -5], [-2.2, 5, -7, 8]]).double()
    return (torch.tensor(ltwh).double() + offsets)[None]


BOXES = {
    'inside': (100, 110, 60, 50),
    'corner': (-30, -20, 60, 70),
    'opposite corner': (260, 250, 80, 90),
    'all of the image': (5, 7, 270, 265),
    'outside': (500, 500, 20, 20),
    'tiny': (40, 50, 8, 6),
    'long': (2, 140, 280, 12),
    'some empty': (100, 110, 7, 5),
}


@pytest.mark.parametrize('name', BOXES)
def test_tables_of_cells_give_what_pooling_gives(wide, name):
    predictor, embedding = wide
    boxes = around(*BOXES[name])
    expected = predictor(embedding, boxes)
    found = CellPredictor(predictor, embedding)(boxes)
    if name not in ('outside', 'some empty'):
        assert (expected[1] != 0).all()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)


def test_tables_are_made_anew_where_boxes_leave_their_cells(wide, monkeypatch):
    predictor, embedding = wide
    made, apply = [], overlap_predictor._apply
    monkeypatch.setattr(
        overlap_predictor, '_apply', lambda *inputs: made.append(1) or apply(*inputs)
    )
    predict, boxes = CellPredictor(predictor, embedding), around(100, 110, 60, 50)
    counts = []
    for shift in (0, 7, -7, 30, 31, 0):
        moved = boxes + torch.tensor([shift, shift / 2, 0, 0])
        torch.testing.assert_close(
            predict(moved), predictor(embedding, moved), rtol=1e-9, atol=1e-15
        )
        counts.append(len(made))
    assert counts == [2, 2, 2, 4, 4, 6]


def test_boxes_that_are_not_finite_give_nothing_finite_and_no_error(wide):
    predictor, embedding = wide
    predict, boxes = CellPredictor(predictor, embedding), around(100, 110, 60, 50)
    for value in (torch.nan, torch.inf):
        for predictions, gradient in (
            predict(torch.full_like(boxes, value)),
            predictor(embedding, torch.full_like(boxes, value)),
        ):
            assert not predictions.isfinite().any()
            assert not gradient.isfinite().any()
    torch.testing.assert_close(predict(boxes), predictor(embedding, boxes), rtol=1e-9, atol=1e-15)


def test_maps_may_be_smaller_than_a_table(overlap_setting):
    network, modulation, embedding = overlap_setting
    boxes = torch.tensor([[[-20.0, 3.0, 130.0, 90.0], [30.4, 28.9, 21.3, 33.8]]]).double()
    predictor = OverlapPredictor(network, modulation)
    expected = predictor(embedding, boxes)
    found = CellPredictor(predictor, embedding)(boxes)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)


def test_rounding_to_bfloat16_costs_no_more_than_that_of_the_features(wide):
    exact, embedding = wide
    boxes = around(100, 110, 60, 50)
    expected = exact(embedding, boxes)
    rounded = OverlapPredictor.__new__(OverlapPredictor)
    rounded.gradient_decimals = None
    matrices, rest = exact.tensors[:2], exact.tensors[2:]
    rounded.tensors = (*(each.bfloat16() for each in matrices), *(each.float() for each in rest))
    maps = [each.bfloat16() for each in embedding]
    for predict in (lambda b: rounded(maps, b), CellPredictor(rounded, maps)):
        for found, wanted in zip(predict(boxes.float()), expected, strict=True):
            assert found.dtype == torch.float32
            assert (found - wanted).abs().max() < 0.01 * wanted.abs().max()


def test_gradients_are_rounded_where_that_is_wanted(overlap_setting):
    network, modulation, embedding = overlap_setting
    boxes = torch.tensor([[[17.3, 22.1, 38.7, 41.2]]]).double()
    plain = OverlapPredictor(network, modulation)
    rounded = OverlapPredictor(network, modulation, gradient_decimals=4)
    expected = plain(embedding, boxes)[1].round(decimals=4)
    assert (expected != 0).any()
    assert torch.equal(rounded(embedding, boxes)[1], expected)
    assert torch.equal(CellPredictor(rounded, embedding)(boxes)[1], expected)
