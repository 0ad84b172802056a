"""Precise RoI pooling against the official operator's vectors, the closed form and autograd."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from tracker_core.roi_pool import PooledBoxes, roi_pool


def _pool_rois(features, rois, size, scale):
    """Pool rows (image index, left, top, right, bottom) as the official operator takes them."""
    maps = features[rois[:, 0].long()]
    return roi_pool(maps, rois[:, None, 1:], size, scale)[:, 0]


def test_equals_the_official_operator(parity):
    data = np.load(parity / 'prroi_official.npz')
    features = torch.tensor(data['features'], requires_grad=True)
    rois = torch.tensor(data['rois'], requires_grad=True)
    size = int(data['pooled_h']), int(data['pooled_w'])
    outputs = _pool_rois(features, rois, size, float(data['spatial_scale']))
    torch.testing.assert_close(outputs.detach(), torch.tensor(data['outputs']), rtol=0, atol=1e-6)
    outputs.sum().backward()
    torch.testing.assert_close(
        features.grad, torch.tensor(data['grad_features']), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        rois.grad[:, 1:], torch.tensor(data['grad_rois'])[:, 1:], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize('size', [(3, 3), (1, 1), (4, 5)])
def test_equals_the_closed_form(parity, size, dtype, tolerance):
    data = np.load(parity / 'prroi.npz')
    name = f'{size[0]}x{size[1]}/'
    features = torch.tensor(data['features'], dtype=dtype, requires_grad=True)
    rois = torch.tensor(data['rois'], dtype=dtype, requires_grad=True)
    outputs = _pool_rois(features, rois, size, float(data['spatial_scale']))
    (outputs * torch.tensor(data[name + 'cotangent'], dtype=dtype)).sum().backward()
    for found, key in (
        (outputs.detach(), 'out'),
        (features.grad, 'grad_features'),
        (rois.grad, 'grad_rois'),
    ):
        expected = torch.tensor(data[name + key], dtype=dtype)
        # A small box divides the rounding of its corners by its area: gradients up to 7.
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


def test_constant_map_pools_to_its_value_and_outside_to_zero():
    features = torch.full((1, 2, 8, 8), 3.0)
    boxes = torch.tensor([[[4.0, 4.0, 40.0, 24.0], [200.0, 8.0, 240.0, 40.0]]])
    pooled = roi_pool(features, boxes, 2, 1 / 8)
    assert pooled.shape == (1, 2, 2, 2, 2)
    torch.testing.assert_close(pooled[0, 0], torch.full((2, 2, 2), 3.0))
    assert (pooled[0, 1] == 0).all()


def test_hand_worked_bin():
    """One bin [0, 2] x [0, 1] of the surface that equals 6 at cell (row 0, column 1) only."""
    features = torch.zeros(1, 1, 3, 3)
    features[0, 0, 0, 1] = 6.0
    pooled = roi_pool(features, torch.tensor([[[0.0, 0.0, 2.0, 1.0]]]), 1, 1.0)
    assert pooled.item() == pytest.approx(6 * 1 * 0.5 / 2)


def test_empty_boxes_pool_to_zero_with_finite_gradients():
    features = torch.ones(1, 1, 4, 4, requires_grad=True)
    boxes = torch.tensor([[[2.0, 2.0, 2.0, 3.0], [3.0, 3.0, 1.0, 1.0]]], requires_grad=True)
    pooled = roi_pool(features, boxes, 2, 1.0)
    pooled.sum().backward()
    assert (pooled == 0).all()
    assert torch.isfinite(boxes.grad).all()


def test_gradients_in_features_and_boxes():
    torch.manual_seed(0)
    features = torch.randn(2, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor(
        [[[3.3, 4.1, 21.7, 30.2], [-7.4, 8.3, 12.9, 27.6]], [[1.2, 2.3, 9.4, 9.9]] * 2],
        dtype=torch.float64,
        requires_grad=True,
    )
    assert gradcheck(lambda f, b: roi_pool(f, b, (3, 2), 0.2), (features, boxes))


def test_written_out_box_gradient_is_that_of_autograd():
    torch.manual_seed(0)
    maps = [torch.randn(2, 3, 9, 7).double(), torch.randn(2, 4, 5, 6).double()]
    levels = (3, 0.2), (2, 0.1)
    corners, sizes = 30 * torch.rand(2, 5, 2) - 5, 4 + 30 * torch.rand(2, 5, 2)
    boxes = torch.cat([corners, sizes], -1).double()
    boxes[1, 4, 2] = 0  # an empty one
    boxes.requires_grad_()
    ltrb = torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)
    values = [roi_pool(each, ltrb, *level) for each, level in zip(maps, levels, strict=True)]
    cotangents = [torch.randn_like(each) for each in values]
    torch.autograd.backward(values, cotangents)
    with torch.inference_mode():
        pooled = PooledBoxes(maps, boxes.detach(), levels)
        for found, expected in zip(pooled.values, values, strict=True):
            torch.testing.assert_close(found.permute(0, 1, 4, 2, 3), expected.detach())
        gradient = pooled.box_gradient([each.permute(0, 1, 3, 4, 2) for each in cotangents])
        expected = boxes.grad.clone()
        torch.testing.assert_close(gradient[0], expected[0])
        torch.testing.assert_close(gradient[1, :4], expected[1, :4])
        assert (gradient[1, 4, [0, 2]] == 0).all()
