"""Smooth changes of the shape of an object that moves, as of a walker, a hand or a flag.

What is bent shows at each point of its plane what its cut-out has at a point a little away. That
shift is a polynomial of the position, which has few terms and an inverse. Values may be arrays or
tensors that broadcast; positions are in pixels of the cut-out from its middle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker_core.synthetic.motion import Curve

#: Beyond this many half sizes from the middle the shift stays what it is there.
_EDGE = 1.25
#: Steps of the inverse, each of which leaves a part of the error.
_STEPS = 6
#: Largest deformation: its inverse is off by less than 0.2 % of the size after so many steps.
MOST = 0.1


def random_bends(
    rng: np.random.Generator, frames: int, period: float, strength: float, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Bends (frames, 2, 3) of a cut-out of (width, height), each swinging once per `period`.

    Its middle is shifted by at most a third of `strength` times its size, its corners by about
    as much as `strength`.
    """
    times = np.arange(frames, dtype=np.float64)
    swings = np.stack([Curve.random(rng, period)(times) for _ in range(6)], -1)
    width, height = size
    reach = [[height, height / 2, width / 2], [width, width / 2, height / 2]]
    return np.asarray(strength * swings.reshape(frames, 2, 3) * np.array(reach))


def on_cutout(x: Any, y: Any, half: tuple[Any, Any], bend: Any) -> tuple[Any, Any]:
    """Points of the cut-out that are seen at points (x, y) of the plane.

    `half`: half its width and height. `bend`: two rows of three coefficients, in pixels.
    """
    u, v = (x / half[0]).clip(-_EDGE, _EDGE), (y / half[1]).clip(-_EDGE, _EDGE)
    wave_u, wave_v = u * u * u - u, v * v * v - v
    (bow_x, wave_x, stretch_x), (bow_y, wave_y, stretch_y) = bend
    return (
        x + bow_x * (v * v - 1 / 3) + wave_x * wave_v + stretch_x * wave_u,
        y + bow_y * (u * u - 1 / 3) + wave_y * wave_u + stretch_y * wave_v,
    )


def in_plane(x: Any, y: Any, half: tuple[Any, Any], bend: Any) -> tuple[Any, Any]:
    """Points of the plane at which points (x, y) of the cut-out are seen: the inverse."""
    seen_x, seen_y = x, y
    for _ in range(_STEPS):
        found_x, found_y = on_cutout(seen_x, seen_y, half, bend)
        seen_x, seen_y = seen_x + (x - found_x), seen_y + (y - found_y)
    return seen_x, seen_y


def area_on_cutout(x: Any, y: Any, half: tuple[Any, Any], bend: Any) -> Any:
    """Area of the cut-out that a unit of area of the plane shows, at points (x, y) on it."""
    u, v = x / half[0], y / half[1]
    slope_u, slope_v = (3 * u * u - 1) / half[0], (3 * v * v - 1) / half[1]
    (bow_x, wave_x, stretch_x), (bow_y, wave_y, stretch_y) = bend
    down = bow_x * (2 * v / half[1]) + wave_x * slope_v
    across = bow_y * (2 * u / half[0]) + wave_y * slope_u
    return (1 + stretch_x * slope_u) * (1 + stretch_y * slope_v) - down * across
