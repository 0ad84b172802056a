"""ATOM's IoU network: predicts the overlap of boxes with a target and improves boxes by it.

Danelljan et al. 2019, section 3.1; DiMP and DCFST use it unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracker_core.replay import Replay
from tracker_core.resnet import STRIDES
from tracker_core.roi_pool import roi_pool

#: Two maps of one image, or the two vectors of a target.
Pair = tuple[Tensor, Tensor]
_SCALE2, _SCALE3 = 1 / STRIDES['layer2'], 1 / STRIDES['layer3']
#: Bins per side and scale of the pooled boxes of `layer2` and `layer3`.
LEVELS = ((5, _SCALE2), (3, _SCALE3))


def _conv_block(inputs: int, outputs: int, kernel: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _LinearBlock(nn.Module):
    """Linear layer over a pooled box, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        return functional.relu(self.bn(self.linear(pooled)))


class IoUNet(nn.Module):
    """Predicts how well boxes fit the target of a reference image.

    layer2_channels, layer3_channels: of the backbone's layers. State-dict keys are those of the
    published ``bb_regressor``. Boxes are pixels of the network's input image, origin at its
    corner.
    """

    def __init__(self, layer2_channels: int, layer3_channels: int) -> None:
        super().__init__()
        self.conv3_1r = _conv_block(layer2_channels, 128, 3, 1)
        self.conv3_1t = _conv_block(layer2_channels, 256, 3, 1)
        self.conv3_2t = _conv_block(256, 256, 3, 1)
        self.fc3_1r = _conv_block(128, 256, 3, 0)
        self.conv4_1r = _conv_block(layer3_channels, 256, 3, 1)
        self.conv4_1t = _conv_block(layer3_channels, 256, 3, 1)
        self.conv4_2t = _conv_block(256, 256, 3, 1)
        self.fc34_3r = _conv_block(512, 256, 1, 0)
        self.fc34_4r = _conv_block(512, 256, 1, 0)
        self.fc3_rt = _LinearBlock(256 * 5 * 5, 256)
        self.fc4_rt = _LinearBlock(256 * 3 * 3, 256)
        self.iou_predictor = nn.Linear(512, 1)
        self.replay = Replay()
        _draw_weights(self)

    def modulation(self, layer2: Tensor, layer3: Tensor, boxes_ltwh: Tensor) -> Pair:
        """Describe the target of a reference image by two vectors (N, 256, 1, 1), >= 0.

        layer2, layer3: backbone features (N, C, h, w). boxes_ltwh: (N, 4), one target per image.
        """
        boxes = ltwh_to_ltrb(boxes_ltwh)[:, None]
        pooled3 = roi_pool(self.conv3_1r(layer2), boxes, 3, _SCALE2)[:, 0]
        pooled4 = roi_pool(self.conv4_1r(layer3), boxes, 1, _SCALE3)[:, 0]
        target = torch.cat([self.fc3_1r(pooled3), pooled4], 1)
        return self.fc34_3r(target), self.fc34_4r(target)

    def embed(self, layer2: Tensor, layer3: Tensor) -> Pair:
        """Map backbone features of test images to the maps that boxes are pooled from.

        Returns (N, 256, h, w) at strides 8 and 16.
        """
        return self.conv3_2t(self.conv3_1t(layer2)), self.conv4_2t(self.conv4_1t(layer3))

    def predict(self, modulation: Pair, embedding: Pair, boxes_ltwh: Tensor) -> Tensor:
        """Predict 2 IoU - 1 (PrDiMP: a log density) of boxes (N, K, 4) as (N, K).

        Differentiable in the boxes. `modulation` and `embedding` belong to N images.
        """
        boxes = ltwh_to_ltrb(boxes_ltwh)
        # Modulating the pooled boxes equals modulating the maps: pooling is linear per channel.
        pooled3 = roi_pool(embedding[0], boxes, 5, _SCALE2) * modulation[0][:, None]
        pooled4 = roi_pool(embedding[1], boxes, 3, _SCALE3) * modulation[1][:, None]
        joined = [
            self.fc3_rt(pooled3.flatten(0, 1).flatten(1)),
            self.fc4_rt(pooled4.flatten(0, 1).flatten(1)),
        ]
        predictions: Tensor = self.iou_predictor(torch.cat(joined, 1))
        return predictions.view(boxes.shape[:2])

    def forward(
        self, reference: Pair, reference_boxes_ltwh: Tensor, test: Pair, boxes_ltwh: Tensor
    ) -> Tensor:
        """Predict boxes (N, K, 4) of test images from reference boxes (N, 4); returns (N, K).

        reference, test: `layer2` and `layer3` of N images each.
        """
        modulation = self.modulation(*reference, reference_boxes_ltwh)
        return self.predict(modulation, self.embed(*test), boxes_ltwh)


def ltwh_to_ltrb(boxes_ltwh: Tensor) -> Tensor:
    """Turn boxes (..., 4) with width and height into boxes with right and bottom edge."""
    return torch.cat([boxes_ltwh[..., :2], boxes_ltwh[..., :2] + boxes_ltwh[..., 2:]], -1)


def _draw_weights(network: nn.Module) -> None:
    """Kaiming-normal weights, zero bias, batch-norm weights uniform in [0, 1], as published."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(module.weight)
