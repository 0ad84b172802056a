"""Online FCOT: learn three models on the first frame, find, measure and learn on.

Cui et al. 2020, section 3.3; follows the published code where that differs from the paper.
Positions are (x, y) where integer coordinates are pixel centres.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from tracker_core.augmentation import (
    Augmentation,
    AugmentationPlan,
    UniformDraws,
    draw_augmentations,
    expanded_size,
)
from tracker_core.box import Box
from tracker_core.confidence import StateJudge, logistic
from tracker_core.fcot.network import FCOT, Pyramid
from tracker_core.fcot.online_models import Features, OnlineModels
from tracker_core.fcot.settings import FCOTSettings
from tracker_core.fcot.side_regression import STRIDE
from tracker_core.inference import choose_dtype, prepare
from tracker_core.recovery import Recovery
from tracker_core.resnet import STRIDES, normalize
from tracker_core.score_map import (
    DistractorThresholds,
    Flag,
    Map,
    Peak,
    hann_window,
    judge_peaks,
)
from tracker_core.search_region import Patch, Pixels, box_in_patch, sample_patch
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
#: Shortest side, in pixels, that the search region is meant for: it does not shrink further.
_SHORTEST = 10.0
#: Height of the published window, whose square is its peak, and cells beyond its end.
_WINDOW_AMPLITUDE, _WINDOW_EXCESS = 0.2, 2


@dataclass(frozen=True)
class _View:
    """A search region, what the network makes of it, and the decision on it."""

    patch: Patch
    features: Features
    scores: Map
    peak: Peak
    flag: Flag


@dataclass
class _Target:
    """All that is known about the current target."""

    center: Point
    size: Point
    peak: Point
    """Where it was found, the next search region's centre; not the centre of its box."""
    scale: float
    """Image pixels per pixel of the search region, kept within `scale_limits`."""
    scale_limits: tuple[float, float]
    unit_size: Point
    """Size of the first box in pixels of the search region."""
    models: OnlineModels
    judge: StateJudge
    recovery: Recovery
    frames: int = 0

    def scale_of(self, size: Point) -> float:
        """Scale at which a target of this size is looked at."""
        unit = self.unit_size
        scale = math.sqrt(size[0] * size[1] / (unit[0] * unit[1]))
        return max(self.scale_limits[0], min(scale, self.scale_limits[1]))

    @property
    def box(self) -> Box:
        """Where the target is believed to be."""
        return _box(self.center, self.size)


class FCOTTracker:
    """Finds the target by two online classifiers and its sides by an online regression."""

    def __init__(
        self,
        network: FCOT,
        settings: FCOTSettings | None = None,
        device: torch.device | str = 'cpu',
        make_draws: Callable[[int], UniformDraws] = np.random.default_rng,
    ) -> None:
        """Prepare `network` for inference, in place.

        make_draws: gives the random numbers of a target, from the seed of the settings. Raises
        ValueError where the settings leave out both classifiers or the image size does not fit.
        """
        self.settings = settings or FCOTSettings()
        if not self.settings.coarse_weight and not self.settings.fine_weight:
            raise ValueError('coarse_weight and fine_weight are both 0: nothing would be tracked')
        if self.settings.image_size % STRIDES['layer3']:
            raise ValueError(
                f'image_size must be a multiple of {STRIDES["layer3"]}, '
                f'not {self.settings.image_size}'
            )
        self.device = torch.device(device)
        self._dtype = choose_dtype(self.settings.precision, self.device)
        prepare(network, self.device, self._dtype)
        network.set_norm_scale(self.settings.norm_scale_coef)
        network.regressor_72.levels = self.settings.regression_levels
        self.network = network
        self._make_draws = make_draws
        self._thresholds = _thresholds(self.settings)
        self._cells = self.settings.image_size // STRIDE
        self._window = hann_window(self._cells, _WINDOW_AMPLITUDE, self._cells + _WINDOW_EXCESS)
        self._target: _Target | None = None
        self._scores: Map | None = None
        self._flag: Flag | None = None

    @property
    def response_map(self) -> Map | None:
        """Fused scores of the last tracked frame, one per 4 px of the search region, no window."""
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
        center = box.left + (box.width - 1) / 2, box.top + (box.height - 1) / 2
        size = box.width, box.height
        least = settings.min_region / settings.image_size
        scale = math.sqrt(size[0] * size[1]) * settings.search_factor / settings.image_size
        scale = max(scale, least)
        models = self._learn_first(image, center, size, scale)
        smallest = max(scale * max(_SHORTEST / side for side in size), least)
        largest = scale * min(
            extent / side for extent, side in zip(image.shape[1::-1], size, strict=True)
        )
        judge = StateJudge(
            settings.tracking_threshold, settings.lost_threshold, settings.lost_after
        )
        self._target = _Target(
            center=center,
            size=size,
            peak=center,
            scale=scale,
            scale_limits=(smallest, largest),
            unit_size=(size[0] / scale, size[1] / scale),
            models=models,
            judge=judge,
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
        view = near = self._look(target, image)
        if recovering := target.judge.astray and self.settings.recovery_regions > 0:
            view = self._search(target, image, near)
        at, found = self._measure(target, view, image)
        # A target that is found again elsewhere has left its last box.
        flag = self._doubt(target, found, view.flag) if view is near else view.flag
        if flag is not Flag.NOT_FOUND:
            self._move(target, at, found)
        doubtful = recovering and self._confidence(view) < target.judge.learning_threshold
        if flag in (Flag.NORMAL, Flag.HARD_NEGATIVE) and not doubtful:
            self._learn(target, view, flag)
        self._scores, self._flag = view.scores, flag
        return self._estimate(target, view, flag)

    @property
    def _patch_size(self) -> tuple[int, int]:
        return self.settings.image_size, self.settings.image_size

    def _embed(self, pixels: Pixels) -> tuple[Features, Pyramid]:
        """Features of search regions (N, H, W, 3), values 0..255."""
        network, settings = self.network, self.settings
        images = upload(pixels, self.device).permute(0, 3, 1, 2)
        layers = network.backbone(normalize(images).to(self._dtype))
        pyramid = network.decode(layers)
        features = Features(
            coarse=network.coarse_features(layers) if settings.coarse_weight else None,
            fine=network.fine_features(pyramid) if settings.fine_weight else None,
            sides=network.regressor_72.maps(pyramid),
        )
        return features, pyramid

    def _learn_first(self, image: Image, center: Point, size: Point, scale: float) -> OnlineModels:
        """Models of the first frame, learned on augmented copies of its search region."""
        settings, output = self.settings, self._patch_size
        augmentations = draw_augmentations(
            _plan(settings), output, self._make_draws(settings.seed)
        )
        rounded = float(round(center[0])), float(round(center[1]))
        pixels = self._first_patches(image, rounded, scale, augmentations)
        features, pyramid = self._embed(pixels)
        offset = center[0] - rounded[0], center[1] - rounded[1]
        box = torch.tensor(box_in_patch(offset, size, scale, output), dtype=torch.float32)
        shifts = torch.tensor([(*each.shift, 0, 0) for each in augmentations])
        boxes = upload(box + shifts, self.device)
        identity = Pyramid(*(level[:1] for level in pyramid))
        return OnlineModels(self.network, settings, features, identity, boxes)

    def _first_patches(
        self, image: Image, center: Point, scale: float, augmentations: list[Augmentation]
    ) -> Pixels:
        """Search region of the first frame and its augmented copies (N, H, W, 3)."""
        output = self._patch_size
        expanded = expanded_size(output, self.settings.expansion)
        region = scale * expanded[0], scale * expanded[1]
        patch = sample_patch(image, center, region, expanded)
        return np.stack([augment(patch.pixels, output) for augment in augmentations])

    def _look(self, target: _Target, image: Image) -> _View:
        """Search around the target's place."""
        patch = self._cut(target, image)
        features = self._embed(patch.pixels[None])[0]
        scores = target.models.score(features, self._cells).cpu().numpy()
        return _View(patch, features, scores, *self._localize(target, patch, scores))

    def _search(self, target: _Target, image: Image, view: _View) -> _View:
        """Search for a lost target elsewhere too; `view` is that around its place.

        The target moves on as published in that one, and to another only where it is surely seen.
        """
        settings, recovery = self.settings, target.recovery
        size, scale = recovery.size, target.scale_of(recovery.size)

        def look(center: Point) -> _View:
            there = replace(target, center=center, size=size, peak=center, scale=scale)
            return self._look(there, image)

        side, extent = scale * settings.image_size, image.shape[1::-1]
        searched, regions = (target.peak, target.size), settings.recovery_regions
        best, place = recovery.search(look, view, regions, side, extent, searched)
        if best.flag is Flag.NOT_FOUND or self._confidence(best) < settings.recovery_confidence:
            return view
        if place is not None:
            target.center, target.size, target.scale = place, size, scale
        return best

    def _cut(self, target: _Target, image: Image) -> Patch:
        """Search region around where the target was found last."""
        side = target.scale * self.settings.image_size
        return sample_patch(image, target.peak, (side, side), self._patch_size)

    def _localize(self, target: _Target, patch: Patch, scores: Map) -> tuple[Peak, Flag]:
        """Peak that is the target, and how sure that is."""
        cell = patch.scale * STRIDE
        return judge_peaks(
            scores * self._window if self.settings.window else scores,
            self._thresholds,
            (target.size[0] / cell, target.size[1] / cell),
            unwindowed=scores,
            prefer_near=self.settings.prefer_near and not target.judge.astray,
        )

    def _measure(
        self, target: _Target, view: _View, image: Image
    ) -> tuple[Point, tuple[float, float, float, float]]:
        """Position of the peak in the image, and (left, top, right, bottom) around it."""
        patch, peak = view.patch, view.peak
        cell = patch.scale * STRIDE
        x = patch.center[0] + cell * peak.offset[0]
        y = patch.center[1] + cell * peak.offset[1]
        sides = target.models.predict_sides(view.features, (peak.row, peak.column))
        left, right, top, bottom = (cell * side for side in sides)
        limit = float(max(image.shape[:2]))
        found = [min(max(at, 1.0), limit) for at in (x - left, y - top, x + right, y + bottom)]
        return (x, y), (found[0], found[1], found[2], found[3])

    def _doubt(
        self, target: _Target, found: tuple[float, float, float, float], flag: Flag
    ) -> Flag:
        """Lower the flag of a box that hardly overlaps with the last one."""
        limit = self.settings.min_overlap
        if not limit or flag is Flag.NOT_FOUND:
            return flag
        if _box(*_center_and_size(found)).iou(target.box) >= limit:
            return flag
        return Flag.UNCERTAIN if flag is Flag.NORMAL else Flag.NOT_FOUND

    def _move(
        self, target: _Target, peak: Point, found: tuple[float, float, float, float]
    ) -> None:
        """Take over peak and box; the search region follows the box within its limits."""
        target.peak = peak
        target.center, size = _center_and_size(found)
        target.size = max(size[0], MIN_SIDE), max(size[1], MIN_SIDE)
        target.scale = target.scale_of(target.size)

    def _learn(self, target: _Target, view: _View, flag: Flag) -> None:
        corners = view.patch.to_patch(target.center, target.size)
        box = upload(torch.tensor(corners, dtype=torch.float32), self.device)
        target.models.learn(
            view.features,
            box,
            view.peak.score,
            target.frames,
            hard_negative=flag is Flag.HARD_NEGATIVE,
        )

    def _confidence(self, view: _View) -> float:
        settings, peak = self.settings, float(view.scores.max())
        return logistic(peak, settings.confidence_offset, settings.confidence_slope)

    def _estimate(self, target: _Target, view: _View, flag: Flag) -> Estimate:
        confidence = self._confidence(view)
        state = target.judge.judge(
            confidence, found=flag is not Flag.NOT_FOUND, certain=flag is not Flag.UNCERTAIN
        )
        if state is TrackState.TRACKING:
            target.recovery.trust(target.peak, target.size)
        return Estimate(target.box, confidence, state)


def _box(center: Point, size: Point) -> Box:
    (x, y), (width, height) = center, size
    return Box(x - (width - 1) / 2, y - (height - 1) / 2, width, height)


def _center_and_size(corners: tuple[float, float, float, float]) -> tuple[Point, Point]:
    left, top, right, bottom = corners
    return ((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top)


def _plan(settings: FCOTSettings) -> AugmentationPlan:
    return AugmentationPlan(
        relative_shifts=settings.relative_shifts,
        flip=settings.flip,
        blurs=settings.blurs,
        rotations=settings.rotations,
        random_shift=settings.random_shift,
    )


def _thresholds(settings: FCOTSettings) -> DistractorThresholds:
    return DistractorThresholds(
        not_found=settings.not_found,
        distractor=settings.distractor_threshold,
        hard_negative=settings.hard_negative_threshold,
        neighborhood=settings.neighborhood,
        displacement=settings.displacement,
    )
