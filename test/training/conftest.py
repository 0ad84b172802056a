"""Fixtures of the training's tests: tiny data folders and recipes."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from second_device import second_device  # noqa: F401

SIZE = (120, 160)
SHARED = Path(__file__).parents[3] / 'shared'


def texture(seed: int, height: int, width: int) -> np.ndarray:
    """Blocky random colours (height, width, 3), the same for the same seed."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (height // 5, width // 5, 3), dtype=np.uint8)
    return blocks.repeat(5, 0).repeat(5, 1)


def moving_frame(seed: int, index: int) -> np.ndarray:
    """RGB frame with a textured 40 x 30 px target at (30 + 3 * index, 45)."""
    image = texture(seed, *SIZE) // 3 + 60
    image[45:75, 30 + 3 * index : 70 + 3 * index] = texture(seed + 100, 30, 40)
    return image


def write_clip(folder: Path, seed: int, frames: int = 8, absent: tuple[int, ...] = ()) -> Path:
    """Write a clip folder as `training.datasets.read_clip` expects it."""
    folder.mkdir(parents=True)
    codec = cv2.VideoWriter_fourcc(*'mp4v')
    video = cv2.VideoWriter(str(folder / 'clip.mp4'), codec, 25.0, SIZE[::-1])
    lines = []
    for index in range(frames):
        video.write(moving_frame(seed, index)[..., ::-1])
        box = 'nan,nan,nan,nan' if index in absent else f'{30 + 3 * index},45,40,30'
        lines.append(box)
    video.release()
    (folder / 'groundtruth.txt').write_text('\n'.join(lines) + '\n')
    return folder


def write_images(folder: Path, count: int = 3) -> Path:
    """Write photographs with one polygon and one mask instance each."""
    folder.mkdir(parents=True)
    records = []
    for number in range(count):
        image = moving_frame(number, 0)
        mask = np.zeros(SIZE, np.uint8)
        mask[20:70, 90:140] = 7
        image[mask > 0] = texture(50 + number, 50, 50).reshape(-1, 3)
        cv2.imwrite(str(folder / f'{number}.png'), image[..., ::-1])
        cv2.imwrite(str(folder / f'{number}.jpg'), image[..., ::-1])
        cv2.imwrite(str(folder / f'{number}_mask.png'), mask)
        polygon = [30, 45, 69, 45, 69, 74, 30, 74]
        instances = [
            {'cls': 'a', 'polygons': [polygon]},
            {'cls': 'b', 'mask': f'{number}_mask.png', 'value': 7},
        ]
        records.append({'file': f'{number}.jpg', 'instances': instances})
    (folder / 'annotations.json').write_text(json.dumps({'images': records}))
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Training steps of tests must not fight for the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(name='write_clip')
def _write_clip() -> Callable[..., Path]:
    """Return the writer of clip folders: (folder, seed, frames=8, absent=()) -> folder."""
    return write_clip


@pytest.fixture(name='moving_frame')
def _moving_frame() -> Callable[[int, int], np.ndarray]:
    """Return the painter of the clips' frames: (seed, index) -> RGB image."""
    return moving_frame


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Data folder with three clips and one folder of photographs."""
    root = tmp_path / 'data'
    for number, name in enumerate(('one', 'two_t1', 'two_t2')):
        write_clip(root / 'train' / name, 10 * number)
    write_images(root / 'images' / 'photos')
    return root


@pytest.fixture
def content(data: Path, tmp_path: Path) -> dict[str, Any]:
    """Content of a recipe file for `data` that trains within seconds."""
    return {
        'recipe': 'siamfc',
        'data': str(data),
        'output': str(tmp_path / 'run'),
        'cache': str(tmp_path / 'cache'),
        'held_out': ['one'],
        'training_data': ['two clips'],
        'licence': 'tests only',
        'sources': [
            {'path': 'train/*', 'kind': 'clips'},
            {'path': 'images/photos', 'kind': 'images'},
        ],
        'schedule': {
            'epochs': 2,
            'examples_per_epoch': 8,
            'batch_size': 2,
            'validation_examples': 2,
            'workers': 0,
            'device': 'cpu',
        },
        'settings': {'search_size': 127 + 16},
    }


@pytest.fixture(scope='session')
def parity() -> Path:
    """Folder of the reference inputs and outputs of the published networks."""
    folder = SHARED / 'parity'
    if not folder.is_dir():
        pytest.skip(f'no parity fixtures at {folder}')
    return folder
