"""Where the ground, the camera, the target and its look-alikes are in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.bending import random_bends
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
from tracker_core.synthetic.moving import Moving
from tracker_core.synthetic.objects import look_alike
from tracker_core.synthetic.settings import SceneSettings
from tracker_core.synthetic.sprite import Image, Sprite
from tracker_core.synthetic.textures import natural_surface

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Events:
    """First and last frame of every planned event."""

    full: list[tuple[int, int]]
    partial: list[tuple[int, int]]
    absent: list[tuple[int, int]]

    @classmethod
    def plan(cls, rng: np.random.Generator, settings: SceneSettings) -> Events:
        """Draw when the events take place; ValueError where the scene is too short for them."""
        full, partial = settings.full_occlusions, settings.partial_occlusions
        lengths = rng.integers(*settings.occlusion_frames, full + partial, endpoint=True).tolist()
        if settings.leave_and_return:
            lengths.append(int(rng.integers(*settings.absence_frames, endpoint=True)))
        windows = schedule(rng, settings.frames, lengths)
        return cls(windows[:full], windows[full : full + partial], windows[full + partial :])


def ground_and_camera(
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
    middle = similarity(-shape[0] / 2, -shape[1] / 2)
    width, height = settings.size
    camera = similarity(width / 2 + dx, height / 2 + dy, zoom, roll) @ middle
    return ground.astype(np.uint8, copy=False), camera


def hand_shake(rng: np.random.Generator, settings: SceneSettings) -> Matrix:
    """Small fast movements (N, 3, 3) of the whole image."""
    times = np.arange(settings.frames, dtype=np.float64)
    x, y = (settings.camera_shake * Curve.random(rng, 7.0)(times) for _ in range(2))
    return similarity(x, y)


def bends_of(rng: np.random.Generator, settings: SceneSettings, sprite: Sprite) -> Matrix | None:
    """Bends (N, 2, 3) of an object; None where the scene has rigid ones."""
    if not settings.deformation:
        return None
    size, period = (sprite.width, sprite.height), settings.period / 2
    return random_bends(rng, settings.frames, period, settings.deformation, size)


def target_places(
    rng: np.random.Generator,
    settings: SceneSettings,
    target: Sprite,
    bends: Matrix | None,
    events: Events,
) -> Matrix:
    """Matrices (N, 3, 3) from the target's coordinates to the frames."""
    size = float(rng.uniform(*settings.target_size)) * min(settings.size)
    times = slow_time(settings.frames, events.full + events.partial, settings.occlusion_speed)
    margin = 0.6 * size * settings.scale[1]
    path = roam(rng, times, settings.size, margin, settings.speed * size)
    poses = _poses(rng, settings, target, size / target.size)
    for window in events.absent:
        posed = Moving(target, poses, bends)
        path = path + _excursion(posed, path, window, settings, size)
    x, y = path.T
    return np.asarray(similarity(x, y) @ poses)


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
    return np.asarray(similarity(0, 0, scales, angles) @ tilted(yaw, pitch, distance))


def _excursion(
    posed: Moving,
    path: Floats,
    window: tuple[int, int],
    settings: SceneSettings,
    size: float,
) -> Floats:
    """Shift (N, 2) that takes the target out of the image during a window and back after it."""
    frames = slice(window[0], window[1] + 1)
    bounds = posed.bounds(frames) + np.tile(path[frames], 2)
    width, height = settings.size
    margin = 0.5 * size * settings.shadow + settings.speed * size + settings.camera_shake + 3
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


def distractor_places(
    rng: np.random.Generator,
    bending: np.random.Generator,
    settings: SceneSettings,
    target: Moving,
    painted: Image,
    cutouts: Sequence[Image] | None,
) -> list[Moving]:
    """Objects that circle around the target, nearer and further."""
    times = np.arange(settings.frames, dtype=np.float64)
    objects = []
    for number in range(settings.distractors):
        rgba = cutouts[number % len(cutouts)] if cutouts else look_alike(rng, painted)
        sprite = Sprite(rgba)
        scale = target.sprite.size / sprite.size * float(rng.uniform(0.8, 1.1))
        low, high = settings.distractor_distance
        radius = low + (high - low) * (0.5 + 0.5 * Curve.random(rng, settings.period)(times))
        start, turn = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1) * 2 * np.pi / settings.period
        bearing = start + turn * times + Curve.random(rng, settings.period)(times)
        scales = size_at_origin(target.places)
        radius = radius * scales * target.sprite.diameter
        x = target.places[:, 0, 2] + radius * np.cos(bearing)
        y = target.places[:, 1, 2] + radius * np.sin(bearing)
        angles = np.radians(settings.rotation) * Curve.random(rng, settings.period)(times)
        places = similarity(x, y, scale * scales, angles)
        objects.append(Moving(sprite, places, bends_of(bending, settings, sprite)))
    return objects
