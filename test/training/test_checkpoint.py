"""Checkpoints are whole, executed by nobody, and restore the random generators."""

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from training import checkpoint

STATE = {'network': {'weight': torch.ones(2)}, 'recipe': {}}


def test_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    random.random(), np.random.rand(), torch.rand(1)
    checkpoint.save(tmp_path / 'a.pt', STATE)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    checkpoint.restore_random(checkpoint.load(tmp_path / 'a.pt')['random'])
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_random_generators_are_seeded_and_kept() -> None:
    def draw() -> tuple[float, ...]:
        return random.random(), np.random.rand(), torch.rand(1).item()

    checkpoint.seed_random(3)
    expected = draw()
    checkpoint.seed_random(3)
    with checkpoint.random_kept():
        draw()
    assert draw() == expected


def test_a_failed_write_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match=r'No space left on device: .*a\.pt'):
        checkpoint.save(tmp_path / 'a.pt', STATE)
    assert list(tmp_path.iterdir()) == []


def test_failed_save_keeps_the_earlier_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / 'a.pt'
    checkpoint.save(path, STATE)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        checkpoint.save(path, {**STATE, 'bad': lambda: None})
    assert torch.equal(checkpoint.load(path)['network']['weight'], torch.ones(2))
    assert [item.name for item in tmp_path.iterdir()] == ['a.pt']


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='no checkpoint at'):
        checkpoint.load(tmp_path / 'absent.pt')
    path = tmp_path / 'a.pt'
    path.write_bytes(b'text')
    with pytest.raises(checkpoint.CheckpointError, match='is no checkpoint'):
        checkpoint.load(path)
    for content in ({'network': {}}, {'recipe': {}}, [1]):
        torch.save(content, path)
        with pytest.raises(checkpoint.CheckpointError, match='is no checkpoint'):
            checkpoint.load(path)


class _Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path('executed'),)


def test_nothing_in_a_checkpoint_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**STATE, 'bad': _Malicious()}, tmp_path / 'a.pt')
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(tmp_path / 'a.pt')
    assert not Path('executed').exists()
