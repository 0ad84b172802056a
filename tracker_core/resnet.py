"""ResNet-18 and ResNet-50 up to the third stage, returning named layers."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracker_core.transfer import constant

#: Statistics of ImageNet, RGB in [0, 1], that published backbones expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: Input pixels per cell of each layer.
STRIDES = {'layer1': 4, 'layer2': 8, 'layer3': 16}


def normalize(images: Tensor) -> Tensor:
    """Turn RGB images (N, 3, H, W) with values 0..255 into floats with ImageNet's statistics."""
    dtype = images.dtype if images.is_floating_point() else torch.float32
    scaled = images.to(dtype) / 255
    mean, std = (constant(each, scaled).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    # In this order, which is the published one: random networks amplify the last digit.
    return scaled.sub_(mean).div_(std)


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around an identity (He et al. 2016, figure 5 left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(inputs, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, width, H / stride, W / stride)."""
        inner = functional.relu(self.bn1(self.conv1(features)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.downsample(features))


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 (He et al. 2016, figure 5 right; stride as in version 1.5)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 4 width, H / stride, W / stride)."""
        inner = functional.relu(self.bn1(self.conv1(features)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(self.bn3(self.conv3(inner)) + self.downsample(features))


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Stem and stages `layer1` to `layer3`; state-dict keys are those of torchvision.

    The fourth stage and the classifier, which no tracker here uses, do not exist.
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], blocks: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.channels: dict[str, int] = {}
        inputs = 64
        for index, count in enumerate(blocks[:3]):
            width = 64 * 2**index
            stage = []
            for position in range(count):
                stride = 2 if index and not position else 1
                stage.append(block(inputs, width, stride))
                inputs = width * block.expansion
            name = f'layer{index + 1}'
            self.add_module(name, nn.Sequential(*stage))
            self.channels[name] = inputs
        _draw_weights(self)

    def forward(
        self, images: Tensor, layers: Collection[str] = ('layer2', 'layer3')
    ) -> dict[str, Tensor]:
        """Return the wanted layers of normalised images (N, 3, H, W), by name.

        `layer1` has H / 4 rows, `layer2` H / 8, `layer3` H / 16; nothing after the last wanted
        one is computed. Raises ValueError for other names, or none.
        """
        unknown = set(layers) - self.channels.keys()
        if unknown or not layers:
            raise ValueError(f'no layers {sorted(unknown)}; there are {", ".join(self.channels)}')
        # The ReLU may as well follow the pooling, where there is a quarter to compute.
        features = functional.max_pool2d(self.bn1(self.conv1(images)), 3, 2, padding=1).relu()
        wanted = {}
        for name in self.channels:
            features = self.get_submodule(name)(features)
            if name in layers:
                wanted[name] = features
            if len(wanted) == len(set(layers)):
                break
        return wanted


def resnet18() -> ResNet:
    """ResNet-18: 64, 128 and 256 channels."""
    return ResNet(BasicBlock, (2, 2, 2))


def resnet50() -> ResNet:
    """ResNet-50: 256, 512 and 1024 channels."""
    return ResNet(Bottleneck, (3, 4, 6))


def _draw_weights(network: nn.Module) -> None:
    """Convolutions N(0, sqrt(2 / (k k outputs))) as published; batch norms start as identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
