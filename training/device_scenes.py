"""Synthetic scenes rendered by the device that trains, many crops or frames at once.

What is seen is as in `tracker_core.synthetic`, drawn directly at the size of the crops; boxes are
the same. `python -m training.device_scenes --help` measures how fast.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker_core.synthetic import Scene
from tracker_core.synthetic.bending import area_on_cutout, in_plane, on_cutout
from tracker_core.synthetic.moving import Moving
from tracker_core.synthetic.optics import LIGHT_GRID
from training.device_warp import (
    Positions,
    blend,
    blur,
    positions,
    project,
    sample,
    shrink_and_shift,
)
from training.scene_textures import (
    Objects,
    Shadows,
    area_grid,
    as_images,
    as_table,
    count_bytes,
    moved,
    pack_grounds,
    pack_objects,
)
from training.search_areas import SearchAreaSettings, cut_search_area
from training.synthetic import SCENE, WIDE_SCENE

#: Scenes and frames (n,) of the images that are rendered.
Index = tuple[Tensor, Tensor]
#: Pixels of images that are drawn at a time, about a hundred bytes of memory each.
_PIXELS = 2**24
#: Frames of which visibility is found at a time.
_FRAMES = 256
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
        objects = [[*scene.others, scene.target] for scene in scenes]
        posts = [[Moving(o.sprite, o.matrices) for o in scene.occluders] for scene in scenes]
        self._below, self._above = (
            [
                pack_objects(scenes, layer, self.device, is_below=is_below)
                for layer in zip(*drawn, strict=True)
            ]
            for drawn, is_below in ((objects, True), (posts, False))
        )
        self._places = as_table([scene.target.places for scene in scenes], self.device)
        areas, middles = zip(*(area_grid(scene.target.sprite) for scene in scenes), strict=True)
        self._areas, self._middles = as_table(areas, self.device), as_table(middles, self.device)
        self._pack_optics(scenes)
        self.boxes_ltwh: NDArray[np.float64] = np.array(
            [[scene.box(i).as_ltwh() for i in range(len(scene))] for scene in scenes]
        )
        """Boxes (K, F, 4) of the targets in pixels of the frames."""

    def __len__(self) -> int:
        return len(self.boxes_ltwh)

    def bytes(self) -> int:
        """Memory that the scenes take."""
        return sum(map(count_bytes, vars(self).values()))

    def to(self, device: torch.device) -> DeviceScenes:
        """The same scenes in the memory of another device."""
        other = copy(self)
        for name, value in vars(self).items():
            setattr(other, name, moved(value, device))
        other.device = device
        return other

    def _pack_optics(self, scenes: Sequence[Scene]) -> None:
        optics = [scene.optics for scene in scenes]
        self._colours, self._slopes, self._blurs = (
            as_table([getattr(each, name) for each in optics], self.device)
            for name in ('colors', 'slopes', 'blur')
        )
        self._noise = as_images([optics[0].noise], self.device)
        starts = np.stack([each.noise_starts for each in optics])
        maps = np.tile(np.eye(2, 3), (*starts.shape[:2], 1, 1))
        maps[..., 2] = starts[..., ::-1]
        self._noise_maps = as_table(maps, self.device)

    def render_frames(self, scenes: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Whole frames uint8 (n, H, W, 3), RGB, and the visible share (n,) of their targets.

        `scenes` and `frames` are (n,) integers, n > 0, as for `render_crops`.
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
        self._check(scenes, frames)
        radius = self._blur_radius(windows, shape[1])
        images, seen = [], []
        count = max(_PIXELS // math.prod(shape), 1)
        for start in range(0, len(scenes), count):
            part = slice(start, start + count)
            index = self._moved(scenes[part]), self._moved(frames[part])
            window = self._moved(windows[part].float())
            images.append(self._draw(index, window, shape, radius))
            seen.append(self._visible(index))
        return torch.cat(images), torch.cat(seen)

    def _moved(self, values: Tensor) -> Tensor:
        """Values on the device, which is not waited for."""
        return values.to(self.device, non_blocking=True)

    def _check(self, scenes: Tensor, frames: Tensor) -> None:
        """Raise IndexError for what does not exist; a device finds that out too late."""
        for name, values, end in zip(
            ('scene', 'frame'), (scenes, frames), self.boxes_ltwh.shape, strict=False
        ):
            if values.device.type == 'cpu' and not bool(((values >= 0) & (values < end)).all()):
                raise IndexError(f'{name}s go from 0 to {end - 1}')

    def visible(self, scenes: Tensor, frames: Tensor) -> Tensor:
        """Share (n,) of the area of the targets that is in the frame and not covered."""
        self._check(scenes, frames)
        parts = zip(scenes.split(_FRAMES), frames.split(_FRAMES), strict=True)
        return torch.cat([self._visible((self._moved(s), self._moved(f))) for s, f in parts])

    @torch.no_grad()
    def _visible(self, index: Index) -> Tensor:
        places, middles = self._places[index], self._middles[index[0]].transpose(1, 2)
        plane, area = (middles[:, None, 0], middles[:, None, 1]), self._areas[index[0]][:, None]
        if (bend := _bend(self._below[-1], index)) is not None:
            plane = in_plane(*plane, *bend)
            area = area / area_on_cutout(*plane, *bend)
        points = project(places, plane)
        x, y = points[0] / points[2], points[1] / points[2]
        area = area / points[2] ** 3
        width, height = self.settings.size
        free = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).float()
        scale, covered = x.new_ones(len(x)), torch.zeros_like(x)
        for post in self._above:
            alpha = _look(post, index, (x, y), scale, slice(3, 4))[:, 0]
            covered = torch.maximum(covered, alpha / 255)
        seen = (area * free * (1 - covered)).sum((1, 2))
        return seen / area.sum((1, 2)).clamp(min=1e-9)

    def _draw(self, index: Index, windows: Tensor, shape: tuple[int, int], radius: int) -> Tensor:
        """Images uint8 (n, h, w, 3) of one batch."""
        step = windows[:, 2] / shape[1]
        at = positions(windows, step, shape, self.settings.size)
        image = sample(self._grounds[index[0]], self._ground_maps[index], at)
        for drawn in self._below:
            if drawn.shadows is not None:
                soft = _look_at_shadow(drawn, drawn.shadows, index, at)
                image *= 1 - self.settings.shadow / 255 * soft
            blend(image, _look(drawn, index, at, 1 / step))
        for post in self._above:
            blend(image, _look(post, index, at, 1 / step))
        if radius:
            blurs = self._blurs[index]
            sigma = torch.where(blurs > _LEAST_BLUR, blurs / step, 0)
            image = blur(image, sigma, radius)
        return self._exposed(image, index, at).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1)

    def _exposed(self, image: Tensor, index: Index, at: Positions) -> Tensor:
        """Light, colour and noise of the camera."""
        slopes = self._slopes[index][..., None, None]
        light = torch.ones((), device=self.device)
        for axis, (count, length) in enumerate(zip(LIGHT_GRID, self.settings.size, strict=True)):
            # The scene interpolates between so many points, and repeats the outer ones.
            place = (at[axis] * (count / length) - 0.5).clamp(0, count - 1) / ((count - 1) / 2) - 1
            light = light + slopes[:, axis] * place
        image *= light[:, None]
        image *= self._colours[index][..., None, None]
        if self.settings.noise > 0:
            noise = self._noise.expand(len(image), -1, -1, -1)
            image += sample(noise, self._noise_maps[index], at)
        return image

    def _blur_radius(self, windows: Tensor, width: int) -> int:
        """Reach in pixels of the strongest blur; 0: there is none."""
        if self.settings.blur <= _LEAST_BLUR or not len(windows):
            return 0
        largest = self.settings.blur * width / float(windows[:, 2].min())
        return min(max(math.ceil(2.5 * largest), 1), _LARGEST_RADIUS)


def _look(
    drawn: Objects,
    index: Index,
    at: Positions,
    magnification: Tensor,
    channels: slice = slice(4),
) -> Tensor:
    """Premultiplied RGBA (n, 4, h, w), 0..255, of an object at positions of the frames.

    `magnification` (n,): pixels that are drawn per pixel of the frame, along each axis.
    """
    scale = drawn.scales[index] * magnification
    number = (0.25 - scale.clamp(min=1e-6).log2()).floor().clamp(0, drawn.levels.shape[1] - 1)
    level = drawn.levels[index[0], number.long()]
    matrices, bring = _way_to_texture(drawn, index, level[:, :3])
    sheets = drawn.sheets[:, channels][index[0]].float()
    motions = drawn.motions[index][..., None, None]
    total: Tensor | None = None
    for part in torch.linspace(-0.5, 0.5, drawn.taps).tolist():
        moved = at[0] - part * motions[:, 0], at[1] - part * motions[:, 1]
        seen = sample(sheets, matrices, bring(moved), level[:, 3:])
        total = seen if total is None else total.add_(seen)
    assert total is not None
    return total if drawn.taps == 1 else total.div_(drawn.taps)


def _look_at_shadow(drawn: Objects, shadows: Shadows, index: Index, at: Positions) -> Tensor:
    """Soft alpha (n, 1, h, w), 0..255, of the shadow of an object."""
    offset = shadows.offsets[index][:, None, None]
    moved = at[0] - offset, at[1] - 2 * offset
    matrices, bring = _way_to_texture(drawn, index, shadows.maps[index[0]])
    return sample(shadows.images[index[0]], matrices, bring(moved))


def _way_to_texture(
    drawn: Objects, index: Index, maps: Tensor
) -> tuple[Tensor, Callable[[Positions], Positions]]:
    """How positions in the frame get to a texture of an object, which maps (n, 3) place there.

    Matrices (n, 2 or 3, 3), and what the positions are brought to before.
    """
    inverses, bend = drawn.inverses[index], _bend(drawn, index)
    if bend is None:
        return shrink_and_shift(inverses, maps), lambda at: at

    def bring(at: Positions) -> Positions:
        x, y, *depth = project(inverses, at)
        return on_cutout(*((x / depth[0], y / depth[0]) if depth else (x, y)), *bend)

    straight = torch.eye(2, 3, device=maps.device).expand(len(maps), -1, -1)
    return shrink_and_shift(straight, maps), bring


def _bend(drawn: Objects, index: Index) -> tuple[tuple[Tensor, Tensor], Tensor] | None:
    """Half sizes and bends of objects, for the functions of `tracker_core.synthetic.bending`."""
    if drawn.bends is None:
        return None
    width, height = drawn.halves[index[0]].T[..., None, None]
    return (width, height), drawn.bends[index].permute(1, 2, 0)[..., None, None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how fast scenes are rendered, on a device and by one core without it."""
    parser = argparse.ArgumentParser(
        prog='python -m training.device_scenes', description=main.__doc__
    )
    on_gpu = torch.cuda.is_available()
    parser.add_argument('--device', default='cuda' if on_gpu else 'cpu')
    parser.add_argument('--scenes', type=int, default=8)
    parser.add_argument(
        '--batch', type=int, default=128 if on_gpu else 8, help='images that are asked for at once'
    )
    parser.add_argument('--size', type=int, default=288, help='side of the crops in pixels')
    parser.add_argument('--seconds', type=float, default=1.5, help='of each measurement')
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    for name, settings in (('synthetic', SCENE), ('synthetic_wide', WIDE_SCENE)):
        started = time.process_time()
        scenes = [Scene(settings, seed) for seed in range(options.scenes)]
        spent = (time.process_time() - started) / len(scenes)
        print(f'{name}, {settings.size[0]} x {settings.size[1]} pixels, {len(scenes)} scenes')
        print(f'  one core: {1e3 * spent:.0f} ms to lay out a scene of {settings.frames} frames')
        print(f'  one core: {_core_rate(scenes, options.size, options.seconds):.0f} crops/s')
        for line in _device_rates(scenes, options):
            print(f'  {options.device}: {line}', flush=True)


def _core_rate(scenes: Sequence[Scene], size: int, seconds: float) -> float:
    """Frames that are rendered and cut per second of processor time."""
    settings = SearchAreaSettings(size=size)
    count, start = 0, time.process_time()
    while time.process_time() < start + seconds:
        scene = scenes[count % len(scenes)]
        frame = count * 7 % len(scene)
        image = scene.render(frame).image
        box = np.array(scene.box(frame).as_ltwh())
        cut_search_area(image, box, box, settings)
        count += 1
    return count / (time.process_time() - start)


def _window(scene: Scene, frame: int) -> tuple[float, float, float]:
    """Left, top and side of a search area five times the size of the target."""
    box = scene.box(frame)
    side = 5 * math.sqrt(box.area)
    return box.center[0] - side / 2, box.center[1] - side / 2, side


def _device_rates(scenes: Sequence[Scene], options: argparse.Namespace) -> Iterator[str]:
    started = time.process_time()
    packed = DeviceScenes(scenes, options.device)
    spent = (time.process_time() - started) / len(scenes)
    yield f'{1e3 * spent:.1f} ms of a core to upload a scene'
    numbers = torch.arange(options.batch) % len(scenes)
    frames = torch.arange(options.batch) * 7 % len(scenes[0])
    windows = torch.tensor([_window(scenes[k], f) for k, f in zip(numbers, frames, strict=True)])
    renderers: dict[str, Callable[[], object]] = {
        f'crops of {options.size} px': lambda: packed.render_crops(
            numbers, frames, windows, options.size
        ),
        'whole frames': lambda: packed.render_frames(numbers, frames),
    }
    for name, render in renderers.items():
        rate, cost = _rate(render, packed.device, options.seconds)
        rate, cost = rate * options.batch, cost / options.batch
        yield f'{rate:.0f} {name}/s, {1e3 * cost:.3f} ms of a core each'
    if packed.device.type == 'cuda':
        yield f'{torch.cuda.max_memory_allocated(packed.device) / 2**30:.1f} GiB at most'


def _rate(
    render: Callable[[], object], device: torch.device, seconds: float
) -> tuple[float, float]:
    """Calls per second, and the seconds of processor time until a call has been queued."""

    def wait() -> None:
        if device.type == 'cuda':
            torch.cuda.synchronize(device)

    render()
    wait()
    busy = time.process_time()
    render()
    cost = time.process_time() - busy
    wait()
    calls, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        render()
        wait()
        calls += 1
    return calls / (time.perf_counter() - start), cost


if __name__ == '__main__':
    main()
