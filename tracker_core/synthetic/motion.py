"""Smooth random motion of objects and camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FloatOrFloats = float | Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """Sum of three sinusoids within [-1, 1]: smooth, bounded and defined at any time."""

    weights: Floats
    rates: Floats
    phases: Floats

    @classmethod
    def random(cls, rng: np.random.Generator, period: float) -> Curve:
        """Draw a curve that swings about once per `period`."""
        weights = rng.uniform(0.4, 1.0, 3) * (1.0, 0.5, 0.3)
        rates = 2 * np.pi / period * rng.uniform(0.8, 1.2, 3) * (1.0, 1.7, 2.6)
        return cls(weights / weights.sum(), rates, rng.uniform(0, 2 * np.pi, 3))

    def __call__(self, times: Floats) -> Floats:
        """Values (N,) at the times (N,)."""
        return np.asarray(np.sin(np.outer(times, self.rates) + self.phases) @ self.weights)

    @property
    def top_rate(self) -> float:
        """Upper bound of the change per unit of time."""
        return float(self.weights @ self.rates)


def similarity(
    x: FloatOrFloats, y: FloatOrFloats, scale: FloatOrFloats = 1.0, angle: FloatOrFloats = 0.0
) -> NDArray[np.float64]:
    """Rotate by `angle` (radians), scale, then move the origin to (x, y).

    (3, 3), or (..., 3, 3) for arrays, which are broadcast.
    """
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return _matrices([[cosine, -sine, x], [sine, cosine, y], [0, 0, 1]])


def tilted(yaw: Floats, pitch: Floats, distance: float) -> NDArray[np.float64]:
    """Homographies (N, 3, 3) of a plane turned about its vertical, then its horizontal axis.

    By angles (N,) in radians. The origin stays where it is; `distance` from the camera is in the
    units of the plane.
    """
    (cy, sy), (cp, sp) = ((np.cos(each), np.sin(each)) for each in (yaw, pitch))
    return _matrices([[cy, 0, 0], [sp * sy, cp, 0], [-cp * sy / distance, sp / distance, 1]])


def _matrices(rows: list[list[Any]]) -> NDArray[np.float64]:
    """Matrices (..., 3, 3) of elements that are numbers or arrays (...)."""
    elements = np.broadcast_arrays(*(each for row in rows for each in row))
    return np.stack(elements, -1).reshape(*elements[0].shape, 3, 3).astype(np.float64)


def size_at_origin(matrices: NDArray[np.float64]) -> Floats:
    """Magnification (...) of lengths near the origin by homographies (..., 3, 3).

    The last element of each must be 1, as it is for products of `similarity` and `tilted`.
    """
    return np.asarray(np.sqrt(np.abs(np.linalg.det(matrices))))


def transform(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (N, 2) or (..., N, 2) by homographies (..., 3, 3) to points (..., N, 2)."""
    mapped = points @ matrix[..., :2].swapaxes(-1, -2) + matrix[..., None, :, 2]
    return np.asarray(mapped[..., :2] / mapped[..., 2:])


def plateau(times: Floats, start: float, end: float, ramp: float) -> Floats:
    """1 within [start, end], 0 further than `ramp` away, smooth between."""
    outside = np.maximum(np.maximum(start - times, times - end), 0) / max(ramp, 1e-9)
    rest = np.clip(1 - outside, 0, 1)
    return np.asarray(rest * rest * (3 - 2 * rest))


def slow_time(frames: int, windows: Sequence[tuple[int, int]], speed: float) -> Floats:
    """Own time (frames,) of something that slows down to `speed` around the given windows."""
    times = np.arange(frames, dtype=np.float64)
    rate = np.ones(frames)
    for start, end in windows:
        rate = np.minimum(rate, 1 - (1 - speed) * plateau(times, start, end, 20.0))
    return np.asarray(np.cumsum(rate) - rate[0])


def schedule(
    rng: np.random.Generator, frames: int, lengths: Sequence[int]
) -> list[tuple[int, int]]:
    """Place windows of the given lengths (frames) one per equal slot, in random order.

    The first eighth of the sequence stays free of events. Returns (first, last) frame of each.
    Raises ValueError where they do not fit.
    """
    if not lengths:
        return []
    begin = max(frames // 8, 1)
    slot = (frames - begin) / len(lengths)
    windows = []
    for length, place in zip(lengths, rng.permutation(len(lengths)), strict=True):
        room = slot - 2 * length
        if room < 0:
            raise ValueError(
                f'{frames} frames are too few for the events of the scene: '
                f'make the sequence longer or the events fewer or shorter'
            )
        first = int(begin + place * slot + length / 2 + rng.uniform(0.2, 0.8) * room)
        windows.append((first, first + length - 1))
    return windows


def roam(
    rng: np.random.Generator, times: Floats, size: tuple[int, int], margin: float, speed: float
) -> Floats:
    """Path (N, 2) that wanders over an image at no more than `speed` pixels per frame."""
    room = np.maximum((np.array(size) - 2 * margin) / 2, 0.05 * np.array(size))
    curves = [Curve.random(rng, 2 * np.pi) for _ in range(2)]
    top = float(np.hypot(*(r * c.top_rate for r, c in zip(room, curves, strict=True))))
    path = np.stack([c(times * (speed / top)) for c in curves], axis=1)
    return np.asarray(np.array(size) / 2 + path * room)
