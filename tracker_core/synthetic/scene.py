"""Scenes of a target that moves in front of a moving camera, rendered with exact truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.box import Box
from tracker_core.synthetic.layout import (
    Events,
    bends_of,
    distractor_places,
    ground_and_camera,
    hand_shake,
    target_places,
)
from tracker_core.synthetic.motion import similarity
from tracker_core.synthetic.moving import Moving
from tracker_core.synthetic.objects import painted_object
from tracker_core.synthetic.occlusion import Occluder, passing_post
from tracker_core.synthetic.optics import Optics, streak
from tracker_core.synthetic.settings import SceneSettings
from tracker_core.synthetic.sprite import Image, Patch, Sprite, darken, paste, seen_through

Matrix = NDArray[np.float64]

#: Offset to the right (twice as much downwards) and blur of shadows, in sizes of what is drawn.
SHADOW_OFFSET = 0.05
SHADOW_SPREAD = 0.06


@dataclass(frozen=True, slots=True)
class SyntheticFrame:
    """One image of a scene and where the target really is.

    `box` is the tight box of the target's whole outline in the middle of the exposure, whether
    or not something is in front of it and also where it reaches beyond the image. `visible` is
    the fraction (0..1) of the target's area that is inside the image and not covered.
    """

    image: Image
    box: Box
    visible: float


def render_sequence(
    settings: SceneSettings,
    seed: int,
    *,
    target: Image | None = None,
    distractors: Sequence[Image] | None = None,
    background: Image | None = None,
) -> Iterator[SyntheticFrame]:
    """Render a whole scene frame by frame; see `Scene` for the arguments."""
    scene = Scene(settings, seed, target=target, distractors=distractors, background=background)
    return (scene.render(index) for index in range(len(scene)))


class Scene:
    """A scene of which any frame can be rendered, in any order; the same seed, the same bytes.

    Its layout, for other renderers: `ground` and `camera` (N, 3, 3), `target`, `others`
    (distractors, drawn in this order and before the target), `occluders` (in front of
    everything) and `optics`.
    """

    def __init__(
        self,
        settings: SceneSettings,
        seed: int,
        *,
        target: Image | None = None,
        distractors: Sequence[Image] | None = None,
        background: Image | None = None,
    ) -> None:
        """Lay out the scene.

        `target` and `distractors` are RGBA cut-outs (h, w, 4) uint8, not premultiplied, and
        `background` an RGB image (h, w, 3) of any size; what is None is drawn procedurally
        (distractors: as look-alikes of the target). Raises ValueError for a transparent cut-out
        and for a sequence too short for its events.
        """
        # A stream of random numbers for each part: one part given does not change the others.
        *streams, bending = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(9))
        parts = iter(streams)
        self.settings = settings
        painted = painted_object(next(parts)) if target is None else target
        self.ground, self.camera = ground_and_camera(next(parts), settings, background)
        events = Events.plan(next(parts), settings)
        sprite = Sprite(painted)
        bends = bends_of(bending, settings, sprite)
        places = target_places(next(parts), settings, sprite, bends, events)
        self.target = Moving(sprite, places, bends)
        self.others = distractor_places(
            next(parts), bending, settings, self.target, painted, distractors
        )
        self.occluders = self._place_occluders(next(parts), events, background)
        self._shake(hand_shake(next(parts), settings))
        self._bounds = self.target.bounds()
        self.optics = Optics(next(parts), settings)

    def __len__(self) -> int:
        return self.settings.frames

    def render(self, index: int, *, with_target: bool = True) -> SyntheticFrame:
        """Render frame `index` (0 to len - 1), if wanted without the target and its shadow."""
        self._check(index)
        image = self._draw_ground(index)
        for other in self.others:
            self._draw(image, other, index)
        drawn = self._draw(image, self.target, index) if with_target else None
        occluding = self._occluding(index, self._corners)
        for patch in occluding:
            paste(image, patch)
        finished = self.optics.apply(image, index)
        return SyntheticFrame(finished, self.box(index), self._visible(index, occluding, drawn))

    def box(self, index: int) -> Box:
        """Box of the target in frame `index`, as in `SyntheticFrame`, without rendering it."""
        self._check(index)
        left, top, right, bottom = self._bounds[index].tolist()
        return Box(left, top, right - left, bottom - top)

    def visible(self, index: int) -> float:
        """Visible fraction of the target in frame `index`, as in `SyntheticFrame`."""
        self._check(index)
        return self._visible(index, self._occluding(index, self.target.rims[index]))

    def _visible(self, index: int, occluding: list[Patch], drawn: Patch | None = None) -> float:
        width, height = self.settings.size
        rim = self.target.rims[index]
        if not occluding and (rim >= 0).all() and (rim <= (width, height)).all():
            return 1.0
        opacity = np.zeros((height, width), np.uint8)
        for above in occluding:
            rows, columns = above.alpha.shape
            part = opacity[above.top : above.top + rows, above.left : above.left + columns]
            np.maximum(part, above.alpha, out=part)
        patch = drawn or self.target.warp(index)
        total = float(patch.alpha.sum(dtype=np.float64)) / 255
        return min(seen_through(patch, opacity) / total, 1.0) if total > 0 else 0.0

    def movement(self, places: Matrix) -> Matrix:
        """Movements (N, 2), x and y in pixels, of an object during each exposure."""
        path = np.concatenate([places[:1], places, places[-1:]])[:, :2, 2]
        return np.asarray((path[2:] - path[:-2]) / 2 * self.settings.shutter)

    def _shake(self, shake: Matrix) -> None:
        """Move everything in each frame in the same way."""
        self.camera = shake @ self.camera
        self.target = self.target.moved(shake)
        self.others = [other.moved(shake) for other in self.others]
        self.occluders = [replace(o, matrices=shake @ o.matrices) for o in self.occluders]

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f'the scene has frames 0 to {len(self) - 1}, not {index}')

    def _draw_ground(self, index: int) -> Image:
        # OpenCV counts from the middle of the first pixel, the camera from its corner.
        corner = similarity(0.5, 0.5)
        to_frame = np.linalg.inv(corner) @ self.camera[index] @ corner
        image = cv2.warpAffine(
            self.ground,
            to_frame[:2],
            self.settings.size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return image.astype(np.uint8, copy=False)

    def _draw(self, image: Image, drawn: Moving, index: int) -> Patch:
        """Draw one object with its shadow and motion blur; return it without them."""
        motion = self.movement(drawn.places[max(index - 1, 0) : index + 2])[min(index, 1)]
        reach = int(np.ceil(np.abs(motion).max() / 2)) + 1
        patch = drawn.warp(index, margin=reach)
        diameter = max(patch.rgba.shape)
        if self.settings.shadow > 0:
            offset = round(SHADOW_OFFSET * diameter)
            below = Patch(patch.rgba, patch.left + offset, patch.top + 2 * offset)
            darken(image, below, self.settings.shadow, SHADOW_SPREAD * diameter)
        paste(image, Patch(streak(patch.rgba, motion), patch.left, patch.top))
        return patch

    @property
    def _corners(self) -> NDArray[np.float64]:
        """Corners (4, 2) of the image."""
        width, height = self.settings.size
        return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)

    def _occluding(self, index: int, area: NDArray[np.float64]) -> list[Patch]:
        """Return what is in front of everything, in the image and the hull of points (N, 2)."""
        return [
            patch
            for o in self.occluders
            if o.sprite.may_be_within(area, o.matrices[index])
            for patch in o.sprite.warp_in_bands(o.matrices[index], self.settings.size)
        ]

    def _place_occluders(
        self, rng: np.random.Generator, events: Events, texture: Image | None
    ) -> list[Occluder]:
        windows = [(window, True) for window in events.full]
        windows += [(window, False) for window in events.partial]
        return [
            passing_post(
                rng,
                self.target,
                self.camera,
                window,
                complete=complete,
                size=self.settings.size,
                texture=texture,
            )
            for window, complete in windows
        ]
