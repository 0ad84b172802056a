"""Tracks that are rendered into the memory of a device."""

from pathlib import Path

import numpy as np
import pytest

from training.rendered_tracks import render_tracks
from training.synthetic import read_synthetic


@pytest.mark.parametrize('group', [16, 2])
def test_tracks_are_the_sequences_of_the_reader(
    data: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    monkeypatch.setattr('training.rendered_tracks._GROUP', group)
    folder = data / 'images' / 'photos'
    views = {(view.sequence, view.frame): view for view in read_synthetic(folder, 3)}
    tracks = list(render_tracks(folder, 3, 'cpu'))
    assert {(t.name, frame) for t in tracks for frame in t.frames.tolist()} == set(views)
    for track in tracks:
        assert track.images.shape == (len(track.frames), 240, 320, 3)
        for position, frame in enumerate(track.frames.tolist()):
            view = views[track.name, frame]
            assert track.scene == view.scene
            assert tuple(track.boxes_ltwh[position]) == view.box
            difference = track.image(position).astype(int) - view.image
            assert np.abs(difference).mean() < 0.8
