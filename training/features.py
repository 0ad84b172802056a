"""Features of a frozen backbone, computed once per example and kept on disk.

Several processes may write, each its own shard, while training already reads what is there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tracker_core.atomic import replacing
from training.datasets import DataError

Record = dict[str, NDArray[Any]]
Compute = Callable[[int], Record]


class ShardWriter:
    """Appends records of fixed shapes to a folder, one file per array, and goes on later."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.count = _read_description(folder)['count']

    def append(self, records: list[Record]) -> None:
        """Write records; they count once all of them are on disk."""
        layout = {name: [value.dtype.str, *value.shape] for name, value in records[0].items()}
        for name, value in records[0].items():
            with (self.folder / f'{name}.bin').open('ab') as file:
                file.truncate(self.count * value.nbytes)  # what an interrupted write left
                file.seek(0, 2)
                for record in records:
                    file.write(np.ascontiguousarray(record[name]).tobytes())
        self.count += len(records)
        with replacing(self.folder / 'shard.json') as path:
            path.write_text(json.dumps({'count': self.count, 'layout': layout}))


def write_shard(folder: Path, shard: int, shards: int, total: int, compute: Compute) -> None:
    """Compute and store the examples shard, shard + shards, ... below `total`."""
    writer = ShardWriter(folder / f'{shard}-of-{shards}')
    numbers = range(shard + writer.count * shards, total, shards)
    for start in range(0, len(numbers), 8):
        writer.append([compute(number) for number in numbers[start : start + 8]])


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / 'shard.json'
    return json.loads(path.read_text()) if path.is_file() else {'count': 0, 'layout': {}}


@dataclass
class _Shard:
    count: int
    arrays: dict[str, NDArray[Any]]


class StoredExamples(Dataset[dict[str, Tensor]]):
    """What the shards of a folder hold, as far as it is written; `refresh` looks again."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder, self.names = folder, names
        self._shards: list[_Shard] = []
        self.refresh()

    def refresh(self) -> None:
        """Take in what was written since."""
        folders = sorted(self.folder.glob('*-of-*'), key=lambda path: int(path.name.split('-')[0]))
        self._shards = [self._open(folder) for folder in folders]

    def _open(self, folder: Path) -> _Shard:
        description = _read_description(folder)
        count = description['count']
        for name, (dtype, *shape) in description['layout'].items():
            size = count * math.prod(shape) * np.dtype(dtype).itemsize
            path = folder / f'{name}.bin'
            if name in self.names and path.stat().st_size < size:
                raise DataError(f'{path} is damaged: delete {folder} and store it again')
        arrays: dict[str, NDArray[Any]] = {
            name: np.memmap(folder / f'{name}.bin', dtype, 'r', shape=(count, *shape))
            for name, (dtype, *shape) in description['layout'].items()
            if name in self.names
        }
        return _Shard(count, arrays)

    def __len__(self) -> int:
        return sum(shard.count for shard in self._shards)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return arrays of the example by name; the index runs through one shard after another."""
        for shard in self._shards:
            if index < shard.count:
                return {
                    name: torch.from_numpy(np.array(array[index]))
                    for name, array in shard.arrays.items()
                }
            index -= shard.count
        raise IndexError(index)
