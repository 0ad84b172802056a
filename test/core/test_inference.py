import pytest
import torch
from torch import nn

from tracker_core.inference import choose_dtype, fold_batch_norms, prepare
from tracker_core.iou_net import IoUNet
from tracker_core.resnet import resnet18
from tracker_core.siamfc.network import SiamFC


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
