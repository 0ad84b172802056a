"""Rendered tracks: which frames they have, and crops of them beside crops of stored frames."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from second_device import SecondDevice
from torch import Tensor

from training.augmentation import AppearanceSettings
from training.check_data import count_sources, unreadable_images, write_contact_sheet
from training.datasets import DataError
from training.device_crops import DeviceImages, load_frames
from training.examples import make_loader
from training.frames import PlacedTrack, load_tracks
from training.loop import Run
from training.pairs import PairSettings, make_pair
from training.recipe import parse_recipe
from training.rendered_tracks import RenderedTrack, lay_out_tracks
from training.sampling import EpochSampler, FrameFilter
from training.search_areas import SearchAreaSettings, cut_search_area, make_example, place_window
from training.sources import Source
from training.synthetic import MIN_VISIBLE, read_synthetic

CPU = torch.device('cpu')
EVERY = FrameFilter(min_area=0, min_side=0, max_share=1.0)
SYNTHETIC = Source('images/photos', 'synthetic', share=0.6)
WIDE = Source('images/photos', 'synthetic_wide')
#: Mean difference in grey levels to crops cut out of whole frames, which are interpolated twice
#: (see `test_device_scenes`), where crops are neither much larger nor smaller than their places.
CLOSE = 2.5


@pytest.fixture
def tracks(data: Path) -> list[RenderedTrack]:
    return lay_out_tracks(SYNTHETIC, data, EVERY)


def collated(*examples: dict[str, Any]) -> dict[str, Tensor]:
    return {k: torch.as_tensor(np.stack([e[k] for e in examples])) for k in examples[0]}


def difference(image: Tensor | np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(image).astype(int) - expected).mean())


def test_tracks_are_all_frames_of_the_sequences_of_the_reader(
    data: Path, tracks: list[RenderedTrack]
) -> None:
    views = {(v.sequence, v.frame): v for v in read_synthetic(data / SYNTHETIC.path, 96)}
    assert {(t.name, f) for t in tracks for f in t.frames.tolist()} == set(views)
    assert sum(track.weight for track in tracks) == pytest.approx(0.6)
    for track in tracks:
        for position in (0, len(track.frames) // 2):
            view = views[track.name, int(track.frames[position])]
            assert (track.scene, tuple(track.boxes_ltwh[position])) == (view.scene, view.box)
            assert np.array_equal(track.image(position), view.image)
            assert track.layout.visible(view.frame) >= MIN_VISIBLE


def test_a_filter_applies_to_frames(data: Path, tracks: list[RenderedTrack]) -> None:
    sides = np.concatenate([track.boxes_ltwh[:, 2:].min(1) for track in tracks])
    least = float(np.median(sides))
    kept = lay_out_tracks(SYNTHETIC, data, replace(EVERY, min_side=least))
    assert sum(len(track.frames) for track in kept) == np.count_nonzero(sides >= least)
    with pytest.raises(DataError, match='no usable target'):
        lay_out_tracks(SYNTHETIC, data, replace(EVERY, min_side=400))
    with pytest.raises(DataError, match='matches'):
        lay_out_tracks(replace(SYNTHETIC, path='nowhere'), data, EVERY)


def test_scenes_come_unchanged_from_other_processes(tracks: list[RenderedTrack]) -> None:
    again = pickle.loads(pickle.dumps(tracks[0]))
    assert np.array_equal(again.image(3), tracks[0].image(3))


@pytest.mark.parametrize('size', [64, 96])
def test_examples_have_the_boxes_and_images_of_the_cpu(
    tracks: list[RenderedTrack], size: int
) -> None:
    images, placed = load_frames(tracks, CPU)
    settings = SearchAreaSettings(size, 2.5, 1, 1, train_scale_jitter=0.0, test_scale_jitter=0.0)
    for track, other in zip(tracks, placed, strict=True):
        assert isinstance(other, PlacedTrack)
        for flip in (0.0, 1.0):
            look = AppearanceSettings(flip=flip)
            # Without changes of light both draw the same, but for one number per crop.
            wanted = make_example(track, np.random.default_rng(5), settings, look)
            plan = make_example(other, np.random.default_rng(5), settings, look)
            assert plan['boxes_ltwh'][0] == pytest.approx(wanted['boxes_ltwh'][0], abs=1e-4)
            found = images.cut(collated(plan), size)['images'][0, 0]
            assert difference(found, wanted['images'][0]) < CLOSE
            shifted = {**plan, 'windows': plan['windows'] + [1, 0, 0]}
            found = images.cut(collated(shifted), size)['images'][0, 0]
            assert difference(found, wanted['images'][0]) > 2 * CLOSE


def test_pairs_are_mirrored_one_by_one(tracks: list[RenderedTrack]) -> None:
    images, (placed,) = load_frames(tracks[:1], CPU)
    plan = make_pair(placed, np.random.default_rng(1), PairSettings(size=96), AppearanceSettings())
    plain = images.cut(collated(plan), 96)['images'][0]
    plan['mirrored'] = np.array([False, True])
    first, second = images.cut(collated(plan), 96)['images'][0]
    assert torch.equal(first, plain[0]) and torch.equal(second, plain[1].flip(1))
    assert not torch.equal(second, plain[1])


def test_crops_of_all_origins_keep_their_order(data: Path, tmp_path: Path) -> None:
    wide = lay_out_tracks(WIDE, data, EVERY)
    narrow = lay_out_tracks(SYNTHETIC, data, EVERY)
    clips = load_tracks(Source('train/*', 'clips'), data, tmp_path / 'cache', EVERY)
    mixed = [narrow[1], clips[0], wide[0], narrow[0], clips[2], wide[2]]
    images, placed = load_frames(mixed, CPU)
    assert [track.name for track in placed] == [track.name for track in mixed]
    assert len(images.origins) == 3
    numbers = np.concatenate([track.numbers for track in placed])
    assert len(set(numbers.tolist())) == len(numbers)
    assert max(numbers) < sum(map(len, images.origins))
    settings = SearchAreaSettings(size=96, factor=2.5)
    plans, wanted = [], []
    for track, other in zip(mixed, placed, strict=True):
        box = track.boxes_ltwh[2]
        plans.append(plan_of(other, 2, place_window(box, other.shapes[2], settings)))
        wanted.append(cut_search_area(track.image(2), box, box, settings)[0])
    found = images.cut(collated(*plans), 96)
    assert set(found) == {'images', 'scene'} and found['images'].shape == (6, 1, 96, 96, 3)
    for image, expected in zip(found['images'][:, 0], wanted, strict=True):
        assert difference(image, expected) < CLOSE
    assert_same_alone(images, plans, found['images'])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_gpu_makes_the_same_crops_without_being_waited_for(data: Path, tmp_path: Path) -> None:
    clips = load_tracks(Source('train/*', 'clips'), data, tmp_path / 'cache', EVERY)
    mixed = [*lay_out_tracks(WIDE, data, EVERY), *clips]
    (on_cpu, placed), (on_gpu, _) = (load_frames(mixed, torch.device(d)) for d in ('cpu', 'cuda'))
    settings = SearchAreaSettings(96, 2.5, 1, 1)
    batch = collated(
        *(
            make_example(t, np.random.default_rng(1), settings, AppearanceSettings())
            for t in placed
        )
    )
    on_gpu.cut(batch, 96)
    torch.cuda.set_sync_debug_mode('error')
    try:
        found = on_gpu.cut(batch, 96)['images']
    finally:
        torch.cuda.set_sync_debug_mode('default')
    for image, expected in zip(found.cpu(), on_cpu.cut(batch, 96)['images'], strict=True):
        assert difference(image, expected.numpy()) < 0.05


def plan_of(track: PlacedTrack, position: int, window: tuple[int, int, int]) -> dict[str, Any]:
    ends = np.array(window[:2]) + window[2] - 1
    return {
        'frames': track.numbers[[position]],
        'windows': np.array([window]),
        'last': np.minimum(ends, track.shapes[position][::-1] - 2)[None],
        'mirrored': np.array([False]),
        'reduction': np.float32(1),
        'scene': np.int64(7),
    }


def assert_same_alone(images: DeviceImages, plans: list[dict[str, Any]], found: Tensor) -> None:
    """What is in a batch does not depend on the rest of it."""
    for plan, image in zip(plans, found, strict=True):
        assert torch.equal(images.cut(collated(plan), 96)['images'][0], image)


def test_a_message_counts_scenes_and_frames(
    monkeypatch: pytest.MonkeyPatch, tracks: list[RenderedTrack]
) -> None:
    needed = sum(each.bytes() for each in scenes_of(load_frames(tracks, CPU)[0])) / 1e9
    assert needed > 0.001
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda _: (1e9 * needed, 2e9 * needed))
    with pytest.raises(DataError, match=f'frames need 0.0 GB and .* scenes {needed:.1f} GB'):
        load_frames(tracks, torch.device('cuda'))


def scenes_of(images: DeviceImages) -> list[Any]:
    return [origin.scenes for origin in images.origins if hasattr(origin, 'scenes')]


def recipe_of(data: Path, tmp_path: Path, **schedule: Any) -> Any:
    return parse_recipe(
        {
            'recipe': 'dimp18',
            'data': str(data),
            'cache': str(tmp_path / 'cache'),
            'held_out': ['photos/1'],
            'sources': [
                {'path': 'train/*', 'kind': 'clips', 'max_frames': 4, 'share': 0.5},
                {'path': 'images/photos', 'kind': 'synthetic', 'max_frames': 2, 'share': 0.5},
            ],
            'frames': {'min_area': 0, 'min_side': 2, 'max_share': 1.0},
            'areas': {'size': 64, 'train_frames': 1, 'test_frames': 1},
            'settings': {'iterations': 1, 'parts': ['classifier']},
            'schedule': {
                'epochs': 1,
                'batch_size': 4,
                'examples_per_epoch': 8,
                'validation_examples': 2,
                'workers': 0,
                'crop_on_device': True,
                'render_on_device': True,
                'device': 'cpu',
                **schedule,
            },
        }
    )


def test_a_run_mixes_clips_and_rendered_tracks(data: Path, tmp_path: Path) -> None:
    run = Run(recipe_of(data, tmp_path), tmp_path / 'run')
    assert not list((tmp_path / 'cache').glob('photos-*')), 'nothing is stored'
    batch = next(iter(make_loader(run.training, EpochSampler(0, 8), run.schedule)))
    assert run._frames is not None
    is_rendered = batch['frames'] >= len(run._frames.origins[0])
    assert is_rendered.any() and not is_rendered.all()
    moved = run._to_device(batch)
    assert moved['images'].shape == (4, 2, 64, 64, 3)
    assert np.isfinite(run.train())


@pytest.mark.parametrize('frames', ['rendered', 'stored'])
def test_a_run_on_another_device_waits_only_for_what_it_tells(
    data: Path, tmp_path: Path, second_device: SecondDevice, frames: str
) -> None:
    changes = {'render_on_device': frames == 'rendered'}
    on_cpu, other = (
        Run(recipe_of(data, tmp_path, device=device, **changes), tmp_path / device)
        for device in ('cpu', 'cuda')
    )
    other.network.load_state_dict(on_cpu.network.state_dict())
    second_device.waits.clear()
    for batch in make_loader(on_cpu.training, EpochSampler(0, 8), on_cpu.schedule):
        loss, watched = on_cpu.train_on(batch)
        found, told = other.train_on(batch)
        assert found == pytest.approx(loss, rel=1e-4)
        assert told == pytest.approx(watched, rel=1e-3)
    assert set(second_device.waits) == {'torch.Tensor.__float__'}
    assert len(second_device.waits) <= 2 * (len(watched) + 1)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(data, tmp_path)
    whole, first = (Run(recipe, tmp_path / name) for name in ('whole', 'first'))
    batches = list(make_loader(whole.training, EpochSampler(0, 8), recipe.schedule))
    losses = [whole.train_on(batch)[0] for batch in batches]
    assert first.train_on(batches[0])[0] == losses[0]
    first.save('last.pt')
    again = Run(recipe, tmp_path / 'again')
    again.resume(tmp_path / 'first' / 'last.pt')
    (batch,) = make_loader(again.training, EpochSampler(0, 8, again.position), recipe.schedule)
    assert again.train_on(batch)[0] == losses[1]


def test_check_data_counts_and_shows_rendered_frames(data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(data, tmp_path)
    _, rendered = count_sources(recipe)
    tracks = lay_out_tracks(replace(SYNTHETIC), data, recipe.frames)
    assert rendered.targets == len(tracks) > rendered.held_out > 0
    assert rendered.frames == sum(len(track.frames) for track in tracks) > 2 * len(tracks)
    assert unreadable_images(recipe) == []
    write_contact_sheet(recipe, tmp_path / 'sheet.png', 3)
    assert cv2.imread(str(tmp_path / 'sheet.png')) is not None


@pytest.mark.parametrize('left_out', ['crop_on_device', 'render_on_device'])
def test_without_the_device_frames_are_stored_as_before(
    data: Path, tmp_path: Path, left_out: str
) -> None:
    run = Run(recipe_of(data, tmp_path, **{left_out: False}), tmp_path / 'run')
    assert list((tmp_path / 'cache').glob('photos-*/frames.bin'))
    synthetic = [t for t in run.training.tracks if t.name.startswith('synthetic/')]
    assert synthetic and all(len(track.frames) <= 2 for track in synthetic)
