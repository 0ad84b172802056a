"""Everything a run needs to go on exactly where it stopped, in one file."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from numpy.typing import NDArray

from tracker_core.atomic import replacing

LegacyState = tuple[str, NDArray[np.uint32], int, int, float]


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says why."""


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint with the states of all random generators; see `write`."""
    write(path, {**state, 'random': _random_state()})


def write(path: Path, content: Any) -> None:
    """Write what `torch.save` takes, whole or not at all.

    Raises OSError with the name of the file where it cannot be written, e.g. on a full disk.
    """
    with replacing(path) as unfinished, unfinished.open('wb') as file:
        output = _Output(file)
        try:
            torch.save(content, cast(Any, output))
            file.flush()
            os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            # torch says that a position is unexpected where a write failed.
            cause = output.error or error
            if not isinstance(cause, OSError):
                raise
            raise OSError(cause.errno, cause.strerror, str(path)) from error


class _Output:
    """A file that remembers why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Hand over what is buffered."""
        self._file.flush()


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; executes nothing from it.

    Raises FileNotFoundError where there is none and CheckpointError for any other file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint at {path}')
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise CheckpointError(f'{path} is no checkpoint of a training run: {error}') from error
    if not isinstance(state, dict) or 'network' not in state or 'recipe' not in state:
        raise CheckpointError(f'{path} is no checkpoint of a training run')
    return state


def tracker_of(state: Mapping[str, Any]) -> str:
    """Name of the tracker whose network a checkpoint holds."""
    recipe = state['recipe']
    return str(recipe.get('network', recipe['recipe']))


def seed_random(seed: int) -> None:
    """Set the random generators of torch, numpy and Python for a new run."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def restore_random(state: Mapping[str, Any]) -> None:
    """Set the random generators of torch, numpy and Python as they were when saving."""
    torch.set_rng_state(state['torch'])
    kind, keys, position, has_gauss, cached = state['numpy']
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, numbers, gauss = state['python']
    random.setstate((version, tuple(numbers), gauss))
    if torch.cuda.is_available() and state['cuda']:
        torch.cuda.set_rng_state_all(state['cuda'])


@contextmanager
def random_kept() -> Iterator[None]:
    """Block after which the random generators of torch, numpy and Python are as before it."""
    state = _random_state()
    try:
        yield
    finally:
        restore_random(state)


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, cached = cast(LegacyState, np.random.get_state())
    version, numbers, gauss = random.getstate()
    return {
        'torch': torch.get_rng_state(),
        'numpy': [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        'python': [version, list(numbers), gauss],
        'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


#: Keys of a recipe on which the course of a run does not depend.
_MAY_CHANGE = (
    'data',
    'output',
    'cache',
    'training_data',
    'licence',
    'schedule.workers',
    'schedule.device',
    'schedule.checkpoint_minutes',
    'tracking',
)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = '') -> list[str]:
    """Keys whose values matter for an exact resume and differ."""
    changed = []
    for key, value in new.items():
        if prefix + key in _MAY_CHANGE:
            continue
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            changed += differences(old[key], value, f'{prefix}{key}.')
        elif old.get(key) != value:
            changed.append(prefix + key)
    return changed
