import copy

import pytest
import torch
from torch import nn

from tracker_core import inference
from tracker_core.inference import (
    PackedConv2d,
    choose_dtype,
    fold_batch_norms,
    pack_convolutions,
    prepare,
)
from tracker_core.iou_net import IoUNet
from tracker_core.resnet import resnet18
from tracker_core.siamfc.network import SiamFC

needs_packing = pytest.mark.skipif(
    not inference._packing_works(), reason='this PyTorch has no operators for packed weights'
)


def shake(network, seed=0):
    """Give every batch norm statistics and factors that matter."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval().requires_grad_(False)


def norms(network):
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    return sum(isinstance(module, kinds) for module in network.modules())


def test_a_resnet_computes_the_same():
    network = shake(resnet18())
    images = torch.randn(1, 3, 64, 64)
    expected = network(images)
    fold_batch_norms(network)
    assert norms(network) == 0
    for name, layer in network(images).items():
        torch.testing.assert_close(layer, expected[name], rtol=1e-4, atol=1e-4)


def test_an_iou_network_computes_the_same():
    network = shake(IoUNet(8, 16))
    inputs = torch.rand(1, 8, 36, 36), torch.rand(1, 16, 18, 18)
    boxes = torch.tensor([[[20.0, 30.0, 60.0, 50.0], [0.0, 9.0, 80.0, 50.0]]])
    expected = network(inputs, boxes[:, 0], inputs, boxes)
    fold_batch_norms(network)
    assert norms(network) == 0
    torch.testing.assert_close(
        network(inputs, boxes[:, 0], inputs, boxes), expected, rtol=1e-4, atol=1e-4
    )


def test_only_a_norm_right_after_a_layer_is_folded():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    shake(network)
    images = torch.randn(1, 3, 5, 5)
    expected = network(images)
    fold_batch_norms(network)
    assert norms(network) == 1
    assert torch.equal(network(images), expected)


def test_the_inference_form():
    network = SiamFC().train()
    prepare(network, torch.device('cpu'), torch.bfloat16)
    assert not network.training and norms(network) == 0
    for parameter in network.parameters():
        assert parameter.dtype == torch.bfloat16 and not parameter.requires_grad
    weight = network.backbone.conv3[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def packed(network):
    return sum(isinstance(module, PackedConv2d) for module in network.modules())


@needs_packing
@pytest.mark.parametrize('shape', [(3, 8, 20, 24), (1, 8, 7, 5)])
@pytest.mark.parametrize(
    'options', [{'kernel_size': 3, 'padding': 1}, {'stride': 2}, {'groups': 2}]
)
def test_a_packed_convolution_computes_the_same(options, shape):
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 16, **{'kernel_size': 1, **options}).requires_grad_(False)
    plain.to(torch.bfloat16)
    network = copy.deepcopy(plain)
    pack_convolutions(network)
    assert isinstance(network, PackedConv2d)
    # The first size decides on the order of the weights; others must come out right as well.
    for size in (shape, (1, 8, 40, 40), (2, 8, 9, 9)):
        images = torch.randn(size).to(torch.bfloat16)
        for each in (images, images.to(memory_format=torch.channels_last), images[..., 1:]):
            assert torch.equal(network(each), plain(each))


@needs_packing
def test_a_copy_of_a_packed_convolution_packs_anew():
    network = nn.Conv2d(8, 4, 3).requires_grad_(False).to(torch.bfloat16)
    pack_convolutions(network)
    images = torch.ones(1, 8, 6, 6, dtype=torch.bfloat16)
    expected = network(images)
    twin = copy.deepcopy(network)
    assert torch.equal(twin(images), expected)
    twin.weight.zero_()
    assert torch.equal(network(images), expected)


@needs_packing
@pytest.mark.parametrize(('dtype', 'count'), [(torch.bfloat16, 15), (torch.float32, 0)])
def test_convolutions_are_packed_for_bfloat16_only(dtype, count):
    network = resnet18()
    prepare(network, torch.device('cpu'), dtype)
    assert packed(network) == count
    assert network(torch.zeros(1, 3, 64, 64, dtype=dtype))['layer3'].dtype == dtype


def test_looking_for_the_operators_draws_no_random_numbers():
    inference._packing_works.cache_clear()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    inference._packing_works()
    assert torch.equal(torch.rand(1), expected)


def test_without_the_operators_convolutions_stay_what_they_are(monkeypatch):
    class Missing:
        def __getattr__(self, name):
            raise AttributeError(name)

    monkeypatch.setattr(torch.ops, 'mkldnn', Missing())
    inference._packing_works.cache_clear()
    try:
        network = resnet18()
        prepare(network, torch.device('cpu'), torch.bfloat16)
    finally:
        inference._packing_works.cache_clear()
    assert packed(network) == 0
    assert network(torch.zeros(1, 3, 64, 64, dtype=torch.bfloat16))['layer3'].shape[-1] == 4


@pytest.mark.parametrize(
    ('precision', 'kind', 'capable', 'expected'),
    [
        ('auto', 'cpu', True, torch.bfloat16),
        ('auto', 'cpu', False, torch.float32),
        ('auto', 'cuda', True, torch.float32),
        ('float32', 'cpu', True, torch.float32),
        ('bfloat16', 'cpu', False, torch.bfloat16),
    ],
)
def test_choice_of_the_precision(monkeypatch, precision, kind, capable, expected):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: {'avx512_bf16': capable})
    assert choose_dtype(precision, torch.device(kind)) == expected
