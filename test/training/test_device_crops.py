"""Crops cut on the device: the same pixels and boxes as those that are cut in the workers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from training.augmentation import AppearanceSettings, reduce_resolution
from training.datasets import DataError, UnreadableError
from training.dcfst_settings import PairSettings
from training.device_crops import DeviceFrames, load_frames, place_all, reduce
from training.examples import make_loader
from training.frames import PlacedTrack, StoredTrack
from training.loop import Run
from training.pairs import make_pair
from training.recipe import SiamFCRecipe, parse_recipe
from training.sampling import EpochSampler
from training.search_areas import SearchAreaSettings, cut_search_area, make_example, place_window

CPU = torch.device('cpu')
SETTINGS = SearchAreaSettings(size=96)


@dataclass
class _Track:
    """Track in memory."""

    images: list[np.ndarray]
    boxes_ltwh: np.ndarray
    name: str = 'track'
    scene: str = 'scene'
    weight: float = 1.0

    @property
    def frames(self) -> np.ndarray:
        return np.arange(len(self.images))

    def image(self, position: int) -> np.ndarray:
        return self.images[position]


def _track(count: int = 3, shape: tuple[int, int] = (90, 130), seed: int = 1) -> _Track:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for _ in range(count)]
    return _Track(images, np.tile([40.0, 30.0, 24.0, 20.0], (count, 1)))


def _collated(example: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {k: torch.as_tensor(np.asarray(v))[None] for k, v in example.items()}


@pytest.mark.parametrize('border', ['replicate', 'inside', 'inside_major'])
@pytest.mark.parametrize('size', [11.0, 24.0, 60.0])
@pytest.mark.parametrize('corner', [(40.0, 30.0), (-4.0, -3.0), (110.0, 80.0), (70.0, 5.0)])
def test_pixels_are_those_of_the_cpu(
    corner: tuple[float, float], size: float, border: str
) -> None:
    track, settings = _track(2), replace(SETTINGS, border=border)
    frames, (placed,) = load_frames([track], CPU)
    around = np.array([*corner, size, size])
    wanted, _ = cut_search_area(track.images[1], around, around, settings)
    plan = _plan(placed, 1, place_window(around, (90, 130), settings))
    image = frames.cut(plan, settings.size)['images'][0, 0]
    # OpenCV weighs pixels in steps of 1/2048, so that noise differs by up to a grey value.
    assert np.abs(image.numpy().astype(int) - wanted).max() <= 1


@pytest.mark.parametrize('draw', [make_example, make_pair])
def test_an_image_that_cannot_be_read_costs_the_examples_that_show_it(draw: Any) -> None:
    track, settings = _track(2), SETTINGS if draw is make_example else PairSettings(size=96)
    frames, placed = load_frames([_Unreadable(track.images, track.boxes_ltwh), track], CPU)
    with pytest.raises(UnreadableError, match=r'1\.jpg is missing'):
        draw(placed[0], np.random.default_rng(1), settings, AppearanceSettings())
    plan = draw(placed[1], np.random.default_rng(1), settings, AppearanceSettings())
    (other,) = load_frames([track], CPU)[1]
    alone = draw(other, np.random.default_rng(1), settings, AppearanceSettings())
    found, wanted = (
        images.cut(_collated(each), 96)['images']
        for images, each in ((frames, plan), (load_frames([track], CPU)[0], alone))
    )
    assert torch.equal(found, wanted)


class _Unreadable(_Track):
    def image(self, position: int) -> np.ndarray:
        if position == 1:
            raise UnreadableError('1.jpg is missing')
        return super().image(position)


def _plan(
    placed: PlacedTrack, position: int, window: tuple[int, int, int]
) -> dict[str, torch.Tensor]:
    height, width = placed.shapes[position].tolist()
    ends = [start + window[2] - 1 for start in window[:2]]
    last = [n - 2 if end >= n - 1 else end for end, n in zip(ends, (width, height), strict=True)]
    return {
        'frames': torch.tensor([[int(placed.numbers[position])]]),
        'windows': torch.tensor([[list(window)]]),
        'last': torch.tensor([[last]]),
        'mirrored': torch.tensor([[False]]),
        'reduction': torch.ones(1),
    }


def test_examples_have_the_boxes_and_images_of_the_cpu() -> None:
    track = _track()
    settings = replace(
        SETTINGS, test_frames=1, train_frames=1, train_scale_jitter=0.0, test_scale_jitter=0.0
    )
    frames, (placed,) = load_frames([track], CPU)
    for seed in range(8):
        flips = AppearanceSettings(flip=0.5)
        # Without changes of light both draw the same, but for one number per crop (of `blur`).
        wanted = make_example(track, np.random.default_rng(seed), settings, flips)
        plan = make_example(placed, np.random.default_rng(seed), settings, flips)
        assert plan['boxes_ltwh'][0] == pytest.approx(wanted['boxes_ltwh'][0], abs=1e-4)
        cut = frames.cut(_collated(plan), settings.size)
        difference = cut['images'][0, 0].numpy().astype(int) - wanted['images'][0]
        assert np.abs(difference).max() <= 1
        assert set(cut) == {'images', 'boxes_ltwh'}


def test_pairs_have_the_boxes_and_images_of_the_cpu() -> None:
    track, settings = _track(2), PairSettings(size=96)
    frames, (placed,) = load_frames([track], CPU)
    for flip in (0.0, 1.0):
        appearance = AppearanceSettings(flip=flip)
        plan = make_pair(placed, np.random.default_rng(3), settings, appearance)
        cut = frames.cut(_collated(plan), 96)
        first = int(plan['frames'][0])
        alone = _Track([track.images[first]], track.boxes_ltwh[:1])
        wanted = make_pair(alone, np.random.default_rng(4), settings, appearance)
        assert plan['boxes_ltwh'][0] == pytest.approx(wanted['boxes_ltwh'][0], abs=1e-4)
        difference = cut['images'][0, 0].numpy().astype(int) - wanted['images'][0]
        assert np.abs(difference).max() <= 1


def test_boxes_of_pairs_are_mirrored_with_their_crops_and_the_second_is_off_the_centre() -> None:
    _, (placed,) = load_frames([_track(2)], CPU)
    plain, mirrored = (
        make_pair(
            placed, np.random.default_rng(3), PairSettings(size=96), AppearanceSettings(flip=flip)
        )['boxes_ltwh']
        for flip in (0.0, 1.0)
    )
    assert mirrored[:, 0] == pytest.approx(95 - plain[:, 0] - plain[:, 2], abs=1e-4)
    assert mirrored[:, 1:] == pytest.approx(plain[:, 1:])
    assert plain[0, :2] + plain[0, 2:] / 2 == pytest.approx(47.5, abs=1e-4)
    assert np.abs(plain[1, :2] + plain[1, 2:] / 2 - 47.5).min() > 1


@pytest.mark.parametrize('draw', [make_example, make_pair])
def test_resolution_is_lost_by_a_factor_of_one_and_a_half_to_four(draw: Any) -> None:
    settings = SETTINGS if draw is make_example else PairSettings(size=96)
    _, (placed,) = load_frames([_track(2)], CPU)

    def factor(seed: int, low_resolution: float) -> float:
        appearance = AppearanceSettings(low_resolution=low_resolution)
        return draw(placed, np.random.default_rng(seed), settings, appearance)['reduction']

    found = [factor(seed, 1.0) for seed in range(100)]
    assert 1.5 <= min(found) < 1.7 and 3.8 < max(found) <= 4
    assert factor(0, 0.0) == 1


def test_reduced_images_are_as_on_the_cpu() -> None:
    smooth = np.kron(np.random.default_rng(1).integers(0, 256, (12, 12, 3)), np.ones((8, 8, 1)))
    image = smooth.astype(np.uint8)
    batch = torch.from_numpy(np.stack([image, image]))[:, None]
    factors = torch.tensor([1.0, 3.0])
    same, reduced = reduce(batch.clone(), factors)[:, 0].numpy()
    assert (same == image).all()
    wanted = reduce_resolution(image, 3.0)
    assert np.abs(reduced.astype(float) - wanted).mean() < 1.0
    assert np.abs(image.astype(float) - wanted).mean() > 8.0


def test_an_image_of_several_tracks_is_stored_once(tmp_path: Path) -> None:
    shared = _track(1, (20, 30))
    file = tmp_path / 'frames.bin'
    coded = cv2.imencode('.png', shared.images[0])[1].tobytes()
    file.write_bytes(coded)
    place = np.array([[0, len(coded)]])
    one, two = (
        StoredTrack(name, 'scene', np.array([0]), shared.boxes_ltwh, place, file) for name in 'ab'
    )
    images, placed = load_frames([one, _track(1, (10, 10)), two], CPU)
    assert [track.numbers.tolist() for track in placed] == [[0], [1], [0]]
    (stored,) = images.origins
    assert isinstance(stored, DeviceFrames)
    assert stored.starts.tolist() == [0, 600] and stored.widths.tolist() == [30, 10]
    assert (stored.pixels[:600].view(20, 30, 3).flip(-1).numpy() == shared.images[0]).all()


def _recipe(data: Path, tmp_path: Path, **schedule: Any) -> Any:
    return parse_recipe(
        {
            'recipe': 'dimp18',
            'data': str(data),
            'cache': str(tmp_path / 'cache'),
            'sources': [{'path': 'train/*', 'kind': 'clips', 'max_frames': 4}],
            'frames': {'min_area': 0, 'min_side': 2, 'max_share': 1.0},
            'areas': {'size': 64, 'train_frames': 1, 'test_frames': 1},
            'settings': {'iterations': 1, 'parts': ['classifier']},
            'schedule': {
                'epochs': 1,
                'batch_size': 2,
                'examples_per_epoch': 4,
                'validation_examples': 2,
                'workers': 0,
                'crop_on_device': True,
                'device': 'cpu',
                **schedule,
            },
        }
    )


def test_batches_go_through_a_run(data: Path, tmp_path: Path) -> None:
    run = Run(_recipe(data, tmp_path), tmp_path / 'run')
    batch = next(iter(make_loader(run.training, EpochSampler(0, 4), run.schedule)))
    assert 'images' not in batch and batch['windows'].shape == (2, 2, 3)
    loss, _ = run.train_on(batch)
    assert np.isfinite(loss)


def test_stored_crops_and_frames_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Stored:
        pass

    with pytest.raises(DataError, match='needs a recipe that cuts search areas'):
        place_all([Stored()], CPU)  # type: ignore[list-item]
    assert not hasattr(SiamFCRecipe(), 'areas')
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda _: (10_000, 20_000))
    with pytest.raises(DataError, match='lower max_frames'):
        load_frames([_track()], torch.device('cuda'))
