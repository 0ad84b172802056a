"""Stored frames: every image once, boxes and order kept, caches found again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.datasets import DataError
from training.frames import load_tracks
from training.sampling import FrameFilter
from training.sources import Source

CLIPS = Source('train/*', 'clips', share=0.6)


def test_tracks_of_clips(
    data: Path, tmp_path: Path, moving_frame: Callable[[int, int], np.ndarray]
) -> None:
    tracks = load_tracks(CLIPS, data, tmp_path / 'cache', FrameFilter())
    assert [track.name for track in tracks] == ['one', 'two_t1', 'two_t2']
    assert [track.scene for track in tracks] == ['one', 'two', 'two']
    assert sum(track.weight for track in tracks) == pytest.approx(0.6)
    second = tracks[1]
    assert second.frames.tolist() == list(range(8))
    assert second.boxes_ltwh[3].tolist() == [39, 45, 40, 30]
    difference = second.image(3).astype(float) - moving_frame(10, 3)
    assert np.abs(difference).mean() < 12  # two lossy codecs


def test_targets_of_one_photograph_share_its_bytes(data: Path, tmp_path: Path) -> None:
    source = Source('images/photos', 'images')
    tracks = load_tracks(source, data, tmp_path / 'cache', FrameFilter())
    assert len(tracks) == 6 and tracks[0].scene == tracks[1].scene != tracks[2].scene
    places = [track.places[0].tolist() for track in tracks]
    assert places[0] == places[1] != places[2]
    assert tracks[0].boxes_ltwh[0] == pytest.approx([30, 45, 40, 30], abs=1)
    assert tracks[1].boxes_ltwh[0] == pytest.approx([90, 20, 50, 50], abs=1)


def test_second_load_reads_the_cache_only(data: Path, tmp_path: Path) -> None:
    load_tracks(CLIPS, data, tmp_path / 'cache', FrameFilter())
    entries = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'cache').iterdir()}
    load_tracks(CLIPS, data, tmp_path / 'cache', FrameFilter())
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'cache').iterdir()}
    entries.pop('.gitignore'), again.pop('.gitignore')
    assert entries == again and len(entries) == 3


def test_source_without_usable_target_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'no usable target.*`frames`'):
        load_tracks(CLIPS, data, tmp_path / 'cache', FrameFilter(min_side=400))


def test_folder_without_accepted_target_is_no_error_beside_others(
    data: Path, tmp_path: Path
) -> None:
    # Of the photographs only the larger instance is accepted, of the clips nothing.
    wide = FrameFilter(min_side=45)
    source = Source('*/*', 'images', exclude=('train/*',))
    assert len(load_tracks(source, data, tmp_path / 'cache', wide)) == 3


def test_damaged_cache_is_named(data: Path, tmp_path: Path) -> None:
    track = load_tracks(CLIPS, data, tmp_path / 'cache', FrameFilter())[0]
    track.file.write_bytes(bytes(track.file.stat().st_size))
    with pytest.raises(DataError, match='damaged: delete the cache folder'):
        track.image(0)
