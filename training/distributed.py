"""Several processes that train one network, started by `torchrun`; one process is the usual case.

Every process computes an equal share of each batch; DistributedDataParallel averages gradients.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as processes
from torch import Tensor

from training.recipe import RecipeError

#: What was exchanged last, see `_let_go`.
_exchanged: deque[Tensor] = deque(maxlen=8)


@dataclass(frozen=True)
class World:
    """Which of how many processes this is; `local_rank` counts those of its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process; all must ask."""
        if self.size == 1:
            return flag
        value = torch.tensor(float(flag), device=device)
        _exchanged.append(value)
        processes.all_reduce(value, processes.ReduceOp.MAX)
        return bool(value.item())

    def sum(self, values: Mapping[str, float | Tensor], device: torch.device) -> dict[str, float]:
        """Sum named numbers over the processes; all must give the same names."""
        if self.size == 1:
            return {name: float(value) for name, value in values.items()}
        total = torch.tensor(
            [float(value) for value in values.values()], dtype=torch.float64, device=device
        )
        _exchanged.append(total)
        processes.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))


def find_world() -> World:
    """Place of this process among those that `torchrun` started, from the environment."""
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')
    rank, size, local_rank = (
        int(os.environ.get(name, default)) for name, default in zip(names, (0, 1, 0), strict=True)
    )
    return World(rank, size, local_rank)


def choose_device(name: str, world: World) -> torch.device:
    """Device of this process; `auto` is a GPU where there is one. A GPU becomes the current one.

    A name without a number means the GPU that this process has on its machine. Raises RecipeError
    where the device cannot be used.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        if device.type == 'cuda':
            if world.size > 1 and device.index is not None:
                raise RecipeError(
                    f'schedule.device {name!r} is one GPU for {world.size} processes: use `cuda`'
                )
            number = world.local_rank if device.index is None else device.index
            device = torch.device('cuda', number)
            torch.cuda.set_device(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(f'schedule.device {name!r} cannot be used: {error}') from error
    return device


@contextmanager
def joined(world: World, device: torch.device) -> Iterator[None]:
    """Connection to the other processes, if there are any; device: the one of this process."""
    if world.size == 1 or processes.is_initialized():
        yield
        return
    processes.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
    try:
        yield
    finally:
        _let_go()
        processes.destroy_process_group()


def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of a number (a tensor without gradient) over the processes; all must ask."""
    if not processes.is_initialized():
        return value.float()
    mean = value.detach().float()
    _exchanged.append(mean)
    processes.all_reduce(mean)
    return mean / processes.get_world_size()


def _let_go(seconds: float = 30.0) -> None:
    """Wait until the threads of the process group have let go of what was exchanged last.

    They do so a little after the exchange, and need Python's lock for it. Ending the group waits
    for them, holding that lock: on a busy machine both would wait for ever.
    """
    end = time.monotonic() + seconds
    while _exchanged and time.monotonic() < end:
        value = _exchanged[-1]
        if sys.getrefcount(value) > 3:  # more than the deque, `value` and the argument
            time.sleep(0.001)
        else:
            _exchanged.pop()
