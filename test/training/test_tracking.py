"""Validation by tracking: the ordinary tracker, exported weights, and a course left alone."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tracker_core import Box, tracker_names, weights
from tracker_core.factory import build_network, network_name
from tracker_core.sequence import open_sequence
from tracker_core.siamfc.network import SiamFC, initialize_weights
from tracker_core.siamfc.tracker import SiamFCTracker
from training import checkpoint, loop, tracking
from training.datasets import DataError
from training.loop import Run
from training.recipe import RECIPES, Recipe, parse_recipe
from training.tracking import TrackingSettings, find_clips, mean_overlaps

INFO = weights.WeightsInfo('siamfc')
CPU = torch.device('cpu')
EACH = TrackingSettings(every=1, clips=('train/two_*',), frames=2)


@pytest.fixture
def recipe(content: dict[str, Any]) -> Recipe:
    return parse_recipe(content)


def _tracked(recipe: Recipe, **changes: Any) -> Recipe:
    return dataclasses.replace(recipe, tracking=dataclasses.replace(EACH, **changes))


def test_overlap_is_what_the_ordinary_tracker_reaches(data: Path, tmp_path: Path) -> None:
    network = SiamFC()
    initialize_weights(network, torch.Generator().manual_seed(3))
    clips = find_clips(EACH, data)
    found = mean_overlaps(INFO, network.state_dict(), clips, CPU)
    assert list(found) == ['two_t1', 'two_t2']
    tracker = SiamFCTracker(network.half().float())  # exported as float16
    sequence = open_sequence(data / 'train' / 'two_t1')
    frames = list(sequence.frames)[:2]
    tracker.initialize(frames[0], sequence.first_box)
    rows = zip(frames[1:], sequence.boxes[1:], strict=False)
    overlaps = [tracker.track(frame).box.iou(Box(*row)) for frame, row in rows]
    assert found['two_t1'] == pytest.approx(np.mean(overlaps), abs=1e-3)


def test_clips_are_tracked_with_the_settings_of_the_weights(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    build = tracking.build_tracker

    def note(*arguments: Any, **keywords: Any) -> Any:
        built.append(build(*arguments, **keywords))
        return built[-1]

    monkeypatch.setattr(tracking, 'build_tracker', note)
    network = SiamFC()
    initialize_weights(network)
    info = dataclasses.replace(INFO, settings={'confidence_slope': 5.0})
    clip = find_clips(TrackingSettings(every=1, clips=('train/one',), frames=2), data)
    mean_overlaps(info, network.state_dict(), clip, CPU)
    assert [tracker.settings.confidence_slope for tracker in built] == [5.0]


def test_every_recipe_trains_a_tracker() -> None:
    for name, default in RECIPES.items():
        assert default().tracker in tracker_names(), name


@pytest.mark.parametrize('name', ['dimp18', 'dcfst18'])
def test_other_trackers_are_built_alike(data: Path, name: str) -> None:
    torch.manual_seed(0)
    network = build_network(network_name(name)).eval()
    clip = find_clips(TrackingSettings(every=1, clips=('train/one',), frames=2), data)
    found = mean_overlaps(weights.WeightsInfo(name), network.state_dict(), clip, CPU)
    assert found.keys() == {'one'} and 0 <= found['one'] <= 1


def test_absent_targets_do_not_count(tmp_path: Path, write_clip: Any) -> None:
    write_clip(tmp_path / 'seen', 1, frames=4)
    write_clip(tmp_path / 'gone', 1, frames=4, absent=(2, 3))
    network = SiamFC()
    initialize_weights(network, torch.Generator().manual_seed(3))
    settings = TrackingSettings(every=1, clips=('*',), frames=4)
    found = mean_overlaps(INFO, network.state_dict(), find_clips(settings, tmp_path), CPU)
    short = dataclasses.replace(settings, clips=('seen',), frames=2)
    first = mean_overlaps(INFO, network.state_dict(), find_clips(short, tmp_path), CPU)
    assert found['gone'] == pytest.approx(first['seen'])


def test_tracking_changes_nothing_in_training(recipe: Recipe, tmp_path: Path) -> None:
    one = _tracked(recipe, clips=('train/two_t1',))
    Run(recipe, tmp_path / 'plain').train()
    Run(one, tmp_path / 'tracked').train()
    plain, tracked = (
        checkpoint.load(tmp_path / name / 'last.pt') for name in ('plain', 'tracked')
    )
    for name, tensor in plain['network'].items():
        assert torch.equal(tensor, tracked['network'][name]), name
    assert torch.equal(plain['random']['torch'], tracked['random']['torch'])
    assert plain['random']['python'] == tracked['random']['python']
    assert plain['best_overlap'] == 0 < tracked['best_overlap']


def test_overlaps_go_to_tensorboard_when_they_are_due(
    recipe: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    schedule = dataclasses.replace(recipe.schedule, epochs=3)
    Run(dataclasses.replace(_tracked(recipe, every=2), schedule=schedule), tmp_path).train()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (mean,) = events.Scalars('tracking/mean')
    single = [events.Scalars(f'tracking/two_t{number}')[0].value for number in (1, 2)]
    assert mean.step == 8 and mean.value == pytest.approx(sum(single) / 2)
    assert f'epoch 2: mean overlap {mean.value:.4f} in 2 clips' in ''.join(capfd.readouterr())


def test_best_checkpoint_is_what_tracked_best(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter((0.3, 0.5, 0.4))
    monkeypatch.setattr(loop, 'mean_overlaps', lambda *_: dict.fromkeys(('two_t1',), next(found)))
    schedule = dataclasses.replace(recipe.schedule, epochs=3)
    recipe = dataclasses.replace(recipe, schedule=schedule)
    one = _tracked(recipe, best=True, clips=('train/two_t1',))
    Run(one, tmp_path).train()
    best, last = (checkpoint.load(tmp_path / name) for name in ('best.pt', 'last.pt'))
    assert (best['epoch'], best['best_overlap'], last['best_overlap']) == (2, 0.5, 0.5)
    again = Run(_tracked(recipe, every=3, best=True), tmp_path)
    again.resume(tmp_path / 'last.pt')  # other clips or another rhythm do not change the course
    assert again.best_overlap == 0.5


def test_lowest_loss_is_known_to_the_checkpoint_that_runs_go_on_from(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter((0.5, 0.2))
    monkeypatch.setattr(Run, '_validate', lambda *_: next(losses))
    Run(recipe, tmp_path).train()
    assert checkpoint.load(tmp_path / 'last.pt')['best_loss'] == 0.2


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (TrackingSettings(every=1), 'names no clip'),
        (TrackingSettings(every=-1), 'at least 0'),
        (TrackingSettings(best=True), 'needs tracking.every'),
        (TrackingSettings(every=1, clips=('train/none*',)), r'no folder matches .*none\*'),
        (TrackingSettings(every=1, clips=('images/photos',)), 'holds no groundtruth.txt'),
        (TrackingSettings(every=1, clips=('train/one',), frames=1), 'two frames or more'),
    ],
)
def test_mistakes_are_told_before_training(
    data: Path, settings: TrackingSettings, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        find_clips(settings, data)


def test_data_folder_is_no_pattern(tmp_path: Path, write_clip: Any) -> None:
    data = tmp_path / 'data [old]*'
    write_clip(data / 'train' / 'one', 1, frames=2)
    for pattern in ('train/o*', 'train/one'):
        (clip,) = find_clips(TrackingSettings(every=1, clips=(pattern,)), data)
        assert clip.name == 'one'


def test_clip_that_cannot_be_tracked_is_named(data: Path) -> None:
    with (data / 'train' / 'one' / 'groundtruth.txt').open('a') as file:
        file.write('1,2,3,4\n')
    network = SiamFC()
    initialize_weights(network)
    clip = find_clips(TrackingSettings(every=1, clips=('train/one',)), data)
    with pytest.raises(DataError, match='one: 8 frames, but 9 are annotated'):
        mean_overlaps(INFO, network.state_dict(), clip, CPU)
