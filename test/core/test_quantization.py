"""Weights in 8 bits: only as many as it takes, close to the original."""

import pytest
import torch
from torch import nn

from tracker_core.weights import WeightsError, WeightsInfo, load_into, save
from tracker_core.weights.quantization import dequantize, quantize_largest


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    rows = torch.tensor([1e-4, 1.0, 30.0, 0.0])[:, None]
    return {
        'large': torch.randn(4, 500) * rows,
        'small': torch.randn(4, 10, 3, 3).half(),
        'vector': torch.randn(900),
        'count': torch.tensor(7),
    }


def test_only_the_largest_are_stored_in_eight_bits(tensors):
    total = sum(tensor.nbytes for tensor in tensors.values())
    stored = quantize_largest(tensors, total - 1)
    assert stored['large'].dtype == torch.int8
    assert stored['small'] is tensors['small']
    assert stored['vector'] is tensors['vector']
    assert sum(tensor.nbytes for tensor in stored.values()) < total
    assert quantize_largest(tensors, total) == tensors


def test_values_come_back_within_half_a_step_of_their_row(tensors):
    restored = dequantize(quantize_largest(tensors, 0))
    assert restored.keys() == tensors.keys()
    for name in ('large', 'small'):
        original = tensors[name].float().flatten(1)
        step = original.abs().amax(1, keepdim=True) / 127
        error = (restored[name].flatten(1) - original).abs()
        assert restored[name].shape == tensors[name].shape
        assert (error <= 0.5001 * step + 1e-12).all()
    assert torch.equal(restored['vector'], tensors['vector'])
    assert torch.equal(restored['count'], tensors['count'])


def test_a_limited_file_loads_like_any_other(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64))
    info = WeightsInfo('toy', ('clips',), 'MIT')
    whole = save(tmp_path / 'whole.safetensors', network.state_dict(), info)
    limited = save(tmp_path / 'limited.safetensors', network.state_dict(), info, max_bytes=7000)
    assert limited.stat().st_size < whole.stat().st_size - 4000
    loaded = nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64))
    assert load_into(loaded, limited, 'toy') == info
    images = torch.randn(1, 8, 9, 9)
    expected, found = network.eval()(images), loaded.eval()(images)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.parametrize('scale', [{}, {'0.weight/scale': torch.ones(2)}])
def test_eight_bits_without_their_scale_are_no_weights(tmp_path, scale):
    network = nn.Sequential(nn.Conv2d(8, 64, 3))
    state = {**network.state_dict(), '0.weight': torch.ones(64, 8, 3, 3, dtype=torch.int8)}
    path = save(tmp_path / 'a.safetensors', {**state, **scale}, WeightsInfo('toy'))
    with pytest.raises(WeightsError, match=r'a\.safetensors: 0\.weight has 8 bits'):
        load_into(network, path, 'toy')
