"""The SiamFC network: an AlexNet without padding and a cross-correlation."""

import torch
from torch import Tensor, nn
from torch.nn import functional

#: The published code scales the correlation by this before loss and window (paper: a learnt bias).
RESPONSE_SCALE = 0.001
#: Input pixels per cell of the response map.
STRIDE = 8


def _block(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, pool: bool = False
) -> nn.Sequential:
    """Convolution without padding, batch norm, ReLU and optionally a 3x3 max-pool of stride 2."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, groups=groups),
        nn.BatchNorm2d(outputs, eps=1e-6, momentum=0.05),
        nn.ReLU(inplace=True),
    ]
    if pool:
        layers.append(nn.MaxPool2d(3, 2))
    return nn.Sequential(*layers)


class AlexNet(nn.Module):
    """The five convolutions of paper table 1: 127 px -> 6x6 and 255 px -> 22x22, 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _block(3, 96, 11, stride=2, pool=True)
        self.conv2 = _block(96, 256, 5, groups=2, pool=True)
        self.conv3 = _block(256, 384, 3)
        self.conv4 = _block(384, 384, 3, groups=2)
        self.conv5 = nn.Sequential(nn.Conv2d(384, 256, 3, groups=2))

    def forward(self, images: Tensor) -> Tensor:
        """Map RGB images (N, 3, H, W) with values 0..255 to features (N, 256, h, w)."""
        features = self.conv2(self.conv1(images))
        return self.conv5(self.conv4(self.conv3(features)))  # type: ignore[no-any-return]


class SiamFC(nn.Module):
    """Response of an exemplar over a search region.

    State-dict keys are those of the published ``siamfc_alexnet_e50.pth``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = AlexNet()

    def features(self, images: Tensor) -> Tensor:
        """Embed RGB images (N, 3, H, W), float 0..255, as (N, 256, h, w)."""
        return self.backbone(images)  # type: ignore[no-any-return]

    def forward(self, exemplars: Tensor, searches: Tensor) -> Tensor:
        """Correlate exemplars (N, 3, 127, 127) with searches (N, 3, S, S), pair by pair.

        Returns the logits (N, 1, R, R), R = 17 for S = 255 and 15 for S = 239 (paper eq. 2).
        """
        return cross_correlate(self.features(exemplars), self.features(searches))


def cross_correlate(exemplars: Tensor, searches: Tensor) -> Tensor:
    """Slide exemplar features (N, C, h, w) over search features (M, C, H, W).

    M must be a multiple of N: search i belongs to exemplar i % N, as in the published head.
    Returns (M, 1, H - h + 1, W - w + 1), scaled by ``RESPONSE_SCALE``.
    """
    count, channels = exemplars.shape[:2]
    if searches.shape[0] % count or searches.shape[1] != channels:
        raise ValueError(
            f'cannot correlate searches {tuple(searches.shape)} with exemplars '
            f'{tuple(exemplars.shape)}: the batch must be a multiple, the channels equal'
        )
    grouped = searches.reshape(-1, count * channels, *searches.shape[2:])
    responses = functional.conv2d(grouped, exemplars, groups=count)
    return responses.reshape(searches.shape[0], 1, *responses.shape[2:]) * RESPONSE_SCALE


def initialize_weights(network: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw Xavier-uniform convolutions with zero bias; batch norms start as identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
