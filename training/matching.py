"""How a target is found in another frame while training without labels, and how wrong that is.

Places are (N, 2) x, y in pixels from the centre of a crop; responses are maps (N, h, w) of a
region around a place, whose centre is the centre of the map.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from tracker_core.siamfc.network import STRIDE, SiamFC, cross_correlate
from training import correlation_filter
from training.correlation_filter import cosine_window
from training.crops import EXEMPLAR_SIZE
from training.udt_settings import UDTSettings

#: Side of a square target in pixels of a crop: half of the exemplar region (SiamFC section 2.3).
TARGET_SIZE = EXEMPLAR_SIZE / 2
_UPSAMPLING = 8


class Region(NamedTuple):
    """What is looked at in one frame of every example."""

    crops: Tensor
    """uint8 (N, S, S, 3)."""
    center: Tensor
    """Place of the middle of the region that is searched, (N, 2), whole pixels."""


class Matching(Protocol):
    """One way to find the target of one region in another."""

    def respond(self, template: Region, target: Tensor, search: Region) -> Tensor:
        """Responses (N, h, w) in `search` to what is at the places `target` in `template`."""

    def labels(self, offsets: Tensor, size: int) -> Tensor:
        """Wanted responses (N, size, size) to targets at offsets (N, 2) from the centres."""

    def values(self, responses: Tensor) -> Tensor:
        """Responses on the scale of the labels."""

    def losses(self, responses: Tensor, labels: Tensor) -> Tensor:
        """Loss (N,) of every example."""


class CrossCorrelation:
    """As SiamFC tracks: the features of an exemplar are what is looked for."""

    def __init__(self, network: SiamFC, settings: UDTSettings) -> None:
        self.network, self.settings = network, settings

    def respond(self, template: Region, target: Tensor, search: Region) -> Tensor:
        """Logits; the exemplar is cut around the target."""
        exemplars = _features(self.network, cut(template.crops, target, EXEMPLAR_SIZE))
        searches = _features(
            self.network, cut(search.crops, search.center, self.settings.search_size)
        )
        return cross_correlate(exemplars, searches)[:, 0].float()

    def labels(self, offsets: Tensor, size: int) -> Tensor:
        """1 within `radius` of the target (|dx| + |dy|), else 0."""
        distance = _distances(offsets, size).abs().sum(-1)
        return (distance <= self.settings.radius).float()

    def values(self, responses: Tensor) -> Tensor:
        """Probabilities."""
        return responses.sigmoid()

    def losses(self, responses: Tensor, labels: Tensor) -> Tensor:
        """Logistic loss in which positives and negatives of an example weigh alike."""
        positive = labels.sum((1, 2), keepdim=True).clamp(min=1)
        negative = (1 - labels).sum((1, 2), keepdim=True).clamp(min=1)
        weights = torch.where(labels > 0, 0.5 / positive, 0.5 / negative)
        each = functional.binary_cross_entropy_with_logits(responses, labels, reduction='none')
        return (weights * each).sum((1, 2))


class FilterMatching:
    """As published: a correlation filter that is learnt on one region and applied to the other."""

    def __init__(self, network: SiamFC, settings: UDTSettings) -> None:
        self.network, self.settings = network, settings

    def respond(self, template: Region, target: Tensor, search: Region) -> Tensor:
        """Responses that are wanted to be the label at the target and zero elsewhere."""
        known, unknown = (self._describe(region) for region in (template, search))
        labels = self.labels(target - template.center, known.shape[-1])
        # Relative to the mean energy, as in the authors' MATLAB code.
        regularization = self.settings.regularization * known[0].numel()
        filters = correlation_filter.fit(known, labels, regularization)
        return correlation_filter.respond(filters, unknown)

    def _describe(self, region: Region) -> Tensor:
        """Windowed features of the region, of unit mean energy."""
        crops = cut(region.crops, region.center, self.settings.search_size)
        features = _features(self.network, crops).float()
        features = features / features.square().mean((1, 2, 3), keepdim=True).sqrt()
        return features * cosine_window(*features.shape[-2:]).to(features)

    def labels(self, offsets: Tensor, size: int) -> Tensor:
        """Gaussians at the targets."""
        squares = _distances(offsets, size).square().sum(-1)
        sigma = self.settings.label_sigma * TARGET_SIZE
        return torch.exp(-0.5 * squares / sigma**2)

    def values(self, responses: Tensor) -> Tensor:
        """Responses as they are."""
        return responses

    def losses(self, responses: Tensor, labels: Tensor) -> Tensor:
        """Squared error summed over the map."""
        return (responses - labels).square().sum((1, 2))


MATCHINGS: dict[str, type[CrossCorrelation] | type[FilterMatching]] = {
    'correlation': CrossCorrelation,
    'filter': FilterMatching,
}


def find_peaks(responses: Tensor) -> Tensor:
    """Offsets (N, 2) x, y in pixels of the largest responses (N, h, w) from the centre."""
    grown = functional.interpolate(
        responses[:, None], scale_factor=_UPSAMPLING, mode='bicubic', align_corners=False
    )[:, 0]
    height, width = grown.shape[-2:]
    best = grown.flatten(1).argmax(1)
    cells = torch.stack([best % width - (width - 1) / 2, best // width - (height - 1) / 2], 1)
    return cells * STRIDE / _UPSAMPLING


def cut(crops: Tensor, places: Tensor, size: int) -> Tensor:
    """Squares (N, size, size, 3) around places (N, 2) of crops (N, S, S, 3), shifted inside."""
    room = crops.shape[1] - size
    corners = (places + room / 2).round().long().clamp(0, room)
    line = torch.arange(size, device=crops.device)
    columns, rows = (corners[:, axis, None] + line for axis in (0, 1))
    number = torch.arange(len(crops), device=crops.device)
    return crops[number[:, None, None], rows[:, :, None], columns[:, None, :]]


def _features(network: SiamFC, images: Tensor) -> Tensor:
    return network.features(images.permute(0, 3, 1, 2).float())


def _distances(offsets: Tensor, size: int) -> Tensor:
    """Pixels x, y (N, size, size, 2) from offsets (N, 2) to the cells of a map."""
    line = (torch.arange(size, device=offsets.device) - (size - 1) / 2) * STRIDE
    rows, columns = torch.meshgrid(line, line, indexing='ij')
    return torch.stack([columns, rows], -1) - offsets[:, None, None]
