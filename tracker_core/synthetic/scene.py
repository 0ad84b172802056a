"""Scenes of a target that moves in front of a moving camera, rendered with exact truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.box import Box
from tracker_core.synthetic.motion import (
    Curve,
    Floats,
    plateau,
    roam,
    schedule,
    similarity,
    size_at_origin,
    slow_time,
    tilted,
)
from tracker_core.synthetic.objects import look_alike, painted_object
from tracker_core.synthetic.occlusion import Occluder, passing_post
from tracker_core.synthetic.optics import Optics, streak
from tracker_core.synthetic.settings import SceneSettings
from tracker_core.synthetic.sprite import Image, Patch, Sprite, darken, paste, seen_through
from tracker_core.synthetic.textures import natural_surface

Matrix = NDArray[np.float64]


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
    """A scene of which any frame can be rendered, in any order; the same seed, the same bytes."""

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
        rng = np.random.default_rng((seed, 0))
        self.settings, self._seed = settings, seed
        painted = painted_object(rng) if target is None else target
        self._target = Sprite(painted)
        self._ground, self._camera = _ground(rng, settings, background)
        events = _Events.plan(rng, settings)
        self._places = _target_places(rng, settings, self._target, events)
        self._others = _distractors(
            rng, settings, self._target, self._places, painted, distractors
        )
        self._occluders = self._place_occluders(rng, events, background)
        self._optics = Optics(rng, settings)

    def __len__(self) -> int:
        return self.settings.frames

    def render(self, index: int, *, with_target: bool = True) -> SyntheticFrame:
        """Render frame `index` (0 to len - 1), if wanted without the target and its shadow."""
        if not 0 <= index < len(self):
            raise IndexError(f'the scene has frames 0 to {len(self) - 1}, not {index}')
        size = self.settings.size
        view = similarity(0.5, 0.5)
        ground = np.linalg.inv(view) @ self._camera[index] @ view
        image = cv2.warpAffine(
            self._ground,
            ground[:2],
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        ).astype(np.uint8, copy=False)
        for sprite, places in self._others:
            self._draw(image, sprite, places, index)
        if with_target:
            self._draw(image, self._target, self._places, index)
        covered = self._draw_occluders(image, index)
        left, top, right, bottom = self._target.bounds(self._places[index])
        box = Box(float(left), float(top), float(right - left), float(bottom - top))
        rng = np.random.default_rng((self._seed, 1 + index))
        finished = self._optics.apply(image, index, rng)
        return SyntheticFrame(finished, box, self._visible(index, covered))

    def _draw(self, image: Image, sprite: Sprite, places: Matrix, index: int) -> None:
        """Draw one object with its shadow and motion blur."""
        around = places[max(index - 1, 0)], places[min(index + 1, len(places) - 1)]
        motion = (around[1] - around[0])[:2, 2] / 2 * self.settings.shutter
        reach = int(np.ceil(np.abs(motion).max() / 2)) + 1
        patch = sprite.warp(places[index], margin=reach)
        diameter = max(patch.rgba.shape)
        if self.settings.shadow > 0:
            offset = round(0.05 * diameter)
            below = Patch(patch.rgba, patch.left + offset, patch.top + 2 * offset)
            darken(image, below, self.settings.shadow, 0.06 * diameter)
        paste(image, Patch(streak(patch.rgba, motion), patch.left, patch.top))

    def _draw_occluders(self, image: Image, index: int) -> Image:
        """Draw what is in front of everything and return its opacity (H, W)."""
        opacity = np.zeros(image.shape[:2], np.uint8)
        for occluder in self._occluders:
            patch = occluder.sprite.warp(occluder.matrices[index], clip=self.settings.size)
            paste(image, patch)
            rows, columns = patch.alpha.shape
            part = opacity[patch.top : patch.top + rows, patch.left : patch.left + columns]
            np.maximum(part, patch.alpha, out=part)
        return opacity

    def _visible(self, index: int, covered: Image) -> float:
        patch = self._target.warp(self._places[index])
        total = float(patch.alpha.sum(dtype=np.float64)) / 255
        return min(seen_through(patch, covered) / total, 1.0) if total > 0 else 0.0

    def _place_occluders(
        self, rng: np.random.Generator, events: _Events, texture: Image | None
    ) -> list[Occluder]:
        windows = [(window, True) for window in events.full]
        windows += [(window, False) for window in events.partial]
        return [
            passing_post(
                rng,
                self._target,
                self._places,
                self._camera,
                window,
                complete=complete,
                size=self.settings.size,
                texture=texture,
            )
            for window, complete in windows
        ]


@dataclass(frozen=True, slots=True)
class _Events:
    """First and last frame of every planned event."""

    full: list[tuple[int, int]]
    partial: list[tuple[int, int]]
    absent: list[tuple[int, int]]

    @classmethod
    def plan(cls, rng: np.random.Generator, settings: SceneSettings) -> _Events:
        full, partial = settings.full_occlusions, settings.partial_occlusions
        lengths = rng.integers(*settings.occlusion_frames, full + partial, endpoint=True).tolist()
        if settings.leave_and_return:
            lengths.append(int(rng.integers(*settings.absence_frames, endpoint=True)))
        windows = schedule(rng, settings.frames, lengths)
        return cls(windows[:full], windows[full : full + partial], windows[full + partial :])


def _ground(
    rng: np.random.Generator, settings: SceneSettings, background: Image | None
) -> tuple[Image, Matrix]:
    """Background image and the camera (N, 3, 3) that maps its coordinates to the frames."""
    times = np.arange(settings.frames, dtype=np.float64)
    wanted = np.ceil(np.array(settings.size) * (1 + 2 * settings.camera_pan)).astype(int)
    size = int(wanted[0]), int(wanted[1])
    if background is None:
        background = natural_surface(rng, size)
    scale = max(size[0] / background.shape[1], size[1] / background.shape[0])
    shape = max(int(background.shape[1] * scale), 1), max(int(background.shape[0] * scale), 1)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    ground = cv2.resize(background, shape, interpolation=way)
    pan = [settings.camera_pan * side for side in settings.size]
    dx, dy = (p * Curve.random(rng, 2 * settings.period)(times) for p in pan)
    zoom = settings.camera_zoom ** (0.5 + 0.5 * Curve.random(rng, 2 * settings.period)(times))
    roll = np.radians(settings.camera_roll) * Curve.random(rng, settings.period)(times)
    shake = [settings.camera_shake * Curve.random(rng, 7.0)(times) for _ in range(2)]
    middle = similarity(-shape[0] / 2, -shape[1] / 2)
    width, height = settings.size
    camera = [
        similarity(
            width / 2 + dx[i] + shake[0][i], height / 2 + dy[i] + shake[1][i], zoom[i], roll[i]
        )
        @ middle
        for i in range(settings.frames)
    ]
    return ground.astype(np.uint8, copy=False), np.stack(camera)


def _target_places(
    rng: np.random.Generator, settings: SceneSettings, target: Sprite, events: _Events
) -> Matrix:
    """Matrices (N, 3, 3) from the target's coordinates to the frames."""
    size = float(rng.uniform(*settings.target_size)) * min(settings.size)
    times = slow_time(settings.frames, events.full + events.partial, settings.occlusion_speed)
    margin = 0.6 * size * settings.scale[1]
    path = roam(rng, times, settings.size, margin, settings.speed * size)
    poses = _poses(rng, settings, target, size / target.size)
    for window in events.absent:
        path = path + _excursion(target, poses, path, window, settings, size)
    return np.stack([similarity(x, y) @ pose for (x, y), pose in zip(path, poses, strict=True)])


def _poses(
    rng: np.random.Generator, settings: SceneSettings, sprite: Sprite, scale: float
) -> Matrix:
    """Scale, rotation and tilt (N, 3, 3) of an object around the origin."""
    times = np.arange(settings.frames, dtype=np.float64)
    swing = Curve.random(rng, settings.period)(times)
    low, high = np.log(settings.scale)
    scales = scale * np.exp(np.where(swing < 0, -low * swing, high * swing))
    angles = np.radians(settings.rotation) * Curve.random(rng, settings.period)(times)
    turn = np.radians(settings.tilt)
    yaw, pitch = (turn * Curve.random(rng, settings.period)(times) for _ in range(2))
    distance = 2.5 * sprite.diameter
    return np.stack(
        [
            similarity(0, 0, scales[i], angles[i]) @ tilted(yaw[i], pitch[i], distance)
            for i in range(settings.frames)
        ]
    )


def _excursion(
    target: Sprite,
    poses: Matrix,
    path: Floats,
    window: tuple[int, int],
    settings: SceneSettings,
    size: float,
) -> Floats:
    """Shift (N, 2) that takes the target out of the image during a window and back after it."""
    frames = range(window[0], window[1] + 1)
    bounds = np.stack([target.bounds(poses[i]) + np.tile(path[i], 2) for i in frames])
    width, height = settings.size
    margin = 0.5 * size * settings.shadow + settings.speed * size + 3
    ways = {
        (1, 0): width - bounds[:, 0].min(),
        (-1, 0): bounds[:, 2].max(),
        (0, 1): height - bounds[:, 1].min(),
        (0, -1): bounds[:, 3].max(),
    }
    direction, distance = min(ways.items(), key=lambda way: way[1])
    distance += margin
    ramp = 1.5 * distance / max(settings.speed * size, 1e-6)
    room = min(window[0], settings.frames - 1 - window[1])
    away = plateau(np.arange(len(path), dtype=np.float64), *window, min(ramp, max(room, 1)))
    return np.outer(away * distance, direction)


def _distractors(
    rng: np.random.Generator,
    settings: SceneSettings,
    target: Sprite,
    places: Matrix,
    painted: Image,
    cutouts: Sequence[Image] | None,
) -> list[tuple[Sprite, Matrix]]:
    """Objects that circle around the target, nearer and further."""
    times = np.arange(settings.frames, dtype=np.float64)
    objects = []
    for number in range(settings.distractors):
        rgba = cutouts[number % len(cutouts)] if cutouts else look_alike(rng, painted)
        sprite = Sprite(rgba)
        scale = target.size / sprite.size * float(rng.uniform(0.8, 1.1))
        low, high = settings.distractor_distance
        radius = low + (high - low) * (0.5 + 0.5 * Curve.random(rng, settings.period)(times))
        start, turn = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1) * 2 * np.pi / settings.period
        bearing = start + turn * times + Curve.random(rng, settings.period)(times)
        scales = size_at_origin(places)
        radius = radius * scales * target.diameter
        x = places[:, 0, 2] + radius * np.cos(bearing)
        y = places[:, 1, 2] + radius * np.sin(bearing)
        angles = np.radians(settings.rotation) * Curve.random(rng, settings.period)(times)
        matrices = [
            similarity(x[i], y[i], scale * scales[i], angles[i]) for i in range(settings.frames)
        ]
        objects.append((sprite, np.stack(matrices)))
    return objects
