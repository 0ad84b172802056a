"""Fixtures of the library's tests: reference data beside the checkout and small images."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from tracker_core.iou_net import IoUNet, Pair

SHARED = Path(__file__).parents[3] / 'shared'


@pytest.fixture(scope='session')
def parity() -> Path:
    """Folder of the reference inputs and outputs of the published networks."""
    folder = SHARED / 'parity'
    if not folder.is_dir():
        pytest.skip(f'no parity fixtures at {folder}')
    return folder


@pytest.fixture(scope='session')
def rule(parity: Path) -> ModuleType:
    """The module that makes the reference weights and images from a rule."""
    spec = importlib.util.spec_from_file_location('parity_rule', parity / 'rule.py')
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def moving_square(count: int = 6, size: tuple[int, int] = (120, 160)) -> list[np.ndarray]:
    """RGB frames of a textured 30 px square that moves 3 px to the right per frame."""
    rng = np.random.default_rng(3)
    background = rng.integers(60, 120, (*size, 3), dtype=np.uint8)
    square = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
    frames = []
    for index in range(count):
        frame = background.copy()
        frame[40:70, 50 + 3 * index : 80 + 3 * index] = square
        frames.append(frame)
    return frames


@pytest.fixture
def frames() -> list[np.ndarray]:
    """Six frames of the moving square; its first box is (50, 40, 30, 30)."""
    return moving_square()


@pytest.fixture(scope='session')
def development_clips() -> Path:
    """Folder of annotated clips for development."""
    folder = SHARED / 'data' / 'train'
    if not folder.is_dir():
        pytest.skip(f'no development data at {folder}')
    return folder


@pytest.fixture(scope='module')
def overlap_setting() -> tuple[IoUNet, Pair, Pair]:
    """A small IoU network in double precision, a modulation, an embedding of a 96 px image."""
    torch.manual_seed(0)
    network = IoUNet(4, 6).double().eval().requires_grad_(False)
    layers = torch.randn(1, 4, 12, 12).double(), torch.randn(1, 6, 6, 6).double()
    box = torch.tensor([[20.0, 24.0, 40.0, 36.0]]).double()
    return network, network.modulation(*layers, box), network.embed(*layers)
