"""The gradients of two processes with half a batch each are those of one with all of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, multiprocessing

from training import dcfst, dimp, distributed, fcot, siamfc
from training.dcfst_settings import DCFSTSettings, PairSettings
from training.dimp_settings import DiMPSettings
from training.fcot_settings import FCOTAreaSettings, FCOTSettings
from training.recipe import (
    DCFSTRecipe,
    DiMPRecipe,
    FCOTRecipe,
    FCOTSchedule,
    SiamFCRecipe,
)
from training.search_areas import SearchAreaSettings

SIZE = 64


def _draw(count: int) -> tuple[Tensor, Tensor]:
    """Images (count, 2, S, S, 3) and boxes of several sizes (count, 2, 4)."""
    torch.manual_seed(0)
    images = torch.randint(0, 255, (count, 2, SIZE, SIZE, 3), dtype=torch.uint8)
    sizes = torch.tensor([[24.0, 20.0], [6.0, 30.0], [14.0, 12.0], [30.0, 28.0]])[:, None]
    boxes = torch.cat([32 - sizes / 2, sizes], -1).expand(count, 2, 4)
    return images, boxes.contiguous()


def _fcot() -> tuple[Any, Any, dict[str, Tensor]]:
    areas = FCOTAreaSettings(train_frames=1, test_frames=1, size=SIZE)
    schedule = FCOTSchedule(backbone_rate=0.0)
    settings = FCOTSettings(iterations=1)
    recipe = FCOTRecipe(recipe='fcot18', areas=areas, settings=settings, schedule=schedule)
    images, boxes = _draw(4)
    return fcot, recipe, {'images': images, 'boxes_ltwh': boxes}


def _dimp() -> tuple[Any, Any, dict[str, Tensor]]:
    areas = SearchAreaSettings(train_frames=1, test_frames=1, size=SIZE)
    recipe = DiMPRecipe(recipe='dimp18', areas=areas, settings=DiMPSettings(iterations=1))
    images, boxes = _draw(4)
    proposals = boxes[:, 1:, None] + torch.randn(4, 1, 3, 4)
    batch = {'images': images, 'boxes_ltwh': boxes, 'proposals': proposals}
    return dimp, recipe, {**batch, 'overlaps': torch.rand(4, 1, 3)}


def _dcfst() -> tuple[Any, Any, dict[str, Tensor]]:
    settings = DCFSTSettings(grid_side=5)
    recipe = DCFSTRecipe(recipe='dcfst18', areas=PairSettings(size=SIZE), settings=settings)
    images, boxes = _draw(4)
    batch = {'images': images, 'boxes_ltwh': boxes, 'grid_sizes': boxes[:, 1, 2:]}
    proposals = boxes[:, 1, None] + torch.randn(4, 3, 4)
    return dcfst, recipe, {**batch, 'proposals': proposals, 'overlaps': torch.rand(4, 3)}


def _siamfc() -> tuple[Any, Any, dict[str, Tensor]]:
    torch.manual_seed(0)
    sides = {'exemplar': 127, 'search': 239}
    batch = {k: torch.randint(0, 255, (4, n, n, 3), dtype=torch.uint8) for k, n in sides.items()}
    return siamfc, SiamFCRecipe(), {**batch, 'pseudo': torch.tensor([False, True, False, False])}


CASES = {'fcot': _fcot, 'dimp': _dimp, 'dcfst': _dcfst, 'siamfc': _siamfc}


def _gradients(name: str, part: slice) -> dict[str, Tensor]:
    """Loss and gradients of a part of the batch; batch norms keep their statistics."""
    module, recipe, batch = CASES[name]()
    network = module.build_network(recipe)
    module.build_optimizer(network, recipe)
    network.eval()
    value, _ = module.loss(network, {k: v[part] for k, v in batch.items()}, recipe)
    value.backward()
    parameters = network.named_parameters()
    found = {key: each.grad for key, each in parameters if each.grad is not None}
    return {**found, 'loss': value.detach()}


def _half(rank: int, port: int, folder: Path, name: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': '2'}
    os.environ |= {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}
    with distributed.joined(distributed.find_world(), torch.device('cpu')):
        found = _gradients(name, slice(2 * rank, 2 * rank + 2))
    torch.save(found, folder / f'{rank}.pt')


@pytest.mark.parametrize('name', CASES)
def test_two_halves_have_the_gradients_of_the_whole(tmp_path: Path, name: str) -> None:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(_half, (port, tmp_path, name), 2, start_method='fork')
    halves = [torch.load(tmp_path / f'{rank}.pt', weights_only=True) for rank in (0, 1)]
    whole = _gradients(name, slice(None))
    assert whole.keys() == halves[0].keys() == halves[1].keys()
    assert whole['loss'] != pytest.approx(float(halves[0]['loss']), rel=1e-4), 'halves differ'
    for key, expected in whole.items():
        mean = (halves[0][key] + halves[1][key]) / 2
        assert torch.allclose(mean, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))
