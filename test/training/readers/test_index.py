"""The index is read once, notices changes, and reports everything that is missing at once."""

from pathlib import Path

import numpy as np
import pytest

from training.datasets import DataError
from training.readers import index as module
from training.readers.index import LAYOUTS, load_index
from training.readers.target import Selection


@pytest.fixture
def root(tmp_path: Path, write_frames) -> Path:
    """Two recordings of TrackingNet; the second has a frame without box."""
    folder = tmp_path / 'TN' / 'TRAIN_0'
    for name in ('a_0', 'b_0'):
        write_frames(folder / 'frames' / name, '%d.jpg', 3)
        (folder / 'anno').mkdir(exist_ok=True)
        (folder / 'anno' / f'{name}.txt').write_text('30,45,40,30\n33,45,40,30\n36,45,40,30\n')
    (folder / 'anno' / 'b_0.txt').write_text('30,45,40,30\n0,0,0,0\n36,45,40,30\n')
    return tmp_path / 'TN'


def load(root: Path, **selection: object) -> module.Index:
    chosen = Selection(**{'split': '0', **selection})  # type: ignore[arg-type]
    return load_index('trackingnet', root, chosen, root.parent / 'cache')


def test_a_stored_index_equals_a_new_one_and_is_not_read_again(root: Path, monkeypatch):
    new = load(root)
    monkeypatch.setattr(module, '_read', lambda *_: pytest.fail('read again'))
    stored = load(root)
    assert stored.skipped == new.skipped == {'box without area': 1}
    assert [t.name for t in stored.targets] == ['a_0', 'b_0']
    for before, after in zip(new.targets, stored.targets, strict=True):
        assert np.array_equal(before.boxes_ltwh, after.boxes_ltwh)
        assert np.array_equal(before.frames, after.frames)
        assert (before.path(1), before.size) == (after.path(1), after.size)


def test_changes_are_noticed(root: Path):
    assert len(load(root).targets[1].frames) == 2
    (root / 'TRAIN_0' / 'anno' / 'b_0.txt').write_text('30,45,40,30\n33,45,40,30\n36,45,40,30\n')
    assert len(load(root).targets[1].frames) == 3
    assert [t.name for t in load(root, without=frozenset({'a_0'})).targets] == ['b_0']
    for name in ('a_0/1.jpg', 'b_0/0.jpg', 'b_0/2.jpg'):
        (root / 'TRAIN_0' / 'frames' / name).unlink()
    with pytest.raises(DataError, match='3 files are missing or damaged') as caught:
        load(root)
    for name in ('a_0/1.jpg', 'b_0/0.jpg', 'b_0/2.jpg', '`without`'):
        assert name in str(caught.value)
    assert list((root.parent / 'cache').glob('*.tmp')) == []


def test_masks_survive_storing(tmp_path: Path, write_frames):
    from PIL import Image as ImageFile

    root = tmp_path / 'vos'
    write_frames(root / 'train' / 'JPEGImages' / 'v', '%05d.jpg', 1)
    labels = np.zeros((120, 160), np.uint8)
    labels[10:20, 10:30] = 4
    (root / 'train' / 'Annotations' / 'v').mkdir(parents=True)
    ImageFile.fromarray(labels).save(root / 'train' / 'Annotations' / 'v' / '00000.png')
    for _ in range(2):
        index = load_index('youtube_vos', root, Selection(), tmp_path / 'cache')
        mask = index.targets[0].mask(0)
        assert mask is not None and np.array_equal(mask > 0, labels == 4)


def test_nothing_usable_and_nothing_there(root: Path, tmp_path: Path):
    for name in ('a_0', 'b_0'):
        (root / 'TRAIN_0' / 'anno' / f'{name}.txt').write_text('0,0,0,0\n' * 3)
    with pytest.raises(DataError, match="split '0': 6 x box without area"):
        load(root)
    with pytest.raises(DataError, match='nowhere does not exist: set `data`'):
        load(tmp_path / 'nowhere')


@pytest.mark.parametrize('kind', LAYOUTS)
def test_an_empty_folder_says_what_was_expected(tmp_path: Path, kind):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match=r'missing or damaged:\n.*/empty/.* is missing'):
        load_index(kind, tmp_path / 'empty', Selection(), tmp_path / 'cache')
