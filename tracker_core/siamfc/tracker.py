"""Online SiamFC: one exemplar, several scales, one batch per frame (paper sections 2 and 4.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker_core.box import Box
from tracker_core.confidence import StateJudge, logistic
from tracker_core.inference import Precision, choose_dtype, prepare
from tracker_core.recovery import Point, Recovery
from tracker_core.search_region import crop_square
from tracker_core.settings import Count, Natural, NonNegative, Positive, Range, Share, check_ranges
from tracker_core.siamfc.network import STRIDE, SiamFC, cross_correlate
from tracker_core.tracker import Estimate, Image, TrackState, check_box, check_image
from tracker_core.transfer import upload

Map = NDArray[np.float32]


@dataclass(frozen=True)
class SiamFCSettings:
    """Published values of the three-scale tracker; sizes in pixels.

    The search for a lost target is not published: `recovery_regions=0` is without it.
    """

    exemplar_size: Annotated[int, Range(87)] = 127
    search_size: Count = 255
    context: NonNegative = 0.5
    """Margin around the target as a share of width + height."""
    scales: Count = 3
    scale_step: Positive = 1.0375
    scale_damping: Share = 0.59
    """Share of the newly found scale that is taken over per frame."""
    scale_penalty: NonNegative = 0.9745
    """Factor on the responses of all scales but the central one."""
    scale_limits: tuple[Positive, Positive] = (0.2, 5.0)
    """Smallest and largest target size relative to the first frame (authors' released code)."""
    window_influence: Share = 0.176
    upsampling: Count = 16
    """Response cells are divided by this before the peak is looked for: 17 x 17 -> 272 x 272."""
    confidence_offset: float = 0.5
    confidence_slope: NonNegative = 8.0
    """Confidence = sigmoid(slope * (response peak / first-frame peak - offset))."""
    tracking_threshold: float = 0.5
    """Confidence from which the state is TRACKING."""
    lost_threshold: float = 0.2
    """Confidence below which the state becomes LOST ..."""
    lost_after: Count = 3
    """... if it stays there for this many frames; until then the state is UNCERTAIN."""
    recovery_regions: Natural = 2
    """Regions elsewhere that are searched per frame from LOST until TRACKING; 0: as published."""
    recovery_confidence: float = 0.5
    """Confidence from which a lost target is found again in such a region."""
    precision: Precision = 'auto'
    """Of the network; 'auto' is bfloat16 on CPUs that compute in it, else float32."""

    def __post_init__(self) -> None:
        """Refuse values out of range with a ValueError."""
        check_ranges(self)
        if self.search_size < self.exemplar_size:
            raise ValueError(
                f'search_size must be at least exemplar_size, {self.exemplar_size}, '
                f'not {self.search_size}'
            )


#: Five scales (paper section 4.1.2); penalty and window are not given there.
FIVE_SCALES = SiamFCSettings(scales=5, scale_step=1.025, scale_damping=0.35)


@dataclass
class _Target:
    """All that is known about the current target; positions are (x, y) pixel centres."""

    exemplar: Tensor
    fill: NDArray[np.float64]
    x: float
    y: float
    width: float
    height: float
    scale: float
    largest_scale: float
    first_peak: float
    judge: StateJudge
    recovery: Recovery

    @property
    def size(self) -> Point:
        """Width and height now."""
        return self.width * self.scale, self.height * self.scale


@dataclass(frozen=True)
class _View:
    """What is seen of a search region at the best scale."""

    scores: Map
    """Up-sampled logits, without window."""
    factor: float
    """The scale, relative to that of the target."""


class SiamFCTracker:
    """Finds the exemplar of the first frame again; never updates it."""

    def __init__(
        self,
        network: SiamFC,
        settings: SiamFCSettings | None = None,
        device: torch.device | str = 'cpu',
    ) -> None:
        self.settings = settings or SiamFCSettings()
        self.device = torch.device(device)
        self._dtype = choose_dtype(self.settings.precision, self.device)
        prepare(network, self.device, self._dtype)
        self.network = network
        self._target: _Target | None = None
        self._response: Map | None = None
        self._factors = self.settings.scale_step ** _centred(self.settings.scales)
        self._window: Map | None = None

    @property
    def response_map(self) -> Map | None:
        """Up-sampled logits of the best scale in the last frame, without window (272 x 272)."""
        return self._response

    @torch.inference_mode()
    def initialize(self, image: Image, box: Box) -> None:
        """Take the exemplar from `box` (see `Tracker.initialize`)."""
        check_image(image)
        check_box(box, image)
        x, y = box.left + (box.width - 1) / 2, box.top + (box.height - 1) / 2
        fill = image.mean(axis=(0, 1), dtype=np.float64)
        side = self._exemplar_side(box.width, box.height)
        crop = crop_square(image, (x, y), side, self.settings.exemplar_size, fill)
        ratio = max(image.shape[1] / box.width, image.shape[0] / box.height)
        target = _Target(
            exemplar=self._features([crop]),
            fill=fill,
            x=x,
            y=y,
            width=box.width,
            height=box.height,
            scale=1.0,
            largest_scale=min(self.settings.scale_limits[1], ratio),
            first_peak=1.0,
            judge=self._new_judge(),
            recovery=Recovery((x, y), (box.width, box.height)),
        )
        target.first_peak = float(self._respond(target, image, self._factors).max())
        self._target, self._response = target, None

    @torch.inference_mode()
    def track(self, image: Image) -> Estimate:
        """Find the target in the next image (see `Tracker.track`)."""
        check_image(image)
        if self._target is None:
            raise RuntimeError('track() before initialize(): call initialize(image, box) first')
        target = self._target
        view = self._look(target, image, self._factors)
        if target.judge.astray and self.settings.recovery_regions > 0:
            view = self._search(target, image, view)
        self._move(target, self._peak_offset(view.scores), view.factor)
        self._response = view.scores
        return self._estimate(target, view)

    def _exemplar_side(self, width: float, height: float) -> float:
        """Side of the exemplar region: target and context as a square (paper section 2.3)."""
        margin = self.settings.context * (width + height)
        return math.sqrt((width + margin) * (height + margin))

    def _search_side(self, target: _Target) -> float:
        side = self._exemplar_side(target.width, target.height) * target.scale
        return side * self.settings.search_size / self.settings.exemplar_size

    def _features(self, crops: list[Image]) -> Tensor:
        """Embed uint8 (S, S, 3) crops as (N, 256, h, w)."""
        batch = upload(np.stack(crops), self.device)
        return self.network.features(batch.permute(0, 3, 1, 2).to(self._dtype))

    def _look(self, target: _Target, image: Image, factors: NDArray[np.float64]) -> _View:
        """Search the region around the target at some scales."""
        responses = self._upsample(self._respond(target, image, factors))
        best = self._best_scale(responses)
        return _View(responses[best], float(factors[best]))

    def _search(self, target: _Target, image: Image, view: _View) -> _View:
        """Search for a lost target elsewhere too; `view` is that around its place.

        The target moves on as published in that one, and to another only where it is surely seen.
        """
        settings, recovery = self.settings, target.recovery
        scale = math.sqrt(math.prod(recovery.size) / (target.width * target.height))

        def there(center: Point) -> _Target:
            return replace(target, x=center[0], y=center[1], scale=scale)

        def look(center: Point) -> _View:
            return self._look(there(center), image, np.ones(1))

        # Targets can be found in the middle of a region only, where the exemplar has room.
        seen = len(view.scores) / settings.upsampling * STRIDE / settings.search_size
        side, extent = seen * self._search_side(there((0, 0))), (image.shape[1], image.shape[0])
        searched, regions = ((target.x, target.y), target.size), settings.recovery_regions
        best, place = recovery.search(look, view, regions, side, extent, searched)
        if place is None or self._confidence(target, best) < settings.recovery_confidence:
            return view
        (target.x, target.y), target.scale = place, scale
        return best

    def _respond(self, target: _Target, image: Image, factors: NDArray[np.float64]) -> Map:
        """Logits (scales, 17, 17) of the exemplar over the search region at every scale."""
        side = self._search_side(target)
        size = self.settings.search_size
        crops = [
            crop_square(image, (target.x, target.y), side * factor, size, target.fill)
            for factor in factors
        ]
        responses = cross_correlate(target.exemplar, self._features(crops))
        return responses[:, 0].float().cpu().numpy()

    def _upsample(self, responses: Map) -> Map:
        """Bicubic up-sampling of (N, h, w) to (N, 16 h, 16 w)."""
        size = tuple(self.settings.upsampling * side for side in responses.shape[:0:-1])
        return np.stack([cv2.resize(r, size, interpolation=cv2.INTER_CUBIC) for r in responses])

    def _best_scale(self, responses: Map) -> int:
        """Index of the scale with the highest response after the penalty on change."""
        peaks = responses.max(axis=(1, 2))
        penalty = np.full(len(peaks), self.settings.scale_penalty)
        penalty[len(peaks) // 2] = 1.0
        return int(np.argmax(peaks * penalty))

    def _peak_offset(self, response: Map) -> tuple[float, float]:
        """Displacement (dx, dy) of the windowed peak from the centre, in search-crop pixels."""
        if self._window is None or self._window.shape != response.shape:
            self._window = _hann_window(response.shape[0])
        shifted = response - response.min()
        influence = self.settings.window_influence
        score = (1 - influence) * shifted / (shifted.sum() + 1e-16) + influence * self._window
        row, column = np.unravel_index(np.argmax(score), score.shape)
        centre = (response.shape[0] - 1) / 2
        cell = STRIDE / self.settings.upsampling
        return float(column - centre) * cell, float(row - centre) * cell

    def _move(self, target: _Target, offset: tuple[float, float], factor: float) -> None:
        """Take over the displacement and, damped, the scale."""
        pixel = self._search_side(target) * factor / self.settings.search_size
        target.x += offset[0] * pixel
        target.y += offset[1] * pixel
        damping = self.settings.scale_damping
        scale = target.scale * ((1 - damping) + damping * factor)
        target.scale = min(max(scale, self.settings.scale_limits[0]), target.largest_scale)

    def _new_judge(self) -> StateJudge:
        settings = self.settings
        return StateJudge(
            settings.tracking_threshold, settings.lost_threshold, settings.lost_after
        )

    def _confidence(self, target: _Target, view: _View) -> float:
        relative = float(view.scores.max()) / target.first_peak
        return logistic(relative, self.settings.confidence_offset, self.settings.confidence_slope)

    def _estimate(self, target: _Target, view: _View) -> Estimate:
        confidence = self._confidence(target, view)
        state = target.judge.judge(confidence)
        width, height = target.size
        if state is TrackState.TRACKING:
            target.recovery.trust((target.x, target.y), target.size)
        box = Box(target.x - (width - 1) / 2, target.y - (height - 1) / 2, width, height)
        return Estimate(box, confidence, state)


def _centred(count: int) -> NDArray[np.float64]:
    """-(n // 2) ... n // 2."""
    return np.linspace(-(count // 2), count // 2, count)


def _hann_window(size: int) -> Map:
    """Outer product of two Hann windows whose ends are zero, summing to one."""
    line = np.hanning(size)
    window = np.outer(line, line)
    normalised: Map = (window / window.sum()).astype(np.float32)
    return normalised
