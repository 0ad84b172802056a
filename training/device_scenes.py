"""Synthetic scenes rendered by the device that trains, many crops or frames at once.

What is seen is as in `tracker_core.synthetic`, drawn directly at the size of the crops; boxes are
the same. `python -m training.device_scenes --help` measures how fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tracker_core.synthetic import Scene
from training.scene_textures import (
    Objects,
    area_grid,
    as_images,
    as_table,
    pack_grounds,
    pack_objects,
)

#: Images that are drawn at a time: a few MB of memory each.
_BATCH = 128
#: Blur below this (pixels) is left out, as by the scene itself.
_LEAST_BLUR = 0.2
_LARGEST_RADIUS = 8


class DeviceScenes:
    """Scenes that lie in the memory of a device; the same scenes, the same pixels."""

    def __init__(self, scenes: Sequence[Scene], device: torch.device | str = 'cpu') -> None:
        """Upload scenes, which must have the same settings (ValueError)."""
        if not scenes or any(scene.settings != scenes[0].settings for scene in scenes):
            raise ValueError('scenes that are rendered together must have the same settings')
        self.settings, self.device = scenes[0].settings, torch.device(device)
        self._grounds, self._ground_maps = pack_grounds(scenes, self.device)
        objects = [[*scene.others, (scene.target, scene.places)] for scene in scenes]
        posts = [[(each.sprite, each.matrices) for each in scene.occluders] for scene in scenes]
        self._below, self._above = (
            [
                pack_objects(scenes, layer, self.device, is_below=is_below)
                for layer in zip(*drawn, strict=True)
            ]
            for drawn, is_below in ((objects, True), (posts, False))
        )
        self._places = as_table([scene.places for scene in scenes], self.device)
        areas, middles = zip(*(area_grid(scene.target) for scene in scenes), strict=True)
        self._areas, self._middles = as_table(areas, self.device), as_table(middles, self.device)
        self._pack_optics(scenes)
        self.boxes_ltwh: NDArray[np.float64] = np.array(
            [[scene.box(i).as_ltwh() for i in range(len(scene))] for scene in scenes]
        )
        """Boxes (K, F, 4) of the targets in pixels of the frames."""

    def _pack_optics(self, scenes: Sequence[Scene]) -> None:
        optics = [scene.optics for scene in scenes]
        self._colours, self._slopes, self._blurs = (
            as_table([getattr(each, name) for each in optics], self.device)
            for name in ('colors', 'slopes', 'blur')
        )
        self._noise = as_images([each.noise.astype(np.float16) for each in optics], self.device)
        starts = [[scene.noise_start(i)[::-1] for i in range(len(scene))] for scene in scenes]
        self._noise_starts = as_table(starts, self.device)

    def render_frames(self, scenes: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Whole frames uint8 (n, H, W, 3), RGB, and the visible share (n,) of their targets.

        `scenes` and `frames` are (n,) integers, as for `render_crops`.
        """
        width, height = self.settings.size
        windows = torch.zeros((len(scenes), 3))
        windows[:, 2] = width
        return self._render(scenes, frames, windows, (height, width))

    def render_crops(
        self, scenes: Tensor, frames: Tensor, windows: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        """Crops uint8 (n, size, size, 3), RGB, and the visible share (n,) of their targets.

        `windows` (n, 3): left, top and side of the crops in pixels of the frames, whose edges are
        repeated where a crop reaches beyond. Indices and windows on the CPU avoid a wait for the
        device.
        """
        return self._render(scenes, frames, windows, (size, size))

    @torch.no_grad()
    def _render(
        self, scenes: Tensor, frames: Tensor, windows: Tensor, shape: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        radius = self._blur_radius(windows, shape[1])
        images, seen = [], []
        for start in range(0, len(scenes), _BATCH):
            part = slice(start, start + _BATCH)
            index = tuple(each[part].to(self.device, non_blocking=True) for each in (scenes, frames))
            window = windows[part].to(self.device, torch.float32, non_blocking=True)
            images.append(self._draw(index, window, shape, radius))
            seen.append(self._visible(index))
        return torch.cat(images), torch.cat(seen)

    def visible(self, scenes: Tensor, frames: Tensor) -> Tensor:
        """Share (n,) of the area of the targets that is in the frame and not covered."""
        return self._visible((scenes.to(self.device), frames.to(self.device)))

    @torch.no_grad()
    def _visible(self, index: tuple[Tensor, ...]) -> Tensor:
        places, middles = self._places[index], self._middles[index[0]].transpose(1, 2)
        points = _project(places, middles[:, None, 0], middles[:, None, 1])
        x, y = points[0] / points[2], points[1] / points[2]
        area = self._areas[index[0]][:, None] / points[2] ** 3
        width, height = self.settings.size
        free = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).float()
        scale, covered = x.new_ones(len(x)), torch.zeros_like(x)
        for post in self._above:
            alpha = _look(post, index, (x, y), scale, slice(3, 4))[:, 0]
            covered = torch.maximum(covered, alpha / 255)
        seen = (area * free * (1 - covered)).sum((1, 2))
        return seen / area.sum((1, 2)).clamp(min=1e-9)

    def _draw(
        self, index: tuple[Tensor, ...], windows: Tensor, shape: tuple[int, int], radius: int
    ) -> Tensor:
        """Images uint8 (n, h, w, 3) of one batch."""
        step = windows[:, 2] / shape[1]
        at = _positions(windows, step, shape, self.settings.size)
        image = _sample(self._grounds[index[0]], self._ground_maps[index], at)
        for drawn in self._below:
            if drawn.shadows is not None:
                image *= 1 - self.settings.shadow / 255 * _look_at_shadow(drawn, index, at)
            _blend(image, _streaked(drawn, index, at, 1 / step))
        for post in self._above:
            _blend(image, _look(post, index, at, 1 / step))
        if radius:
            blurs = self._blurs[index]
            sigma = torch.where(blurs > _LEAST_BLUR, blurs / step, 0)
            image = _blurred(image, sigma, radius)
        return self._exposed(image, index, at).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1)

    def _exposed(self, image: Tensor, index: tuple[Tensor, ...], at: tuple[Tensor, Tensor]) -> Tensor:
        """Light, colour and noise of the camera."""
        slopes = self._slopes[index][..., None, None]
        light = torch.ones((), device=self.device)
        for axis, (count, length) in enumerate(zip((8, 6), self.settings.size, strict=True)):
            # The scene interpolates between so many points, and repeats the outer ones.
            place = (at[axis] * (count / length) - 0.5).clamp(0, count - 1) / ((count - 1) / 2) - 1
            light = light + slopes[:, axis] * place
        image *= light[:, None]
        image *= self._colours[index][..., None, None]
        if self.settings.noise > 0:
            starts = self._noise_starts[index][..., None, None]
            moved = at[0] + starts[:, 0], at[1] + starts[:, 1]
            image += _sample(self._noise[index[0]], None, moved)
        return image

    def _blur_radius(self, windows: Tensor, width: int) -> int:
        """Reach in pixels of the strongest blur; 0: there is none."""
        if self.settings.blur <= _LEAST_BLUR or not len(windows):
            return 0
        largest = self.settings.blur * width / float(windows[:, 2].min())
        return min(max(math.ceil(2.5 * largest), 1), _LARGEST_RADIUS)


def _positions(
    windows: Tensor, step: Tensor, shape: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Columns (n, 1, w) and rows (n, h, 1) in the frame of the middles of pixels of crops."""
    columns, rows = (torch.arange(n, device=windows.device) + 0.5 for n in shape[::-1])
    x = windows[:, :1] + step[:, None] * columns
    y = windows[:, 1:2] + step[:, None] * rows
    return x.clamp(0.5, size[0] - 0.5)[:, None], y.clamp(0.5, size[1] - 0.5)[..., None]


def _project(matrices: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points by homographies (n, 3, 3), not yet divided by their third coordinate."""
    # No matrix product: it may be set to fewer bits than positions need.
    m = matrices[..., None, None]
    return tuple((m[:, k, 0] * x + m[:, k, 2]) + m[:, k, 1] * y for k in range(3))  # type: ignore[return-value]


def _sample(
    textures: Tensor,
    matrices: Tensor | None,
    at: tuple[Tensor, Tensor],
    bounds: Tensor | None = None,
) -> Tensor:
    """Values (n, c, h, w) of textures at positions of the frame, mapped to them by matrices.

    Positions are clamped to the bounds (n, 4): x0, y0, x1, y1.
    """
    height, width = textures.shape[2:]
    x, y = at
    if matrices is not None:
        x, y, depth = _project(matrices, x, y)
        depth = depth.clamp(min=1e-9)
        x, y = x / depth, y / depth
    if bounds is not None:
        x0, y0, x1, y1 = bounds.T[..., None, None]
        x, y = x.clamp(x0, x1), y.clamp(y0, y1)
    grid = torch.stack(torch.broadcast_tensors(x * (2 / width) - 1, y * (2 / height) - 1), -1)
    return functional.grid_sample(
        textures.float(), grid, mode='bilinear', padding_mode='border', align_corners=False
    )


def _look(
    drawn: Objects,
    index: tuple[Tensor, ...],
    at: tuple[Tensor, Tensor],
    magnification: Tensor,
    channels: slice = slice(4),
) -> Tensor:
    """Premultiplied RGBA (n, 4, h, w), 0..255, of an object at positions of the frames."""
    scale = drawn.scales[index] * magnification
    number = (0.25 - scale.clamp(min=1e-6).log2()).floor().clamp(0, drawn.levels.shape[1] - 1)
    level = drawn.levels[index[0], number.long()]
    matrices = _placed(drawn.inverses[index], level[:, :3])
    return _sample(drawn.sheets[index[0]][:, channels], matrices, at, level[:, 3:])


def _placed(inverses: Tensor, maps: Tensor) -> Tensor:
    """Shrink and shift (n, 3) what homographies (n, 3, 3) map to."""
    shrink, shift = maps[:, :1, None], maps[:, 1:, None]
    return torch.cat([shrink * inverses[:, :2] + shift * inverses[:, 2:], inverses[:, 2:]], 1)


def _streaked(
    drawn: Objects, index: tuple[Tensor, ...], at: tuple[Tensor, Tensor], magnification: Tensor
) -> Tensor:
    """An object as `_look` sees it, blurred along its movement during the exposure."""
    if drawn.taps == 1:
        return _look(drawn, index, at, magnification)
    motions = drawn.motions[index][..., None, None]
    total = torch.zeros((), device=motions.device)
    for part in torch.linspace(-0.5, 0.5, drawn.taps).tolist():
        moved = at[0] - part * motions[:, 0], at[1] - part * motions[:, 1]
        total = _look(drawn, index, moved, magnification) + total
    return total.div_(drawn.taps)


def _look_at_shadow(
    drawn: Objects, index: tuple[Tensor, ...], at: tuple[Tensor, Tensor]
) -> Tensor:
    """Soft alpha (n, 1, h, w), 0..255, of the shadow of an object."""
    assert drawn.shadows is not None
    assert drawn.shadow_maps is not None
    assert drawn.shadow_offsets is not None
    offset = drawn.shadow_offsets[index][:, None, None]
    matrices = _placed(drawn.inverses[index], drawn.shadow_maps[index[0]])
    moved = at[0] - offset, at[1] - 2 * offset
    return _sample(drawn.shadows[index[0]], matrices, moved)


def _blend(image: Tensor, rgba: Tensor) -> None:
    """Draw premultiplied RGBA (n, 4, h, w) over images (n, 3, h, w) in place."""
    image *= 1 - rgba[:, 3:] / 255
    image += rgba[:, :3]


def _blurred(image: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Gaussian blur of images (n, c, h, w), each by its own sigma (n,); 0: none."""
    steps = torch.arange(-radius, radius + 1, device=image.device)
    weights = torch.exp(-0.5 * (steps / sigma.clamp(min=1e-3)[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).T[..., None, None, None]
    for axis, margin in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        wide = functional.pad(image, margin, mode='replicate')
        parts = (wide.narrow(axis, k, image.shape[axis]) for k in range(2 * radius + 1))
        image = sum((w * part for w, part in zip(weights, parts, strict=True)), start=0)
    return image
