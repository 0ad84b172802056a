"""Stored features: shards, interruption, growth while they are read."""

from pathlib import Path

import numpy as np
import pytest

from training.features import Record, ShardWriter, StoredExamples, write_shard


def _record(number: int) -> Record:
    return {
        'layer3': np.full((2, 3), number, np.float16),
        'boxes_ltwh': np.full((2, 4), number + 0.5, np.float32),
        'scene': np.array(number, np.int64),
    }


NAMES = ('layer3', 'scene')


def test_shards_together_hold_every_example_once(tmp_path: Path) -> None:
    for shard in range(3):
        write_shard(tmp_path, shard, 3, 20, _record)
    stored = StoredExamples(tmp_path, NAMES)
    assert len(stored) == 20
    examples = [stored[index] for index in range(20)]
    assert sorted(int(example['scene']) for example in examples) == list(range(20))
    for example in examples:
        assert example.keys() == set(NAMES)
        assert (example['layer3'] == example['scene']).all() and example['layer3'].shape == (2, 3)
    with pytest.raises(IndexError):
        stored[20]


def test_interrupted_shard_goes_on_behind_what_is_complete(tmp_path: Path) -> None:
    def fails(number: int) -> Record:
        if number == 9:
            raise KeyboardInterrupt
        return _record(number)

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, 0, 1, 20, fails)
    folder = tmp_path / '0-of-1'
    assert len(StoredExamples(tmp_path, NAMES)) == 8
    with (folder / 'layer3.bin').open('ab') as file:
        file.write(b'half a rec')  # the process ended in the middle of a write
    write_shard(tmp_path, 0, 1, 20, _record)
    stored = StoredExamples(tmp_path, NAMES)
    assert [float(stored[i]['layer3'][0, 0]) for i in range(len(stored))] == list(range(20))


def test_reader_sees_growth_when_it_looks_again(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / '0-of-1')
    assert len(StoredExamples(tmp_path, NAMES)) == 0
    writer.append([_record(0), _record(1)])
    stored = StoredExamples(tmp_path, NAMES)
    writer.append([_record(2)])
    assert len(stored) == 2
    stored.refresh()
    assert len(stored) == 3 and int(stored[2]['scene']) == 2


def test_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert len(StoredExamples(tmp_path / 'absent', NAMES)) == 0
