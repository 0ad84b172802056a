"""Posts that pass between the camera and the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.motion import Floats, similarity, size_at_origin, transform
from tracker_core.synthetic.moving import Moving
from tracker_core.synthetic.sprite import Image, Sprite
from tracker_core.synthetic.textures import post

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Occluder:
    """A long post and its place, frame by frame."""

    sprite: Sprite
    #: (N, 3, 3) from the sprite's coordinates to the image.
    matrices: Matrix
    #: First and last frame in which it hides what it is meant to hide.
    window: tuple[int, int]


def passing_post(
    rng: np.random.Generator,
    target: Moving,
    camera: Matrix,
    window: tuple[int, int],
    *,
    complete: bool,
    size: tuple[int, int],
    texture: Image | None,
) -> Occluder:
    """Make a post that crosses the target in the given frames, and only then.

    `camera` (N, 3, 3) places the background. A complete occlusion hides every point of the
    target in every frame of the window; a partial one is about half as wide as the target.
    """
    path = target.places[:, :2, 2]
    direction, velocity = _relative_motion(rng, camera, window, target)
    middle = (window[0] + window[1]) / 2
    start = path[round(middle)]
    since = np.arange(len(path)) - middle
    reach = float(np.hypot(*size))
    leave = np.outer(since * np.abs(since) * reach / 70**2, direction)
    centers = start + np.outer(since, velocity) - leave
    jitter = float(rng.uniform(-0.12, 0.12))
    angle = float(np.arctan2(direction[1], direction[0])) + jitter
    low, high = _extent(target, centers, angle, window)
    wide = high - low + 8
    if not complete:
        wide = (
            float(rng.uniform(0.35, 0.6))
            * target.sprite.size
            * float(size_at_origin(target.places[round(middle)]))
        )
    centers = centers + (low + high) / 2 * np.array([np.cos(angle), np.sin(angle)])
    sprite = Sprite(post(rng, (max(int(np.ceil(wide)), 4), int(2.5 * reach)), texture))
    x, y = centers.T
    return Occluder(sprite, similarity(x, y, 1.0, angle), window)


def _relative_motion(
    rng: np.random.Generator, camera: Matrix, window: tuple[int, int], target: Moving
) -> tuple[Floats, Floats]:
    """Direction in which the target passes the post and the velocity of the post (px/frame).

    The post stands in the world where the target moves fast enough past it; otherwise it moves.
    """
    first, last = window
    path = target.places[:, :2, 2]
    frames = max(last - first, 1)
    moved = (path[last] - path[first]) / frames
    middle = path[(first + last) // 2]
    flow = camera[last] @ np.linalg.inv(camera[first])
    ground = (transform(flow, middle[None])[0] - middle) / frames
    relative = moved - ground
    speed = float(np.hypot(*relative))
    turn = float(rng.uniform(0, 2 * np.pi))
    direction = relative / speed if speed > 1e-6 else np.array([np.cos(turn), np.sin(turn)])
    size = target.sprite.size * float(size_at_origin(target.places[(first + last) // 2]))
    needed = 0.8 * size / (frames + 1)
    return direction, moved - direction * max(speed, needed)


def _extent(
    target: Moving, centers: Floats, angle: float, window: tuple[int, int]
) -> tuple[float, float]:
    """Range across the post that the target takes up during the window, in pixels."""
    normal = np.array([np.cos(angle), np.sin(angle)])
    frames = slice(window[0], window[1] + 1)
    across = (target.outlines(frames) - centers[frames, None]) @ normal
    return float(across.min()), float(across.max())
