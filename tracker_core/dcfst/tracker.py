"""Online DCFST: ridge regression over a grid of proposals, then IoU-Net (paper section 3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker_core.augmentation import (
    AugmentationPlan,
    UniformDraws,
    draw_augmentations,
    expanded_size,
)
from tracker_core.box import Box
from tracker_core.box_candidates import jitter_box, mean_of_best
from tracker_core.confidence import StateJudge, logistic
from tracker_core.dcfst import grid
from tracker_core.dcfst.model import OnlineModel
from tracker_core.dcfst.network import DCFST, normalize_columns
from tracker_core.dcfst.settings import DCFSTSettings
from tracker_core.inference import choose_dtype, prepare
from tracker_core.iou_net import OverlapPredictor, Pair, refine_boxes_nearby
from tracker_core.resnet import normalize
from tracker_core.search_region import Pixels, box_in_patch, sample_patch
from tracker_core.tracker import Estimate, Image, check_box, check_image

_SIZE = (grid.IMAGE_SIZE, grid.IMAGE_SIZE)
#: Middle of the network's input where integer coordinates are pixel centres.
_MIDDLE = (grid.IMAGE_SIZE - 1) / 2


@dataclass(frozen=True)
class _Place:
    """Where the target is: centre with integer coordinates at pixel centres, and size, pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def scale(self) -> float:
        """Image pixels per pixel of the search region."""
        return grid.SEARCH_FACTOR * math.sqrt(self.width * self.height) / grid.IMAGE_SIZE

    @property
    def size_in_region(self) -> tuple[float, float]:
        """Width and height in pixels of the search region: their product is always 57.6^2."""
        return self.width / self.scale, self.height / self.scale


@dataclass
class _Target:
    """All that is known about the current target."""

    place: _Place
    size_limits: tuple[tuple[float, float], tuple[float, float]]
    """Smallest and largest (width, height)."""
    model: OnlineModel
    overlap: OverlapPredictor
    draws: UniformDraws
    judge: StateJudge
    frame: int = 1
    frames_skipped: int = 0
    """Since the last one that was added to the model."""


class _RoundedPredictor(OverlapPredictor):
    """Rounds its gradient to two decimals, for the published results to be repeatable."""

    def __call__(self, embedding: Pair, boxes_ltwh: Tensor) -> tuple[Tensor, Tensor]:
        predictions, gradient = super().__call__(embedding, boxes_ltwh)
        return predictions, gradient.round(decimals=2)


class DCFSTTracker:
    """Finds the target among 961 proposals, refines its box and learns from the result."""

    def __init__(
        self,
        network: DCFST,
        settings: DCFSTSettings | None = None,
        device: torch.device | str = 'cpu',
        make_draws: Callable[[int], UniformDraws] = np.random.default_rng,
    ) -> None:
        """Prepare `network` for inference, in place.

        make_draws: gives the random numbers of a target, from the seed of the settings.
        """
        self.settings = settings or DCFSTSettings()
        self.device = torch.device(device)
        self._dtype = choose_dtype(self.settings.precision, self.device)
        prepare(network, self.device, self._dtype)
        network.location_predictor.freeze()
        self.network = network
        self._make_draws = make_draws
        self._target: _Target | None = None
        self._response: NDArray[np.float32] | None = None
        sampled_by_default = self.settings.search == 'auto' and self.device.type == 'cpu'
        self._sampled = self.settings.search == 'sampled' or sampled_by_default
        self._centers = grid.centers(self.device)
        distances = (self._centers - grid.IMAGE_SIZE / 2).norm(dim=1, keepdim=True)
        target_side = grid.IMAGE_SIZE / grid.SEARCH_FACTOR
        self._labels = _gaussian(distances, grid.LABEL_SIGMA * target_side)
        window = _gaussian(distances, self.settings.window_sigma * target_side)
        self._window = window.clamp(min=self.settings.window_minimum)

    @property
    def response_map(self) -> NDArray[np.float32] | None:
        """Scores (31, 31) of the proposals in the last frame, without window."""
        return self._response

    @torch.inference_mode()
    def initialize(self, image: Image, box: Box) -> None:
        """Learn the model from augmented copies of the first frame (see `Tracker.initialize`)."""
        check_image(image)
        check_box(box, image)
        x, y = box.left + (box.width - 1) / 2, box.top + (box.height - 1) / 2
        place = _Place(x, y, box.width, box.height)
        draws = self._make_draws(self.settings.seed)
        layers = [self._layers(patch) for patch in self._first_patches(image, place, draws)]
        model = OnlineModel(
            [self._samples(each, place) for each in layers],
            self._labels,
            average=self.settings.average,
            regularization=self.settings.regularization,
            minimum=self.settings.first_frame_minimum,
        )
        region_box = self._region_box(place, replace(place, x=round(x), y=round(y)))
        modulation = self.network.bb_regressor.modulation(*layers[0], region_box[None])
        overlap = _RoundedPredictor(self.network.bb_regressor, modulation)
        limits = _size_limits(box.width, box.height, image)
        self._target = _Target(place, limits, model, overlap, draws, self._new_judge())
        self._response = None

    @torch.inference_mode()
    def track(self, image: Image) -> Estimate:
        """Find the target in the next image (see `Tracker.track`)."""
        check_image(image)
        if self._target is None:
            raise RuntimeError('track() before initialize(): call initialize(image, box) first')
        target, region = self._target, self._target.place
        target.frame += 1
        layers = self._layers(_cut(image, region))
        scores = self._score(target.model, layers, region)
        self._response = scores.view(grid.SIDE, grid.SIDE).cpu().numpy()
        best = int((scores * self._window).argmax())
        found = bool((scores * self._window)[best] >= self.settings.not_found)
        if found:
            place = self._refine(target, layers, _move(region, best), region)
            target.place = _limit(place, target.size_limits, image)
        self._learn(target, image, found, self._is_distracted(scores, best))
        return self._estimate(target, image, float(scores[best]), found)

    def _first_patches(self, image: Image, place: _Place, draws: UniformDraws) -> list[Pixels]:
        """First search region and its augmented copies, each float32 (288, 288, 3)."""
        settings = self.settings
        plan = AugmentationPlan(
            flip=settings.flip,
            blurs=settings.blurs,
            rotations=settings.rotations,
            random_shift=0.0,
        )
        size = expanded_size(_SIZE, settings.expansion)
        side = place.scale * size[0]
        expanded = sample_patch(image, (place.x, place.y), (side, side), size).pixels
        return [augment(expanded, _SIZE) for augment in draw_augmentations(plan, _SIZE, draws)]

    def _layers(self, pixels: Pixels) -> Pair:
        """Backbone features of a search region, float32 (288, 288, 3)."""
        batch = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1)[None]
        return self.network.backbone(normalize(batch).to(self._dtype))

    def _samples(self, layers: Pair, place: _Place) -> Tensor:
        """Features (961, 1024) of the proposals of the size of `place`."""
        predictor = self.network.location_predictor
        samples = predictor.describe_grid(predictor.embed(*layers), self._sizes(place))
        return normalize_columns(samples.float())[0]

    def _score(self, model: OnlineModel, layers: Pair, place: _Place) -> Tensor:
        """Predicted labels (961, 1) of the proposals of the size of `place`."""
        if not self._sampled:
            return model.predict(self._samples(layers, place))
        predictor, sizes = self.network.location_predictor, self._sizes(place)
        embedding = predictor.embed(*layers)
        samples = predictor.describe_grid(embedding, sizes, step=2)[0].float()
        squares = (samples.square() * grid.shares(2, self.device)).sum(0)
        weights = model.weights * squares.clamp(min=1e-30).rsqrt()[:, None]
        return predictor.score_grid(embedding, sizes, weights)[0]

    def _sizes(self, place: _Place) -> Tensor:
        return torch.tensor([place.size_in_region], device=self.device)

    def _region_box(self, place: _Place, region: _Place) -> Tensor:
        """Box (4,) of a target in the search region around `region`, as the IoU-Net takes it."""
        offset, size = (place.x - region.x, place.y - region.y), (place.width, place.height)
        box = box_in_patch(offset, size, region.scale, _SIZE)
        return torch.tensor(box, device=self.device)

    def _refine(self, target: _Target, layers: Pair, place: _Place, region: _Place) -> _Place:
        """Gradient ascent on the overlap that the IoU-Net predicts, from random boxes."""
        settings = self.settings
        if not settings.refinement_steps:
            return place
        draws = torch.from_numpy(target.draws.random((settings.random_boxes, 4)))
        boxes = jitter_box(
            self._region_box(place, region), draws, settings.position_jitter, settings.size_jitter
        )
        boxes, overlaps = refine_boxes_nearby(
            self.network.bb_regressor,
            target.overlap,
            layers,
            boxes[None],
            steps=settings.refinement_steps,
            step_length=settings.refinement_step_length,
        )
        best = mean_of_best(
            boxes[0], overlaps[0], settings.averaged_boxes, settings.max_aspect_ratio
        )
        if best is None:
            return place
        left, top, width, height = best.tolist()
        old = settings.scale_damping
        return _Place(
            # Half a pixel further right and down than `_region_box` says, as published.
            region.x + (left + width / 2 - _MIDDLE) * region.scale,
            region.y + (top + height / 2 - _MIDDLE) * region.scale,
            old * place.width + (1 - old) * width * region.scale,
            old * place.height + (1 - old) * height * region.scale,
        )

    def _learn(self, target: _Target, image: Image, found: bool, suspicious: bool) -> None:
        """Add the target at its new place to the model; refit on schedule or for distractors."""
        settings = self.settings
        if settings.update == 'none' or not (found or settings.refit_when_not_found):
            return
        target.frames_skipped += 1
        distractor = False
        if found and (suspicious or target.frames_skipped >= settings.update_interval):
            samples = self._samples(self._layers(_cut(image, target.place)), target.place)
            distractor = self._is_distracted(target.model.predict(samples), grid.MIDDLE)
            rate = 1 - (1 - settings.learning_rate) ** target.frames_skipped
            target.model.add(samples, settings.hard_negative_learning_rate if distractor else rate)
            target.frames_skipped = 0
        if distractor or target.frame % settings.refit_interval == 0:
            target.model.refit(settings.sweeps)

    def _is_distracted(self, scores: Tensor, proposal: int) -> bool:
        """Whether something far from a proposal scores high."""
        distances = (self._centers - self._centers[proposal]).norm(dim=1, keepdim=True)
        away = distances > self.settings.hard_negative_distance
        highest, peak = (scores * away).max(), scores.max()
        if not self.settings.hard_negative_relative:
            return bool(highest > self.settings.hard_negative_threshold)
        threshold = self.settings.hard_negative_threshold * peak
        return bool((highest > threshold) & (highest > self.settings.not_found))

    def _estimate(self, target: _Target, image: Image, score: float, found: bool) -> Estimate:
        settings = self.settings
        confidence = logistic(score, settings.confidence_offset, settings.confidence_slope)
        state = target.judge.judge(confidence, found=found)
        return Estimate(self._box(target.place, image), confidence, state)

    def _new_judge(self) -> StateJudge:
        settings = self.settings
        return StateJudge(
            settings.tracking_threshold, settings.lost_threshold, settings.lost_after
        )

    def _box(self, place: _Place, image: Image) -> Box:
        width, height = place.width, place.height
        if self.settings.output == 'centred':
            return Box(place.x - (width - 1) / 2, place.y - (height - 1) / 2, width, height)
        left, top = max(place.x - width / 2, 0.0), max(place.y - height / 2, 0.0)
        return Box(left, top, min(width, image.shape[1]), min(height, image.shape[0]))


def _gaussian(distances: Tensor, sigma: float) -> Tensor:
    return (-0.5 * (distances / sigma).square()).exp()


def _cut(image: Image, place: _Place) -> Pixels:
    """Search region around a place, float32 (288, 288, 3)."""
    side = place.scale * grid.IMAGE_SIZE
    return sample_patch(image, (place.x, place.y), (side, side), _SIZE).pixels


def _move(place: _Place, proposal: int) -> _Place:
    """Put a place onto the centre of a proposal of the search region around it."""
    x, y = grid.centers()[proposal].tolist()
    middle = grid.IMAGE_SIZE / 2
    return replace(
        place, x=place.x + (x - middle) * place.scale, y=place.y + (y - middle) * place.scale
    )


def _size_limits(
    width: float, height: float, image: Image
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Smallest and largest size of a target: 10 px along the shorter side, the image."""
    low = max(10 / width, 10 / height)
    high = min(image.shape[1] / width, image.shape[0] / height)
    return (low * width, low * height), (high * width, high * height)


def _limit(
    place: _Place, limits: tuple[tuple[float, float], tuple[float, float]], image: Image
) -> _Place:
    """Keep the size within its limits and, unlike published, the centre in the image."""
    (low_width, low_height), (high_width, high_height) = limits
    return _Place(
        x=max(min(place.x, image.shape[1] - 1), 0),
        y=max(min(place.y, image.shape[0] - 1), 0),
        width=max(min(place.width, high_width), low_width),
        height=max(min(place.height, high_height), low_height),
    )
