"""The backbone: shapes, keys, normalisation."""

import pytest
import torch

from tracker_core.resnet import STRIDES, normalize, resnet18, resnet50


@pytest.mark.parametrize(
    ('build', 'channels'), [(resnet18, (64, 128, 256)), (resnet50, (256, 512, 1024))]
)
def test_layers_have_the_published_shapes(build, channels):
    network = build().eval()
    with torch.inference_mode():
        layers = network(torch.randn(2, 3, 96, 64), ('layer1', 'layer2', 'layer3'))
    for (name, features), count in zip(layers.items(), channels, strict=True):
        assert features.shape == (2, count, 96 // STRIDES[name], 64 // STRIDES[name])
        assert network.channels[name] == count


def test_stops_after_the_last_wanted_layer():
    network = resnet18().eval()
    network.layer2.register_forward_hook(lambda *_: pytest.fail('layer2 was computed'))
    assert list(network(torch.randn(1, 3, 32, 32), ('layer1',))) == ['layer1']


def test_unknown_layer_is_refused():
    with pytest.raises(ValueError, match=r'layer4.*there are layer1, layer2, layer3'):
        resnet18()(torch.zeros(1, 3, 32, 32), ('layer4',))


def test_normalize_maps_the_mean_colour_to_zero():
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
    assert normalize(grey).abs().max() < 1e-6
    white = normalize(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8))
    assert white.flatten().tolist() == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-4)
