"""Deformable convolution: reference values, plain convolution as a special case, gradients."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional

from tracker_core.deform_conv import DeformConv, deform_conv


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_equals_the_reference_with_all_gradients(parity, dtype, tolerance):
    data = np.load(parity / 'dcn.npz')
    names = ('x', 'offset_mask', 'weight', 'bias')
    given = {name: torch.tensor(data[name], dtype=dtype, requires_grad=True) for name in names}
    offsets, logits = given['offset_mask'].split((18, 9), 1)
    y = deform_conv(given['x'], offsets, logits.sigmoid(), given['weight'], given['bias'])
    (y * torch.tensor(data['cotangent'], dtype=dtype)).sum().backward()
    found = {'y': y.detach()}
    found |= {f'grad_{name}': given[name].grad for name in names if f'grad_{name}' in data}
    assert set(found) == {'y', 'grad_x', 'grad_offset_mask', 'grad_weight'}
    for name, value in found.items():
        expected = torch.tensor(data[name], dtype=dtype)
        torch.testing.assert_close(value, expected, rtol=0, atol=tolerance, msg=name)


def _random(dtype=torch.float32, spread=1.5):
    """Features, offsets, mask, weight and bias of a small layer."""
    draw = torch.Generator().manual_seed(0)
    shapes = (2, 3, 5, 7), (2, 18, 5, 7), (2, 9, 5, 7), (4, 3, 3, 3), (4,)
    tensors = [torch.randn(shape, generator=draw, dtype=dtype) for shape in shapes]
    tensors[1] *= spread
    tensors[2] = tensors[2].sigmoid()
    return tensors


def test_without_offsets_it_is_a_masked_convolution():
    features, offsets, _, weight, bias = _random(torch.float64)
    mask = torch.ones(2, 9, 5, 7, dtype=torch.float64)
    found = deform_conv(features, torch.zeros_like(offsets), mask, weight, bias)
    torch.testing.assert_close(found, functional.conv2d(features, weight, bias, padding=1))
    half = deform_conv(features, torch.zeros_like(offsets), mask / 2, weight)
    torch.testing.assert_close(half, functional.conv2d(features, weight / 2, padding=1))


def test_offset_order_is_dy_then_dx_per_tap():
    """Only the central tap counts; moving it by (dy, dx) = (1, 2) shifts the image."""
    features, offsets, mask, _, _ = _random()
    weight = torch.zeros(3, 3, 3, 3)
    weight[range(3), range(3), 1, 1] = 1
    offsets.zero_()
    offsets[:, 8], offsets[:, 9] = 1.0, 2.0
    found = deform_conv(features, offsets, torch.ones_like(mask), weight)
    expected = functional.pad(features, (0, 2, 0, 1))[:, :, 1:, 2:]
    torch.testing.assert_close(found, expected)


def test_literal_definition():
    """Every output as the loop over taps and corners that defines it."""
    features, offsets, mask, weight, bias = _random(torch.float64)
    expected = bias.view(1, -1, 1, 1).repeat(2, 1, 5, 7)
    for n, h, w, tap in np.ndindex(2, 5, 7, 9):
        y = h - 1 + tap // 3 + offsets[n, 2 * tap, h, w].item()
        x = w - 1 + tap % 3 + offsets[n, 2 * tap + 1, h, w].item()
        sample = torch.zeros(3, dtype=torch.float64)
        for row, column in np.ndindex(5, 7):
            share = max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column))
            sample += share * features[n, :, row, column]
        expected[n, :, h, w] += mask[n, tap, h, w] * (weight[:, :, tap // 3, tap % 3] @ sample)
    torch.testing.assert_close(deform_conv(features, offsets, mask, weight, bias), expected)


def test_gradients_in_everything():
    tensors = [tensor.requires_grad_() for tensor in _random(torch.float64)]
    assert gradcheck(deform_conv, tensors)


def test_far_offsets_sample_nothing():
    features, offsets, mask, weight, bias = _random()
    for far in (1e4, -1e4, float('inf')):
        found = deform_conv(features, torch.full_like(offsets, far), mask, weight, bias)
        torch.testing.assert_close(found, bias.view(1, -1, 1, 1).expand_as(found))


def test_wrong_shapes_are_named():
    features, offsets, mask, weight, _ = _random()
    with pytest.raises(ValueError, match=r'offsets must have shape \(2, 18, 5, 7\)'):
        deform_conv(features, mask, mask, weight)
    with pytest.raises(ValueError, match='weight must have shape'):
        deform_conv(features, offsets, mask, weight[:, :2])


def test_bfloat16_keeps_the_positions():
    features, offsets, mask, weight, bias = _random()
    exact = deform_conv(features, offsets, mask, weight, bias)
    rough = deform_conv(features.bfloat16(), offsets, mask, weight.bfloat16(), bias.bfloat16())
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() < 0.02 * exact.abs().max()


def test_layer_has_the_published_keys():
    layer = DeformConv(8, 16)
    shapes = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
    assert shapes == {
        'weight': (16, 8, 3, 3),
        'bias': (16,),
        'conv_offset_mask.weight': (27, 8, 3, 3),
        'conv_offset_mask.bias': (27,),
    }
    assert layer(torch.randn(2, 8, 6, 5)).shape == (2, 16, 6, 5)


def test_equals_torchvision():
    operators = pytest.importorskip('torchvision.ops')
    features, offsets, mask, weight, bias = _random()
    expected = operators.deform_conv2d(features, offsets, weight, bias, padding=1, mask=mask)
    torch.testing.assert_close(deform_conv(features, offsets, mask, weight, bias), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_gpu_equals_cpu():
    tensors = _random()
    found = deform_conv(*(tensor.cuda() for tensor in tensors))
    torch.testing.assert_close(found.cpu(), deform_conv(*tensors), rtol=1e-4, atol=1e-4)


def test_single_cells_equal_the_whole_map():
    torch.manual_seed(0)
    layer, features = DeformConv(3, 4).double(), torch.randn(2, 3, 5, 7, dtype=torch.float64)
    rows, columns = torch.tensor([[0, 4, 2], [0, 1, 3]]), torch.tensor([[0, 6, 3], [6, 0, 5]])
    whole = layer(features)
    expected = torch.stack([whole[n, :, rows[n], columns[n]].T for n in range(2)])
    torch.testing.assert_close(layer.at(features, rows, columns), expected)
