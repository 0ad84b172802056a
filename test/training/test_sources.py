"""From an entry of a recipe to views and tracks, whatever lies on disk."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.crops import CropSettings, load_source
from training.datasets import DataError
from training.frames import load_tracks
from training.readers.folder import read_folder
from training.sampling import FrameFilter
from training.sources import (
    DataSetSource,
    Part,
    RecordingSource,
    Source,
    accepted_targets,
    find_parts,
    parse_source,
    store_missing,
)
from training.synthetic import read_synthetic

COMMON = FrameFilter()


@pytest.fixture
def lasot(tmp_path: Path, moving_frame) -> Path:
    """Data folder with three recordings of LaSOT; in the second the target is too small."""
    import cv2

    for number, size in ((2, 40), (4, 8), (5, 40)):
        folder = tmp_path / 'data' / 'LaSOT' / f'cat-{number}'
        (folder / 'img').mkdir(parents=True)
        for index in range(6):
            image = moving_frame(number, index)[..., ::-1]
            cv2.imwrite(str(folder / 'img' / f'{index + 1:08d}.jpg'), image)
        rows = [f'{30 + 3 * i},45,{size},30' for i in range(6)]
        rows[1] = '0,0,0,0'
        (folder / 'groundtruth.txt').write_text('\n'.join(rows))
        (folder / 'full_occlusion.txt').write_text('0,0,1,0,0,0')
        (folder / 'out_of_view.txt').write_text('0,0,0,0,0,0')
    (tmp_path / 'data' / 'bad.txt').write_text('cat-5\n')
    return tmp_path / 'data'


def test_keys_belong_to_kinds():
    assert parse_source({'path': 'a', 'kind': 'lasot', 'split': 'all'}) == DataSetSource(
        'a', 'lasot', split='all'
    )
    assert parse_source({'path': 'a', 'kind': 'recordings', 'topic': '/x'}) == RecordingSource(
        'a', 'recordings', topic='/x'
    )
    for kind, key in (('clips', 'split'), ('lasot', 'topic'), ('images', 'topic')):
        with pytest.raises(ValueError, match=key):
            parse_source({'path': 'a', 'kind': kind, key: 'x'})
    with pytest.raises(ValueError, match='lasso'):
        parse_source({'path': 'a', 'kind': 'lasso'})


def test_tracks_of_a_data_set_are_read_where_they_lie(lasot: Path, tmp_path: Path, moving_frame):
    source = DataSetSource('LaSOT', 'lasot', share=0.5)
    tracks = load_tracks(source, lasot, tmp_path / 'cache', COMMON)
    assert [track.name for track in tracks] == ['cat-2', 'cat-5']
    assert [track.weight for track in tracks] == [0.25, 0.25]
    assert tracks[1].frames.tolist() == [1, 4, 5, 6]
    assert tracks[1].boxes_ltwh[1].tolist() == [39, 45, 40, 30]
    assert np.abs(tracks[1].image(1).astype(int) - moving_frame(5, 3)).mean() < 8
    assert not list((tmp_path / 'cache').glob('*/frames.bin'))
    thinned = load_tracks(replace(source, max_frames=2), lasot, tmp_path / 'cache', COMMON)
    assert [track.frames.tolist() for track in thinned] == [[1, 6], [1, 6]]
    without = DataSetSource('LaSOT', 'lasot', without='bad.txt')
    assert [t.name for t in accepted_targets(without, lasot, tmp_path / 'cache', COMMON)] == [
        'cat-2'
    ]
    with pytest.raises(DataError, match=r'worse\.txt is missing: `without` names a text file'):
        load_tracks(
            DataSetSource('LaSOT', 'lasot', without='worse.txt'), lasot, tmp_path / 'c', COMMON
        )
    got10k = DataSetSource('GOT-10k', 'got10k', without='got10k_not_for_vot.txt')
    with pytest.raises(DataError, match=r"for_vot\.txt is missing.* VOT .*`without: ''` in"):
        load_tracks(got10k, lasot, tmp_path / 'c', COMMON)


def test_crops_of_a_data_set(lasot: Path, tmp_path: Path):
    source = DataSetSource('LaSOT', 'lasot', max_frames=2)
    sequences = load_source(source, lasot, tmp_path / 'cache', CropSettings(), COMMON)
    assert [each.name for each in sequences] == ['cat-2', 'cat-5']
    assert [each.frames.tolist() for each in sequences] == [[1, 6], [1, 6]]


def test_parts_change_with_what_they_hold(lasot: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr('training.sources._VIEWS_PER_PART', 4)
    source = DataSetSource('LaSOT', 'lasot')

    def names() -> list[str]:
        return [part.name for part in find_parts(source, lasot, tmp_path / 'cache', [1])]

    before = names()
    assert len(before) == 3
    path = lasot / 'LaSOT' / 'cat-5' / 'groundtruth.txt'
    path.write_text(path.read_text().replace('45,45,40,30', '46,45,40,30'))
    after = names()
    assert after[:2] == before[:2] and after[2] != before[2]


def test_recordings_are_files(tmp_path: Path, write_clip):
    clip = write_clip(tmp_path / 'data' / 'c', 1) / 'clip.mp4'
    clip.with_suffix('.txt').write_text((clip.parent / 'groundtruth.txt').read_text())
    source = RecordingSource('c/*', 'recordings')
    (track,) = load_tracks(source, tmp_path / 'data', tmp_path / 'cache', COMMON)
    assert track.frames.tolist() == list(range(8))
    with pytest.raises(DataError, match=r"matches 'd/\*'"):
        load_tracks(RecordingSource('d/*', 'recordings'), tmp_path / 'data', tmp_path, COMMON)
    clip.with_suffix('.txt').unlink()
    with pytest.raises(DataError, match='comes without boxes'):
        load_tracks(source, tmp_path / 'data', tmp_path / 'cache', COMMON)


def test_plain_folders(lasot: Path, tmp_path: Path):
    views = list(read_folder(lasot / 'LaSOT' / 'cat-2', 3))
    assert [view.frame for view in views] == [0, 3, 5]
    assert views[1].box == (39, 45, 40, 30)
    source = Source('LaSOT/*', 'folders')
    assert len(load_tracks(source, lasot, tmp_path / 'cache', COMMON)) == 2
    (lasot / 'LaSOT' / 'cat-2' / 'img' / '00000006.jpg').unlink()
    with pytest.raises(DataError, match='6 boxes, but 5 images'):
        list(read_folder(lasot / 'LaSOT' / 'cat-2', 3))
    with pytest.raises(DataError, match='holds no groundtruth'):
        list(read_folder(tmp_path, 3))


def test_a_folder_whose_image_is_damaged_is_named(lasot: Path):
    (lasot / 'LaSOT' / 'cat-2' / 'img' / '00000002.jpg').write_bytes(b'no image')
    with pytest.raises(DataError, match=r'00000002\.jpg'):
        list(read_folder(lasot / 'LaSOT' / 'cat-2', 10))


def test_photographs_are_rendered_in_parts(data: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr('training.sources._PHOTOGRAPHS_PER_PART', 2)
    source = Source('images/*', 'synthetic', max_frames=2)
    parts = find_parts(source, data, tmp_path / 'cache', [])
    assert len(parts) == len({part.name for part in parts}) == 2  # of three photographs
    names = [[view.sequence for view in part.read()] for part in parts]
    whole = [view.sequence for view in read_synthetic(data / 'images' / 'photos', 2)]
    assert all(names) and names[0] + names[1] == whole


def test_what_is_missing_is_stored_by_other_processes(data: Path, tmp_path: Path):
    source, cache = Source('train/*', 'clips'), tmp_path / 'cache'
    parts = find_parts(source, data, cache, [])
    (cache / parts[0].name).mkdir(parents=True)
    store_missing(source, parts, cache, _note_process)
    assert not list((cache / parts[0].name).iterdir())  # it was there
    others = {int((cache / part.name / 'process').read_text()) for part in parts[1:]}
    assert os.getpid() not in others
    assert (cache / '.gitignore').read_text() == '*\n'


def _note_process(part: Part, target: Path) -> None:
    target.mkdir()
    (target / 'process').write_text(str(os.getpid()))


def test_a_damaged_part_ends_the_others(data: Path, tmp_path: Path):
    (data / 'train' / 'two_t1' / 'clip.mp4').write_bytes(b'')
    with pytest.raises(DataError, match=r'clip\.mp4 cannot be opened'):
        load_tracks(Source('train/*', 'clips'), data, tmp_path / 'cache', FrameFilter())
    assert not list((tmp_path / 'cache').glob('*.tmp'))
