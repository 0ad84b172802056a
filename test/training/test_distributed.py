"""Several processes train as one: the same batches, losses and weights."""

import dataclasses
import math
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, multiprocessing, nn
from torch.utils.data import Dataset

from training import checkpoint, distributed, loop
from training.distributed import World, find_world
from training.recipe import FallingRate, RecipeError, SiamFCRecipe
from training.sources import Source


class _Numbers(Dataset[dict[str, Any]]):
    """Examples that depend on their key alone; one of them is not a number, if wanted."""

    def __init__(self, count: int, broken: int = -1) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        values = np.random.default_rng(key).standard_normal(4).astype(np.float32)
        values[0] = math.nan if key[1] == self.broken else values[0]
        return {'values': values, 'scene': key[1]}


class _Tiny:
    """Recipe module of a linear layer."""

    def build_network(self, recipe: Any) -> nn.Module:
        torch.manual_seed(recipe.schedule.seed)
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))

    def build_optimizer(self, network: nn.Module, recipe: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)

    def start_training(self, network: nn.Module, recipe: Any) -> None:
        network.train()

    def loss(self, network: nn.Module, batch: dict[str, Tensor], recipe: Any) -> Any:
        error = (network(batch['values'])[:, 0] - batch['values'].sum(1)).square()
        return error.mean(), {'largest': error.detach().mean()}


def _recipe(folder: Path) -> SiamFCRecipe:
    schedule = FallingRate(epochs=2, batch_size=8, workers=0, device='cpu', average=0.9)
    source = Source('unused', 'clips')
    return SiamFCRecipe(output=str(folder), sources=(source,), schedule=schedule)


def _train(rank: int, size: int, port: int, folder: Path, broken: int, resume: bool) -> None:
    """One process of a run, as torchrun starts it."""
    torch.set_num_threads(1)
    place = {'RANK': rank, 'LOCAL_RANK': rank, 'WORLD_SIZE': size}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}
    loop.MODULES['siamfc'] = (_Tiny(), lambda _: (_Numbers(20, broken), _Numbers(7)))
    run = loop.Run(_recipe(folder), folder)
    if resume:
        run.resume(folder / 'last.pt')
    try:
        run.train()
    except loop.DivergedError as error:
        (folder / f'error-{rank}.txt').write_text(str(error))


def _run(size: int, folder: Path, broken: int = -1, resume: bool = False) -> None:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    arguments = size, port, folder, broken, resume
    multiprocessing.start_processes(_train, arguments, size, start_method='fork')


def _same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for part in ('network', 'exported'):
        for name, tensor in one[part].items():
            assert torch.allclose(tensor, other[part][name], atol=1e-6), name
    keys = ('epoch', 'position', 'step', 'examples')
    assert [one[key] for key in keys] == [other[key] for key in keys]
    assert one['best_loss'] == pytest.approx(other['best_loss'], rel=1e-5)


def test_two_processes_train_as_one_and_one_goes_on_for_two(tmp_path: Path) -> None:
    for size in (1, 2):
        (tmp_path / str(size)).mkdir()
        _run(size, tmp_path / str(size))
    one, two = (checkpoint.load(tmp_path / name / 'last.pt') for name in ('1', '2'))
    assert one['step'] == 2 * (20 // 8) and one['examples'] == 8 * one['step']
    _same(one, two)
    # After the first epoch in two processes, the second in one.
    half = tmp_path / 'half'
    half.mkdir()
    state = checkpoint.load(tmp_path / '2' / 'best.pt')
    assert state['epoch'] in (1, 2)
    checkpoint.save(half / 'last.pt', state)
    _run(1, half, resume=True)
    _same(one, checkpoint.load(half / 'last.pt'))


def test_all_processes_stop_where_one_diverges(tmp_path: Path) -> None:
    _run(2, tmp_path, broken=5)  # in the second process's half of the first batch
    for rank in range(2):
        assert 'the loss is nan in step 1' in (tmp_path / f'error-{rank}.txt').read_text()
    kept = [torch.load(path, weights_only=True) for path in tmp_path.glob('diverged-*.pt')]
    assert len(kept) == 1 and kept[0]['scene'].tolist() == [4, 5, 6, 7]


def test_batch_that_cannot_be_shared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('WORLD_SIZE', '3')
    recipe = _recipe(tmp_path)
    with pytest.raises(RecipeError, match='batch_size 8 cannot be shared equally by 3'):
        loop.Run(recipe, tmp_path)


def test_one_process_is_the_whole_world(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    world = find_world()
    assert world == World() and world.is_first
    device = torch.device('cpu')
    assert world.any(True, device) and not world.any(False, device)
    assert world.sum({'a': 2.0, 'b': torch.tensor(3.0)}, device) == {'a': 2.0, 'b': 3.0}
    assert not dataclasses.replace(world, rank=1, size=2).is_first


def test_end_waits_until_nothing_exchanged_is_held() -> None:
    """The threads of a process group need Python's lock to let go, and ending it keeps the lock.

    Seen as a run that had finished and never ended.
    """
    held = [torch.ones(1)]
    distributed._exchanged.extend([torch.ones(1), held[0], torch.ones(1)])
    threading.Timer(0.3, held.clear).start()
    start = time.monotonic()
    distributed._let_go()
    assert 0.25 < time.monotonic() - start < 20
    assert not distributed._exchanged
    held.append(torch.ones(1))
    distributed._exchanged.append(held[0])
    distributed._let_go(0.1)  # gives up in the end
    assert len(distributed._exchanged) == 1
    distributed._exchanged.clear()


@pytest.mark.parametrize(
    ('name', 'size', 'expected'),
    [('auto', 2, 'cuda:1'), ('cuda', 2, 'cuda:1'), ('cuda:0', 1, 'cuda:0'), ('cpu', 2, 'cpu')],
)
def test_every_process_has_a_device_and_what_joins_such_devices(
    monkeypatch: pytest.MonkeyPatch, name: str, size: int, expected: str
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'set_device', lambda device: calls.append(str(device)))
    monkeypatch.setattr(torch, 'zeros', lambda *_, device: calls.append(f'used {device}'))
    group = distributed.processes
    monkeypatch.setattr(group, 'init_process_group', lambda backend: calls.append(backend))
    monkeypatch.setattr(group, 'destroy_process_group', lambda: None)
    world = World(rank=size - 1, size=size, local_rank=size - 1)
    device = distributed.choose_device(name, world)
    with distributed.joined(world, device):
        pass
    is_gpu = expected != 'cpu'
    chosen = [expected] if is_gpu else []
    joined = [] if size == 1 else ['nccl' if is_gpu else 'gloo']
    assert str(device) == expected
    assert calls == [*chosen, f'used {expected}', *joined]


def test_one_gpu_is_not_for_several_processes() -> None:
    with pytest.raises(RecipeError, match="'cuda:0' is one GPU for 2 processes"):
        distributed.choose_device('cuda:0', World(1, 2, 1))


def test_batch_norms_of_processes_with_gpus_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network keeps its parameters and the names of its tensors."""

    class WithNorm(_Tiny):
        def build_network(self, recipe: Any) -> nn.Module:
            return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))

    examples = _Numbers(8)
    monkeypatch.setitem(loop.MODULES, 'siamfc', (WithNorm(), lambda _: (examples, None)))
    alone = loop.Run(_recipe(tmp_path), tmp_path)
    monkeypatch.setenv('WORLD_SIZE', '2')
    on_cpu = loop.Run(_recipe(tmp_path), tmp_path)
    monkeypatch.setattr(loop, 'choose_device', lambda *_: torch.device('cuda'))
    monkeypatch.setattr(nn.Module, 'to', lambda self, *_, **__: self)
    on_gpu = loop.Run(_recipe(tmp_path), tmp_path)
    kinds = [type(run.network[1]) for run in (alone, on_cpu, on_gpu)]
    assert kinds == [nn.BatchNorm2d, nn.BatchNorm2d, nn.SyncBatchNorm]
    assert list(on_gpu.network.state_dict()) == list(alone.network.state_dict())
    trained = on_gpu.optimizer.param_groups[0]['params']
    assert {*map(id, trained)} == {*map(id, on_gpu.network.parameters())}
