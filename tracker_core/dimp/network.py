"""The DiMP networks: backbone, classifier with its model predictor, IoU-Net.

Bhat et al. 2019, section 3 and figure 2. State-dict keys are those of the published checkpoints,
whose unused fourth stage of the backbone and `fc` are dropped.
"""

from __future__ import annotations

from torch import Tensor, nn

from tracker_core.classifier import Classifier, classifier_of_resnet18, classifier_of_resnet50
from tracker_core.iou_net import IoUNet
from tracker_core.resnet import ResNet, resnet18, resnet50
from tracker_core.target_filter import DensityDescent, SteepestDescent

#: Input pixels per cell of the score map.
STRIDE = 16


class DiMP(nn.Module):
    """Backbone, classifier and box regressor of one of the published variants."""

    def __init__(self, backbone: ResNet, classifier: Classifier) -> None:
        super().__init__()
        self.feature_extractor = backbone
        self.classifier = classifier
        channels = backbone.channels
        self.bb_regressor = IoUNet(channels['layer2'], channels['layer3'])

    def backbone(self, images: Tensor) -> dict[str, Tensor]:
        """Features `layer2` and `layer3` of normalised images (N, 3, H, W), strides 8 and 16."""
        layers: dict[str, Tensor] = self.feature_extractor(images, ('layer2', 'layer3'))
        return layers

    def classification_features(self, layer3: Tensor) -> Tensor:
        """Features (N, C, h, w) that filters are learned on and applied to, from `layer3`."""
        features: Tensor = self.classifier.feature_extractor(layer3)
        return features


def dimp18() -> DiMP:
    """DiMP-18: a residual block and a convolution to 256 channels on ResNet-18."""
    return _on_resnet18(SteepestDescent())


def dimp50() -> DiMP:
    """DiMP-50: a convolution to 512 channels on ResNet-50."""
    return _on_resnet50(SteepestDescent())


def prdimp18() -> DiMP:
    """PrDiMP-18: DiMP-18 with probabilistic classification and box regression."""
    return _on_resnet18(DensityDescent())


def prdimp50() -> DiMP:
    """PrDiMP-50: DiMP-50 with probabilistic classification and box regression."""
    return _on_resnet50(DensityDescent())


def super_dimp() -> DiMP:
    """SuperDiMP: DiMP-50's classifier with PrDiMP's box regression, for larger search regions."""
    # A quarter of the target in a search region of six targets and 22 cells.
    return _on_resnet50(SteepestDescent(label_sigma=0.25 / 6 * 22))


def _on_resnet18(optimizer: SteepestDescent | DensityDescent) -> DiMP:
    return DiMP(resnet18(), classifier_of_resnet18(optimizer))


def _on_resnet50(optimizer: SteepestDescent | DensityDescent) -> DiMP:
    return DiMP(resnet50(), classifier_of_resnet50(optimizer))
