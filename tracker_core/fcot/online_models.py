"""The three models of one target and the frames that they are learnt on (paper section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tracker_core.classifier import Classifier
from tracker_core.fcot.network import FCOT, Pyramid, Regressor, SideMaps, fuse_scores
from tracker_core.fcot.settings import FCOTSettings
from tracker_core.fcot.side_regression import crop_to_centers, predict_sides
from tracker_core.sample_memory import SampleMemory
from tracker_core.target_filter import correlate
from tracker_core.transfer import upload


@dataclass(frozen=True, slots=True)
class Features:
    """What the network makes of N search regions; None where a part is left out."""

    coarse: Tensor | None
    """(N, C, h, w), of the classifier with 16 px per cell."""
    fine: Tensor | None
    """(N, 256, h, w), of the classifier with 4 px per cell."""
    sides: SideMaps
    """Of the regressor, which completes them in the cells that are looked at."""


class _OnlineClassifier:
    """A filter (1, C, 4, 4) in float32, that of the first frame, and the samples of both."""

    def __init__(
        self,
        classifier: Classifier,
        settings: FCOTSettings,
        latest_share: float,
        features: Tensor,
        boxes_ltwh: Tensor,
    ) -> None:
        self.optimizer, self.latest_share = classifier.filter_optimizer, latest_share
        self.memory = SampleMemory(
            features, boxes_ltwh, settings.memory_size, settings.first_frame_minimum
        )
        samples, boxes = features[:, None], boxes_ltwh[:, None]
        start = classifier.filter_initializer(samples, boxes).float()
        iterations = settings.first_iterations
        self.filters: Tensor = self.optimizer(start, samples, boxes, iterations).filters
        self.first = self.filters

    def score(self, features: Tensor) -> Tensor:
        """Apply the latest model, blended with the first (equation 6), to (1, C, h, w)."""
        share = self.latest_share
        # The authors' code blends the scores, which is the same: they are linear in the filter.
        return correlate(features[:, None], share * self.filters + (1 - share) * self.first)

    def improve(self, iterations: int) -> None:
        memory = self.memory
        self.filters = self.optimizer(
            self.filters,
            memory.features[:, None],
            memory.boxes_ltwh[:, None],
            iterations,
            memory.weights[:, None],
        ).filters


def _classifier(
    classifier: Classifier,
    settings: FCOTSettings,
    latest_share: float,
    features: Tensor | None,
    boxes_ltwh: Tensor,
) -> _OnlineClassifier | None:
    if features is None:
        return None
    return _OnlineClassifier(classifier, settings, latest_share, features, boxes_ltwh)


class _OnlineRegressor:
    """A filter (1, 4, C, 3, 3) in float32, the initialiser's, and the samples it is learned on.

    Without online regression there are no samples.
    """

    def __init__(
        self,
        regressor: Regressor,
        settings: FCOTSettings,
        start: Tensor,
        maps: SideMaps,
        boxes_ltwh: Tensor,
    ) -> None:
        self.regressor = regressor
        self.latest_share = settings.side_latest
        self.memory: SampleMemory | None = None
        if settings.online_regression:
            samples = self._samples(maps, boxes_ltwh)
            self.memory = SampleMemory(
                *samples, settings.memory_size, settings.first_frame_minimum
            )
        self.filters = self.first = start.float()
        self.improve(settings.first_side_iterations)

    def _samples(self, maps: SideMaps, boxes_ltwh: Tensor) -> tuple[Tensor, Tensor]:
        """Features and boxes (n, 4) to learn from: what the steps look at of the whole map."""
        if self.regressor.filter_optimizer.as_released:
            return self.regressor.features(maps), boxes_ltwh
        rows, columns, boxes = crop_to_centers(boxes_ltwh, maps.shape)
        return self.regressor.around(maps, rows, columns), boxes

    def predict(self, maps: SideMaps, cell: tuple[int, int]) -> Tensor:
        """Distances (4,) from one cell (row, column) of one image to the sides."""
        row, column = upload(torch.tensor(cell), self.filters.device)[:, None]
        around = self.regressor.around(maps, row, column)[:, None]
        latest, first = (
            predict_sides(around, filters)[0, 0, :, 1, 1] for filters in (self.filters, self.first)
        )
        return self.latest_share * latest + (1 - self.latest_share) * first

    def insert(self, maps: SideMaps, box_ltwh: Tensor, rate: float) -> None:
        if self.memory is not None:
            features, boxes = self._samples(maps, box_ltwh[None])
            self.memory.insert(features, boxes[0], rate)

    def improve(self, iterations: int) -> None:
        memory = self.memory
        if memory is None or iterations == 0:
            return
        # As published, all samples weigh the same here.
        self.filters = self.regressor.filter_optimizer(
            self.filters, memory.features[:, None], memory.boxes_ltwh[:, None], iterations
        ).filters


@dataclass
class _Sample:
    """A tracked frame that may be learned from."""

    features: Features
    box_ltwh: Tensor
    score: float


class OnlineModels:
    """Two classifiers and a regressor that are learned on the same frames."""

    def __init__(
        self,
        network: FCOT,
        settings: FCOTSettings,
        features: Features,
        pyramid: Pyramid,
        boxes_ltwh: Tensor,
    ) -> None:
        """Learn from the first frame and its augmented copies.

        features: of all n samples; pyramid: of the first alone; boxes_ltwh: (n, 4) in pixels of
        the patches.
        """
        self.settings = settings
        self.coarse = _classifier(
            network.classifier_18, settings, settings.coarse_latest, features.coarse, boxes_ltwh
        )
        self.fine = _classifier(
            network.classifier_72, settings, settings.fine_latest, features.fine, boxes_ltwh
        )
        start = network.regressor_72.initialize(pyramid, boxes_ltwh[:1])
        self.sides = _OnlineRegressor(
            network.regressor_72, settings, start, features.sides, boxes_ltwh
        )
        self._best: _Sample | None = None

    def score(self, features: Features, size: int) -> Tensor:
        """Weighted sum (size, size) of the scores of both classifiers, in float32.

        One alone counts fully, whatever its weight.
        """
        coarse = fine = None
        if self.coarse is not None and features.coarse is not None:
            coarse = self.coarse.score(features.coarse)
        if self.fine is not None and features.fine is not None:
            fine = self.fine.score(features.fine)
        weights = self.settings.coarse_weight, self.settings.fine_weight
        if 0 in weights:
            weights = (1.0, 1.0)
        return fuse_scores(coarse, fine, weights, size)[0, 0]

    def predict_sides(self, features: Features, cell: tuple[int, int]) -> list[float]:
        """Distances in cells from one cell (row, column) to left, right, top and bottom."""
        return self.sides.predict(features.sides, cell).tolist()

    def learn(
        self,
        features: Features,
        box_ltwh: Tensor,
        score: float,
        frame: int,
        *,
        hard_negative: bool,
    ) -> None:
        """Take over one tracked frame, or the best one since the last time.

        score: of its peak; frame: its number, from 1. Hard negatives and the first frames are
        learned from at once.
        """
        settings, sample = self.settings, _Sample(features, box_ltwh, score)
        if hard_negative:
            self._insert(sample, settings.hard_negative_learning_rate)
            self._improve(
                settings.hard_negative_iterations, settings.hard_negative_side_iterations
            )
        elif frame <= settings.every_frame_until:
            self._insert(sample, settings.learning_rate)
            self._improve(settings.early_iterations, settings.early_side_iterations)
        else:
            if self._best is None or score >= self._best.score:
                self._best = sample
            if frame % settings.update_interval == 0:
                self._insert(self._best, settings.learning_rate)
                self._improve(settings.update_iterations, settings.update_side_iterations)
                self._best = None

    def _insert(self, sample: _Sample, rate: float) -> None:
        models = (self.coarse, sample.features.coarse), (self.fine, sample.features.fine)
        for model, features in models:
            if model is not None and features is not None:
                model.memory.insert(features, sample.box_ltwh, rate)
        self.sides.insert(sample.features.sides, sample.box_ltwh, rate)

    def _improve(self, iterations: int, side_iterations: int) -> None:
        for classifier in (self.coarse, self.fine):
            if classifier is not None:
                classifier.improve(iterations)
        self.sides.improve(side_iterations)
