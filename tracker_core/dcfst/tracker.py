"""Online DCFST: ridge regression over a grid of proposals, then the IoU-Net."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
from tracker_core.box_refinement import refine_boxes_nearby
from tracker_core.confidence import StateJudge, logistic
from tracker_core.dcfst.grid import LABEL_SIGMA, SEARCH_FACTOR, Grid, gaussian
from tracker_core.dcfst.model import OnlineModel, PendingFrames
from tracker_core.dcfst.network import DCFST, column_norms, normalize_columns
from tracker_core.dcfst.place import Place, Region, Size, limit, size_limits
from tracker_core.dcfst.settings import DCFSTSettings
from tracker_core.inference import choose_dtype, prepare
from tracker_core.iou_net import Pair
from tracker_core.overlap_predictor import OverlapPredictor
from tracker_core.recovery import Recovery
from tracker_core.resnet import normalize
from tracker_core.search_region import Pixels, box_in_patch, sample_patch
from tracker_core.tracker import Estimate, Image, TrackState, check_box, check_image
from tracker_core.transfer import upload


@dataclass(frozen=True)
class _View:
    """A search region, what the network makes of it, and the proposal that may be the target."""

    region: Region
    layers: Pair
    norms: Tensor
    """Of the features (1, 1024)."""
    predicted: Tensor
    """Labels (961, 1) of the proposals."""
    best: int
    """Proposal with the highest label after the window."""
    windowed: float
    """That label."""

    @property
    def scores(self) -> NDArray[np.float32]:
        """Labels (31, 31) of the proposals."""
        side = math.isqrt(len(self.predicted))
        return np.asarray(self.predicted.view(side, side), np.float32)

    @property
    def score(self) -> float:
        """Label of the best proposal, without the window."""
        return float(self.predicted[self.best])


@dataclass
class _Target:
    """All that is known about the current target."""

    place: Place
    size_limits: tuple[Size, Size]
    """Smallest and largest (width, height)."""
    model: OnlineModel
    overlap: OverlapPredictor
    draws: UniformDraws
    judge: StateJudge
    recovery: Recovery
    norms: Tensor = field(default_factory=lambda: torch.ones(1, 1))
    """Of the features in the last search region: (1, 1024)."""
    pending: PendingFrames = field(default_factory=PendingFrames)
    frame: int = 1
    frames_skipped: int = 0
    """In which the target was found, since the last one that was added to the model."""


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

        make_draws: gives the random numbers of a target, from the seed of the settings. Raises
        ValueError for settings that do not fit together.
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
        if self.settings.proposals % 2 == 0:
            raise ValueError('proposals must be odd, so that one lies in the middle')
        self._grid = Grid(self.settings.proposals, self.settings.image_size)
        self._centers = self._grid.centers()
        self._sampled = self.settings.search == 'sampled' or (
            self.settings.search == 'auto' and self.device.type == 'cpu'
        )
        self._together = self._learns_together()
        distances = self._distances(self._grid.middle)
        target_side = self._grid.target_side
        self._labels = gaussian(distances, LABEL_SIGMA * target_side).to(self.device)
        window = gaussian(distances, self.settings.window_sigma * target_side)
        self._window = window.clamp(min=self.settings.window_minimum)

    @property
    def response_map(self) -> NDArray[np.float32] | None:
        """Scores of the proposals (31, 31) in the last frame, without window."""
        return self._response

    @torch.inference_mode()
    def initialize(self, image: Image, box: Box) -> None:
        """Learn the model from augmented copies of the first frame (see `Tracker.initialize`)."""
        check_image(image)
        check_box(box, image)
        x, y = box.left + (box.width - 1) / 2, box.top + (box.height - 1) / 2
        place = Place(x, y, box.width, box.height)
        draws = self._make_draws(self.settings.seed)
        region = self._region(place)
        layers = [self._layers(patch) for patch in self._first_patches(image, region, draws)]
        model = OnlineModel(
            [self._samples(each, region) for each in layers],
            self._labels,
            average=self.settings.average,
            regularization=self.settings.regularization,
            minimum=self.settings.first_frame_minimum,
        )
        whole_pixels = replace(region, place=replace(place, x=round(x), y=round(y)))
        region_box = self._region_box(place, whole_pixels)
        region_boxes = upload(region_box[None], self.device)
        modulation = self.network.bb_regressor.modulation(*layers[0], region_boxes)
        # Rounded for the published results to be repeatable.
        overlap = OverlapPredictor(self.network.bb_regressor, modulation, gradient_decimals=2)
        limits = size_limits(box.width, box.height, image)
        recovery = Recovery((x, y), (box.width, box.height))
        self._target = _Target(place, limits, model, overlap, draws, self._new_judge(), recovery)
        self._response = None

    @torch.inference_mode()
    def track(self, image: Image) -> Estimate:
        """Find the target in the next image (see `Tracker.track`)."""
        check_image(image)
        if self._target is None:
            raise RuntimeError('track() before initialize(): call initialize(image, box) first')
        target = self._target
        target.frame += 1
        view = self._look(target, image, target.place)
        if recovering := target.judge.astray and self.settings.recovery_regions > 0:
            view = self._recover(target, image, view)
        self._response, target.norms = view.scores, view.norms
        if found := view.windowed >= self.settings.not_found:
            target.place = limit(self._refine(target, view), target.size_limits, image)
        doubtful = recovering and self._confidence(view) < target.judge.learning_threshold
        if not doubtful:
            self._learn(target, image, found, self._is_distracted(view.predicted, view.best))
        return self._estimate(target, image, view, found)

    def _look(self, target: _Target, image: Image, place: Place) -> _View:
        """Search around a place."""
        region = self._region(place)
        layers = self._layers(self._cut(image, region))
        predicted, norms = self._search(target, layers, region)
        # What follows depends on the scores, so that a GPU must be waited for here.
        predicted = predicted.cpu()
        windowed = predicted * self._window
        best = int(windowed.argmax())
        return _View(region, layers, norms, predicted, best, float(windowed[best]))

    def _recover(self, target: _Target, image: Image, view: _View) -> _View:
        """Search for a lost target elsewhere too; `view` is that around its place.

        The target moves on as published in that one, and to another only where it is surely seen.
        """
        settings, recovery = self.settings, target.recovery

        def look(center: tuple[float, float]) -> _View:
            return self._look(target, image, Place(*center, *recovery.size))

        side, place = SEARCH_FACTOR * math.sqrt(math.prod(recovery.size)), target.place
        searched, extent = ((place.x, place.y), (place.width, place.height)), image.shape[1::-1]
        regions = settings.recovery_regions
        best, _ = recovery.search(look, view, regions, side, extent, searched)
        return best if self._confidence(best) >= settings.recovery_confidence else view

    def _region(self, place: Place) -> Region:
        side = SEARCH_FACTOR * math.sqrt(place.width * place.height)
        return Region(place, side / self.settings.image_size)

    def _cut(self, image: Image, region: Region) -> Pixels:
        """Search region, float32 (288, 288, 3)."""
        size, side = self.settings.image_size, region.scale * self.settings.image_size
        center = region.place.x, region.place.y
        return sample_patch(image, center, (side, side), (size, size)).pixels

    def _first_patches(self, image: Image, region: Region, draws: UniformDraws) -> list[Pixels]:
        """First search region and its augmented copies, each float32 (288, 288, 3)."""
        settings = self.settings
        plan = AugmentationPlan(
            flip=settings.flip,
            blurs=settings.blurs,
            rotations=settings.rotations,
            random_shift=0.0,
        )
        size = settings.image_size, settings.image_size
        larger = expanded_size(size, settings.expansion)
        side = region.scale * larger[0]
        center = region.place.x, region.place.y
        expanded = sample_patch(image, center, (side, side), larger).pixels
        return [augment(expanded, size) for augment in draw_augmentations(plan, size, draws)]

    def _layers(self, pixels: Pixels) -> Pair:
        """Backbone features of a search region, float32 (288, 288, 3)."""
        batch = upload(pixels, self.device).permute(2, 0, 1)[None]
        return self.network.backbone(normalize(batch).to(self._dtype))

    def _samples(self, layers: Pair, region: Region) -> Tensor:
        """Features (961, 1024) of the proposals of a region."""
        predictor = self.network.location_predictor
        embedding, sizes = predictor.embed(*layers), self._sizes(region)
        return normalize_columns(predictor.describe_grid(embedding, sizes, self._grid).float())[0]

    def _search(self, target: _Target, layers: Pair, region: Region) -> tuple[Tensor, Tensor]:
        """Predicted labels (961, 1) of the proposals of a region, and the norms (1, 1024)."""
        predictor, sizes = self.network.location_predictor, self._sizes(region)
        embedding = predictor.embed(*layers)
        if not self._sampled:
            samples = predictor.describe_grid(embedding, sizes, self._grid)[0].float()
            norms = column_norms(samples)
            return target.model.predict(samples / norms), norms
        samples = predictor.describe_grid(embedding, sizes, self._grid.thinned())[0].float()
        squares = (samples.square() * self._grid.shares_of_thinned(self.device)).sum(0)
        norms = squares.clamp(min=1e-30).sqrt()[None]
        return self._score(target, norms, embedding, region), norms

    def _score(self, target: _Target, norms: Tensor, embedding: Pair, region: Region) -> Tensor:
        """Predicted labels (961, 1) of the proposals of a region, normalised by `norms`."""
        weights = target.model.weights / norms.T
        predictor, sizes = self.network.location_predictor, self._sizes(region)
        return predictor.score_grid(embedding, sizes, self._grid, weights)[0]

    def _sizes(self, region: Region) -> Tensor:
        return upload(torch.tensor([region.target_size], dtype=torch.float32), self.device)

    def _moved(self, region: Region, proposal: int) -> Place:
        """Put the target onto the centre of a proposal."""
        x, y = ((self._centers[proposal] - self.settings.image_size / 2) * region.scale).tolist()
        return replace(region.place, x=region.place.x + x, y=region.place.y + y)

    def _region_box(self, place: Place, region: Region) -> Tensor:
        """Box (4,) of a target in a search region, as the IoU-Net takes it."""
        offset = place.x - region.place.x, place.y - region.place.y
        side = self.settings.image_size
        box = box_in_patch(offset, (place.width, place.height), region.scale, (side, side))
        return torch.tensor(box, dtype=torch.float32)

    def _refine(self, target: _Target, view: _View) -> Place:
        """Gradient ascent on the overlap that the IoU-Net predicts, from random boxes."""
        settings, region = self.settings, view.region
        place = self._moved(region, view.best)
        if not settings.refinement_steps:
            return place
        draws = torch.from_numpy(target.draws.random((settings.random_boxes, 4)))
        boxes = jitter_box(
            self._region_box(place, region), draws, settings.position_jitter, settings.size_jitter
        )
        boxes, overlaps = refine_boxes_nearby(
            self.network.bb_regressor,
            target.overlap,
            view.layers,
            upload(boxes, self.device)[None],
            steps=settings.refinement_steps,
            step_length=settings.refinement_step_length,
            replay=settings.replay,
        )
        left, top, width, height = mean_of_best(
            boxes[0], overlaps[0], settings.averaged_boxes, settings.max_aspect_ratio
        ).tolist()
        if math.isnan(left + top + width + height):
            return place
        old, middle = settings.scale_damping, (settings.image_size - 1) / 2
        return Place(
            # Half a pixel further right and down than `_region_box` says, as published.
            region.place.x + (left + width / 2 - middle) * region.scale,
            region.place.y + (top + height / 2 - middle) * region.scale,
            old * place.width + (1 - old) * width * region.scale,
            old * place.height + (1 - old) * height * region.scale,
        )

    def _learn(self, target: _Target, image: Image, found: bool, suspicious: bool) -> None:
        """Add the target at its new place to the model; refit on schedule or for distractors."""
        settings = self.settings
        if settings.update == 'none' or not (found or settings.refit_when_not_found):
            return
        target.frames_skipped += found
        distractor = False
        if found and (suspicious or target.frames_skipped >= settings.update_interval):
            distractor = self._add(target, image)
            target.frames_skipped = 0
        if distractor or target.frame % settings.refit_interval == 0:
            self._add_pending(target)
            target.model.refit(settings.sweeps)

    def _add(self, target: _Target, image: Image) -> bool:
        """Add the target at its new place to the model; returns whether there is a distractor."""
        settings, region = self.settings, self._region(target.place)
        layers = self._layers(self._cut(image, region))
        if self._together:
            embedding = self.network.location_predictor.embed(*layers)
            scores = self._score(target, target.norms, embedding, region)
        else:
            samples = self._samples(layers, region)
            scores = target.model.predict(samples)
        # Read back, as how and whether the model is learnt depends on it.
        distractor = self._is_distracted(scores.cpu(), self._grid.middle)
        rate = 1 - (1 - settings.learning_rate) ** target.frames_skipped
        rate = settings.hard_negative_learning_rate if distractor else rate
        if self._together:
            maps = (layer.float() for layer in embedding)
            target.pending.add((*maps, self._sizes(region), target.norms), rate)
        else:
            target.model.add(samples, rate)
        return distractor

    def _add_pending(self, target: _Target) -> None:
        """Add the frames to the model that wait for the features of their mean."""
        pending, target.pending = target.pending, PendingFrames()
        if not pending.rate:
            return
        layer2, layer3, sizes, norms = pending.parts
        embedding = layer2.to(self._dtype), layer3.to(self._dtype)
        predictor = self.network.location_predictor
        features = predictor.describe_grid(embedding, sizes, self._grid)[0].float()
        target.model.add(features / norms, pending.rate)

    def _learns_together(self) -> bool:
        linear = self.settings.average == 'features'
        if self.settings.learn == 'together' and not linear:
            raise ValueError("learn='together' needs average='features'")
        on_cpu = self.device.type == 'cpu'
        return self.settings.learn == 'together' or (
            self.settings.learn == 'auto' and linear and on_cpu
        )

    def _is_distracted(self, scores: Tensor, proposal: int) -> bool:
        """Whether something far from a proposal scores high."""
        limit = self.settings.hard_negative_distance * self._grid.target_side
        away = self._distances(proposal) > limit
        highest, peak = (scores * away).max(), scores.max()
        if not self.settings.hard_negative_relative:
            return bool(highest > self.settings.hard_negative_threshold)
        threshold = self.settings.hard_negative_threshold * peak
        return bool((highest > threshold) & (highest > self.settings.not_found))

    def _distances(self, proposal: int) -> Tensor:
        """Distances (961, 1) of the proposals' centres from that of one of them, in pixels."""
        offsets = self._centers - self._centers[proposal]
        distances: Tensor = torch.linalg.vector_norm(offsets, dim=1, keepdim=True)
        return distances

    def _confidence(self, view: _View) -> float:
        settings = self.settings
        return logistic(view.score, settings.confidence_offset, settings.confidence_slope)

    def _estimate(self, target: _Target, image: Image, view: _View, found: bool) -> Estimate:
        confidence, place = self._confidence(view), target.place
        state = target.judge.judge(confidence, found=found)
        if state is TrackState.TRACKING:
            target.recovery.trust((place.x, place.y), (place.width, place.height))
        return Estimate(self._box(place, image), confidence, state)

    def _new_judge(self) -> StateJudge:
        settings = self.settings
        return StateJudge(
            settings.tracking_threshold, settings.lost_threshold, settings.lost_after
        )

    def _box(self, place: Place, image: Image) -> Box:
        width, height = place.width, place.height
        if self.settings.output == 'centred':
            return Box(place.x - (width - 1) / 2, place.y - (height - 1) / 2, width, height)
        left, top = max(place.x - width / 2, 0.0), max(place.y - height / 2, 0.0)
        return Box(left, top, min(width, image.shape[1]), min(height, image.shape[0]))
