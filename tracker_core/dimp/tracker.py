"""Online DiMP: learn a filter on the first frame, find, refine and learn on (paper section 4.2).

The DiMP family is the same procedure with other settings; it follows the published code where that
differs from the paper. Positions are (x, y) where integer coordinates are pixel centres.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tracker_core.augmentation import (
    Augmentation,
    AugmentationPlan,
    UniformDraws,
    draw_augmentations,
    drop_channels,
    expanded_size,
)
from tracker_core.box import Box
from tracker_core.box_candidates import jitter_box, mean_of_best
from tracker_core.box_refinement import refine_boxes_nearby
from tracker_core.confidence import StateJudge, logistic
from tracker_core.dimp.network import STRIDE, DiMP
from tracker_core.dimp.online_filter import OnlineFilter
from tracker_core.dimp.settings import DiMPSettings
from tracker_core.inference import choose_dtype, prepare
from tracker_core.iou_net import Pair
from tracker_core.overlap_predictor import OverlapPredictor
from tracker_core.recovery import Recovery
from tracker_core.resnet import normalize
from tracker_core.score_map import (
    DistractorThresholds,
    Flag,
    Map,
    Peak,
    hann_window,
    judge_peaks,
)
from tracker_core.search_region import Patch, Pixels, box_in_patch, sample_patch
from tracker_core.target_filter import FILTER_SIZE
from tracker_core.tracker import (
    MIN_SIDE,
    Estimate,
    Image,
    TrackState,
    check_box,
    check_image,
)
from tracker_core.transfer import upload

#: (x, y), or (width, height).
Point = tuple[float, float]
#: Share of the target that stays inside the image, as published.
_INSIDE = 0.2
#: Longest side of a target relative to the image; only implausible boxes are longer.
_LONGEST = 2.0


@dataclass(frozen=True)
class _View:
    """A search region, what the network makes of it, and the decision on it."""

    patch: Patch
    layers: Pair
    features: Tensor
    scores: Map
    peak: Peak
    flag: Flag


@dataclass
class _Target:
    """All that is known about the current target."""

    center: Point
    size: Point
    filter: OnlineFilter
    overlap: OverlapPredictor
    draws: UniformDraws
    judge: StateJudge
    recovery: Recovery
    frames: int = 0


class DiMPTracker:
    """Finds the target by an online filter and its box by the IoU network."""

    def __init__(
        self,
        network: DiMP,
        settings: DiMPSettings | None = None,
        device: torch.device | str = 'cpu',
        make_draws: Callable[[int], UniformDraws] = np.random.default_rng,
    ) -> None:
        """Prepare `network` for inference, in place.

        make_draws: gives the random numbers of a target, from the seed of the settings. Raises
        ValueError where the image size does not fit.
        """
        self.settings = settings or DiMPSettings()
        if self.settings.image_size % STRIDE:
            raise ValueError(
                f'image_size must be a multiple of {STRIDE}, not {self.settings.image_size}'
            )
        self.device = torch.device(device)
        self._dtype = choose_dtype(self.settings.precision, self.device)
        prepare(network, self.device, self._dtype)
        network.classifier.filter_optimizer.float()
        self.network = network
        self._make_draws = make_draws
        self._thresholds = _thresholds(self.settings)
        self._target: _Target | None = None
        self._scores: Map | None = None
        self._flag: Flag | None = None

    @property
    def response_map(self) -> Map | None:
        """Scores of the last tracked frame, one per 16 px of the search region, no window."""
        return self._scores

    @property
    def flag(self) -> Flag | None:
        """Published decision on the last tracked frame; None before that."""
        return self._flag

    @torch.inference_mode()
    def initialize(self, image: Image, box: Box) -> None:
        """Learn the target in `box` (see `Tracker.initialize`)."""
        check_image(image)
        check_box(box, image)
        settings = self.settings
        draws = self._make_draws(settings.seed)
        center = box.left + (box.width - 1) / 2, box.top + (box.height - 1) / 2
        size = box.width, box.height
        augmentations = draw_augmentations(_plan(settings), self._patch_size, draws)
        layers = self._backbone(self._first_patches(image, center, size, augmentations))
        features = self.network.classification_features(layers[1])
        samples, boxes = self._first_samples(center, size, augmentations, features, draws)
        first = layers[0][:1], layers[1][:1]
        modulation = self.network.bb_regressor.modulation(*first, boxes[:1])
        self._target = _Target(
            center=center,
            size=size,
            filter=OnlineFilter(self.network.classifier, settings, samples, boxes),
            overlap=OverlapPredictor(self.network.bb_regressor, modulation),
            draws=draws,
            judge=StateJudge(
                settings.tracking_threshold, settings.lost_threshold, settings.lost_after
            ),
            recovery=Recovery(center, size),
        )
        self._scores = self._flag = None

    @torch.inference_mode()
    def track(self, image: Image) -> Estimate:
        """Find the target in the next image (see `Tracker.track`)."""
        check_image(image)
        if self._target is None:
            raise RuntimeError('track() before initialize(): call initialize(image, box) first')
        target = self._target
        target.frames += 1
        view = self._look(target, image)
        if recovering := target.judge.astray and self.settings.recovery_regions > 0:
            view = self._search(target, image, view)
        if view.flag is not Flag.NOT_FOUND:
            self._move(target, view, image)
            self._refine(target, view, image)
        doubtful = recovering and self._confidence(view) < target.judge.learning_threshold
        if view.flag in (Flag.NORMAL, Flag.HARD_NEGATIVE) and not doubtful:
            self._learn(target, view)
        self._scores, self._flag = view.scores, view.flag
        return self._estimate(target, view)

    @property
    def _patch_size(self) -> tuple[int, int]:
        return self.settings.image_size, self.settings.image_size

    def _scale(self, size: Point) -> float:
        """Image pixels per patch pixel of the search region of a target."""
        side = math.sqrt(size[0] * size[1]) * self.settings.search_factor
        return max(side, self.settings.min_region) / self.settings.image_size

    def _backbone(self, pixels: Pixels) -> Pair:
        """Features of search regions (N, H, W, 3), values 0..255, at strides 8 and 16."""
        images = upload(pixels, self.device).permute(0, 3, 1, 2)
        layers = self.network.backbone(normalize(images).to(self._dtype))
        return layers['layer2'], layers['layer3']

    def _classify(self, target: _Target, layer3: Tensor) -> tuple[Tensor, Map]:
        """Features that tell targets apart, and the scores of this target's filter.

        What follows depends on the scores, so that a GPU must be waited for here.
        """
        features = self.network.classification_features(layer3)
        return features, target.filter.score(features).cpu().numpy()

    def _first_patches(
        self, image: Image, center: Point, size: Point, augmentations: list[Augmentation]
    ) -> Pixels:
        """Search region of the first frame and its augmented copies (N, H, W, 3)."""
        output = self._patch_size
        expanded = expanded_size(output, self.settings.expansion)
        scale = self._scale(size)
        region = scale * expanded[0], scale * expanded[1]
        patch = sample_patch(image, _rounded(center), region, expanded)
        return np.stack([augment(patch.pixels, output) for augment in augmentations])

    def _first_samples(
        self,
        center: Point,
        size: Point,
        augmentations: list[Augmentation],
        features: Tensor,
        draws: UniformDraws,
    ) -> tuple[Tensor, Tensor]:
        """Features (n, C, h, w) and boxes (n, 4) to learn the first filter on, with dropout."""
        settings = self.settings
        rounded = _rounded(center)
        offset = center[0] - rounded[0], center[1] - rounded[1]
        box = _tensor(box_in_patch(offset, size, self._scale(size), self._patch_size))
        shifts = torch.tensor([(*each.shift, 0, 0) for each in augmentations])
        boxes = upload(box + shifts, self.device)
        if settings.dropout_copies:
            copies = drop_channels(features[:1], settings.dropout_copies, settings.dropout, draws)
            features = torch.cat([features, copies])
            boxes = torch.cat([boxes, boxes[:1].expand(settings.dropout_copies, 4)])
        return features, boxes

    def _look(self, target: _Target, image: Image) -> _View:
        """Search around the target's place."""
        patch = self._cut(target, image)
        layers = self._backbone(patch.pixels[None])
        features, scores = self._classify(target, layers[1])
        return _View(patch, layers, features, scores, *self._localize(target, patch, scores))

    def _search(self, target: _Target, image: Image, view: _View) -> _View:
        """Search for a lost target elsewhere too; `view` is that around its place.

        The target moves on as published in that one, and to another only where it is surely seen.
        """
        settings, recovery = self.settings, target.recovery
        size = recovery.size

        def look(center: Point) -> _View:
            return self._look(replace(target, center=center, size=size), image)

        side, extent = self._scale(size) * settings.image_size, image.shape[1::-1]
        searched, regions = (target.center, target.size), settings.recovery_regions
        best, place = recovery.search(look, view, regions, side, extent, searched)
        if best.flag is Flag.NOT_FOUND or self._confidence(best) < settings.recovery_confidence:
            return view
        if place is not None:
            target.center, target.size = place, size
        return best

    def _cut(self, target: _Target, image: Image) -> Patch:
        """Search region, centred so that the target would be in the middle of the scores."""
        settings = self.settings
        cells = settings.image_size // STRIDE
        side = self._scale(target.size) * settings.image_size
        shift = (cells + FILTER_SIZE) % 2 * side / (2 * cells)
        center = target.center[0] + shift, target.center[1] + shift
        change = None if settings.border_mode == 'replicate' else settings.max_scale_change
        return sample_patch(
            image, center, (side, side), self._patch_size, settings.border_mode, change
        )

    def _localize(self, target: _Target, patch: Patch, scores: Map) -> tuple[Peak, Flag]:
        """Peak that is the target, and how sure that is."""
        cell = patch.scale * STRIDE
        windowed = scores * hann_window(len(scores)) if self.settings.window else scores
        return judge_peaks(
            windowed,
            self._thresholds,
            (target.size[0] / cell, target.size[1] / cell),
            (
                (target.center[0] - patch.center[0]) / cell,
                (target.center[1] - patch.center[1]) / cell,
            ),
            scores,
            self.settings.prefer_near and not target.judge.astray,
        )

    def _place(self, view: _View) -> Point:
        """Where the peak is in the image."""
        x, y = (
            at + view.patch.scale * STRIDE * offset
            for at, offset in zip(view.patch.center, view.peak.offset, strict=True)
        )
        return x, y

    def _move(self, target: _Target, view: _View, image: Image) -> None:
        """Put the centre on the peak; a part of the target stays inside the image."""
        x, y = (
            min(max(at, -slack), extent + slack)
            for at, slack, extent in zip(
                self._place(view),
                ((0.5 - _INSIDE) * side for side in target.size),
                image.shape[1::-1],
                strict=True,
            )
        )
        target.center = x, y

    def _refine(self, target: _Target, view: _View, image: Image) -> None:
        """Replace centre and size by the mean of the best refined boxes (section 4.2, ATOM)."""
        settings, patch = self.settings, view.patch
        if not settings.refinement_steps:
            return
        box = _tensor(patch.to_patch(target.center, target.size))
        draws = torch.from_numpy(target.draws.random((settings.random_boxes, 4)))
        boxes = jitter_box(box, draws, settings.position_jitter, settings.size_jitter)
        refined, overlaps = refine_boxes_nearby(
            self.network.bb_regressor,
            target.overlap,
            view.layers,
            upload(boxes, self.device)[None],
            steps=settings.refinement_steps,
            step_length=settings.refinement_step_length,
            space=settings.refinement_space,
            replay=settings.replay,
        )
        # The second and last time that a GPU is waited for: the box is the result of the frame.
        best = mean_of_best(
            refined[0], overlaps[0], settings.averaged_boxes, settings.max_aspect_ratio
        ).tolist()
        if not math.isnan(sum(best)):
            target.center, size = patch.to_image(best)
            width, height = (
                min(max(side, MIN_SIDE), _LONGEST * extent)
                for side, extent in zip(size, image.shape[1::-1], strict=True)
            )
            target.size = width, height

    def _learn(self, target: _Target, view: _View) -> None:
        box = upload(_tensor(view.patch.to_patch(target.center, target.size)), self.device)
        hard_negative = view.flag is Flag.HARD_NEGATIVE
        target.filter.learn(view.features, box, target.frames, hard_negative=hard_negative)

    def _confidence(self, view: _View) -> float:
        settings, peak = self.settings, float(view.scores.max())
        return logistic(peak, settings.confidence_offset, settings.confidence_slope)

    def _estimate(self, target: _Target, view: _View) -> Estimate:
        confidence, flag = self._confidence(view), view.flag
        state = target.judge.judge(
            confidence, found=flag is not Flag.NOT_FOUND, certain=flag is not Flag.UNCERTAIN
        )
        if state is TrackState.TRACKING:
            target.recovery.trust(target.center, target.size)
        (x, y), (width, height) = target.center, target.size
        box = Box(x - (width - 1) / 2, y - (height - 1) / 2, width, height)
        return Estimate(box, confidence, state)


def _plan(settings: DiMPSettings) -> AugmentationPlan:
    return AugmentationPlan(
        relative_shifts=settings.relative_shifts,
        flip=settings.flip,
        blurs=settings.blurs,
        rotations=settings.rotations,
        random_shift=settings.random_shift,
    )


def _thresholds(settings: DiMPSettings) -> DistractorThresholds:
    return DistractorThresholds(
        not_found=settings.not_found,
        distractor=settings.distractor_threshold,
        hard_negative=settings.hard_negative_threshold,
        neighborhood=settings.neighborhood,
        displacement=settings.displacement,
    )


def _rounded(center: Point) -> Point:
    """Whole pixels, halves to even: where the first frame is cut."""
    return float(round(center[0])), float(round(center[1]))


def _tensor(box_ltwh: tuple[float, float, float, float]) -> Tensor:
    """Box (4,) in float32, whatever PyTorch's default is."""
    return torch.tensor(box_ltwh, dtype=torch.float32)
