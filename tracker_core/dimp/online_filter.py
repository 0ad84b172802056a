"""The filter of one target: predicted from the first frame, then improved on what was tracked."""

from __future__ import annotations

from torch import Tensor

from tracker_core.classifier import Classifier
from tracker_core.dimp.settings import DiMPSettings
from tracker_core.sample_memory import SampleMemory
from tracker_core.target_filter import correlate


class OnlineFilter:
    """A filter (1, C, 4, 4) in float32 and the memory of samples that it is learned on."""

    def __init__(
        self, classifier: Classifier, settings: DiMPSettings, features: Tensor, boxes_ltwh: Tensor
    ) -> None:
        """Learn from the first frame: features (n, C, h, w) and boxes (n, 4) in patch pixels."""
        self.classifier, self.settings = classifier, settings
        self.memory = SampleMemory(
            features, boxes_ltwh, settings.memory_size, settings.first_frame_minimum
        )
        self.filters = self._predict(features, boxes_ltwh)

    def score(self, features: Tensor) -> Tensor:
        """Apply to features (1, C, h, w): the score map (h + 1, w + 1) in float32."""
        scores = correlate(features[:, None], self.filters)[0, 0]
        if self.settings.score_softmax:
            scores = scores.flatten().softmax(0).view_as(scores)
        return scores

    def learn(
        self, features: Tensor, box_ltwh: Tensor, frame: int, *, hard_negative: bool
    ) -> None:
        """Take over one tracked frame, the first is 1: features (1, C, h, w) and box (4,).

        A hard negative counts more and is learned from at once, other frames at intervals.
        """
        settings = self.settings
        if settings.update == 'none':
            return
        rate = settings.hard_negative_learning_rate if hard_negative else settings.learning_rate
        if settings.update == 'average':
            new = self._predict(features, box_ltwh[None])
            self.filters = (1 - rate) * self.filters + rate * new
            return
        self.memory.insert(features, box_ltwh, rate)
        if hard_negative:
            self._improve(settings.hard_negative_iterations)
        elif frame % settings.update_interval == 0:
            self._improve(settings.update_iterations)

    def _predict(self, features: Tensor, boxes_ltwh: Tensor) -> Tensor:
        """Filter from samples of equal weight (sections 3.1 and 3.3)."""
        samples, boxes = features[:, None], boxes_ltwh[:, None]
        start = self.classifier.filter_initializer(samples, boxes).float()
        return self._optimize(start, samples, boxes, self.settings.first_iterations, None)

    def _improve(self, iterations: int) -> None:
        memory = self.memory
        self.filters = self._optimize(
            self.filters,
            memory.features[:, None],
            memory.boxes_ltwh[:, None],
            iterations,
            memory.weights[:, None],
        )

    def _optimize(
        self,
        filters: Tensor,
        samples: Tensor,
        boxes_ltwh: Tensor,
        iterations: int,
        weights: Tensor | None,
    ) -> Tensor:
        plain = self.settings.optimizer == 'gradient_descent'
        step = self.settings.gradient_step if plain else None
        optimizer = self.classifier.filter_optimizer
        improved: Tensor = optimizer(
            filters, samples, boxes_ltwh, iterations, weights, step_length=step
        ).filters
        return improved
