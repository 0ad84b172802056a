"""Images that cannot be read cost an example, not the run, until there are too many."""

from pathlib import Path

import numpy as np
import pytest

from training import readable
from training.crops import CropSettings, load_source
from training.datasets import DataError, UnreadableError
from training.examples import make_loader
from training.readable import ReadableExamples
from training.recipe import Schedule
from training.sampling import EpochSampler, FrameFilter
from training.sources import DataSetSource


class Numbers:
    """Examples of which some are unreadable."""

    def __init__(self, count: int, broken: set[int]) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, int]:
        if key[1] in self.broken:
            raise UnreadableError(f'image {key[1]} is missing')
        return {'at': 100 * key[0] + key[1]}


@pytest.fixture(autouse=True)
def _nothing_told():
    readable._told.cache_clear()


@pytest.mark.parametrize('workers', [0, 2])
def test_the_next_readable_example_stands_in_and_is_told_once(workers: int, capfd):
    examples = Numbers(8, {2, 3, 7})
    schedule = Schedule(batch_size=4, workers=workers)
    for _ in range(2):
        loader = make_loader(examples, EpochSampler(5, 8), schedule)  # type: ignore[arg-type]
        found = np.concatenate([batch['at'] for batch in loader])
        assert found.tolist() == [500, 501, 504, 504, 504, 505, 506, 500]
    told = capfd.readouterr().err.splitlines()
    assert sorted(line for line in told if line) == [
        f'image {number} is missing; another example is used instead' for number in (2, 3, 7)
    ]


def test_too_many_end_the_run(monkeypatch):
    monkeypatch.setattr(readable, '_ALLOWED', 3)
    examples = ReadableExamples(Numbers(50, {1, 2, 3, 4}))
    assert examples[0, 2] == {'at': 5}
    with pytest.raises(
        DataError, match='4 times in 50 examples an image could not be read, last: '
    ):
        examples[0, 4]
    with pytest.raises(UnreadableError, match='image 1 is missing'):
        ReadableExamples(Numbers(2, {0, 1}))[0, 0]
    many = ReadableExamples(Numbers(50, {1, 2, 3, 4}), count=500)
    assert [many[epoch, 4]['at'] for epoch in range(5)] == [5, 105, 205, 305, 405]


def test_crops_are_cut_from_the_images_that_can_be_read(tmp_path: Path, moving_frame, capfd):
    import cv2

    folder = tmp_path / 'TN' / 'TRAIN_0'
    (folder / 'anno').mkdir(parents=True)
    (folder / 'frames' / 'a').mkdir(parents=True)
    boxes = [f'{30 + 3 * index},45,40,30' for index in range(20)]
    (folder / 'anno' / 'a.txt').write_text('\n'.join(boxes))
    for index in range(20):
        path = folder / 'frames' / 'a' / f'{index}.jpg'
        cv2.imwrite(str(path), moving_frame(1, index)[..., ::-1])
        if index in (3, 7):
            path.write_bytes(path.read_bytes()[:-100])
    source = DataSetSource('TN', 'trackingnet', split='0')
    arguments = source, tmp_path, tmp_path / 'cache', CropSettings(), FrameFilter()
    (sequence,) = load_source(*arguments)
    assert sequence.frames.tolist() == [each for each in range(20) if each not in (3, 7)]
    assert capfd.readouterr().err.count('is cut off: its end is missing; it is left out') == 2
    for index in range(12):
        (folder / 'frames' / 'a' / f'{index}.jpg').write_bytes(b'')
    (tmp_path / 'cache').rename(tmp_path / 'other')
    with pytest.raises(DataError, match=r'\.jpg is missing or no image'):
        load_source(*arguments)
