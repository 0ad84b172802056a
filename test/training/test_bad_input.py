"""Full disks, damaged files, impossible boxes and masks: a clear error, nothing half-written."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from training import checkpoint
from training.__main__ import main
from training.crops import CropSettings, load_source
from training.datasets import DataError, UnreadableError, read_clip, read_image, read_instances
from training.examples import load_examples
from training.features import ShardWriter, StoredExamples
from training.frames import load_tracks
from training.loop import Run
from training.readers.folder import read_folder
from training.recipe import parse_recipe
from training.sampling import FrameFilter
from training.sources import Source

ROOT = Path(__file__).parents[2]
STATE = {'network': {'weight': torch.ones(1000)}, 'recipe': {}}
CLIPS = Source('train/*', 'clips')
ANY_SIZE = FrameFilter(0, 0, 1e9, 0, 1e9, 0, 1e9)
#: Trains; from the first checkpoint on no file may grow beyond 100 kB.
FULL_DISK = """
import resource, sys
from training import __main__, loop
original = loop.Run.save
def save(self, name):
    original(self, name)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
loop.Run.save = save
sys.exit(__main__.main(sys.argv[1:]))
"""

#: Fails in the first step in a way that nobody expects; the trace keeps the workers in use.
FAILING = """
import sys
from training import __main__, siamfc
def loss(network, batch, recipe):
    raise KeyError('unexpected')
siamfc.loss = loss
sys.exit(__main__.main(sys.argv[1:]))
"""


def _recipe(content: dict[str, Any], tmp_path: Path, **schedule: Any) -> str:
    content['schedule'] |= schedule
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_full_disk_ends_the_run_and_keeps_the_checkpoint(
    content: dict[str, Any], tmp_path: Path
) -> None:
    recipe = _recipe(content, tmp_path, epochs=3, examples_per_epoch=2)
    ended = subprocess.run(
        [sys.executable, '-c', FULL_DISK, recipe],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 1
    assert 'Traceback' not in ended.stderr
    (line,) = [each for each in ended.stderr.splitlines() if each.startswith('error: ')]
    assert 'File too large' in line and 'last.pt' in line
    run = tmp_path / 'run'
    state = checkpoint.load(run / 'last.pt')  # as it was before the first validation
    assert (state['epoch'], state['position']) == (0, 2)
    assert not (run / 'best.pt').exists()
    assert [path.name for path in run.iterdir() if '.tmp' in path.name] == []


def test_failing_write_keeps_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'last.pt'
    checkpoint.save(path, STATE)
    written = 0

    def write(self: Any, data: Any) -> int:
        nonlocal written
        written += len(data)
        if written > 2000:
            self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise self.error
        return len(data)

    monkeypatch.setattr(checkpoint._Output, 'write', write)
    with pytest.raises(OSError, match=r'No space left on device.*last\.pt'):
        checkpoint.save(path, STATE | {'network': {'weight': torch.zeros(1000)}})
    assert torch.equal(checkpoint.load(path)['network']['weight'], torch.ones(1000))
    assert [each.name for each in tmp_path.iterdir()] == ['last.pt']


def test_run_goes_on_from_the_checkpoint_before_the_disk_was_full(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content['schedule'] |= {'examples_per_epoch': 2}
    recipe = parse_recipe(content)
    original = checkpoint.save
    calls = []

    def save(path: Path, state: Any) -> None:
        calls.append(path.name)
        if len(calls) == 4:  # last.pt of the second epoch: last.pt twice, then best.pt
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        original(path, state)

    monkeypatch.setattr(checkpoint, 'save', save)
    with pytest.raises(OSError, match='No space left'):
        Run(recipe, tmp_path / 'run').train()
    monkeypatch.setattr(checkpoint, 'save', original)
    resumed = Run(recipe, tmp_path / 'run')
    resumed.resume(tmp_path / 'run' / 'last.pt')
    assert resumed.epoch == 1
    resumed.train()
    assert checkpoint.load(tmp_path / 'run' / 'last.pt')['epoch'] == 2


def test_folder_that_cannot_be_written_is_told(
    content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').write_text('')
    recipe = _recipe(content, tmp_path)
    assert main([recipe, '--output', str(tmp_path / 'file' / 'run')]) == 1
    assert main([recipe, '--set', f'cache={tmp_path / "file"}/cache']) == 1
    errors = capsys.readouterr().err
    lines = [line for line in errors.splitlines() if line.startswith('error: ')]
    assert len(lines) == 2 and all(str(tmp_path / 'file') in line for line in lines)
    assert 'Traceback' not in errors


def test_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'last.pt'
    checkpoint.save(path, STATE)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(checkpoint.CheckpointError, match='is no checkpoint of a training run'):
        checkpoint.load(path)


@pytest.mark.parametrize(('file', 'keep'), [('crops.bin', 1000), ('views.json', 10)])
def test_truncated_crops_are_named(data: Path, tmp_path: Path, file: str, keep: int) -> None:
    load_source(CLIPS, data, tmp_path, CropSettings(), FrameFilter())
    (entry,) = tmp_path.glob('one-*')
    (entry / file).write_bytes((entry / file).read_bytes()[:keep])
    with pytest.raises(DataError, match=rf'{entry.name} is damaged: delete'):
        load_source(CLIPS, data, tmp_path, CropSettings(), FrameFilter())


@pytest.mark.parametrize('keep', [0, 3000])
def test_truncated_frames_are_named(data: Path, tmp_path: Path, keep: int) -> None:
    track = load_tracks(CLIPS, data, tmp_path, FrameFilter())[0]
    track.file.write_bytes(track.file.read_bytes()[:keep])  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r'frames\.bin is damaged'):
        track.image(7)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_images_that_are_cut_off_are_refused(data: Path, tmp_path: Path, suffix: str) -> None:
    whole = (data / 'images' / 'photos' / f'0{suffix}').read_bytes()
    # A camera writes a small picture before the pixels, and may append anything.
    preview = b'\xff\xe1\x00\x08\xff\xd8\xff\xd9\x00\x00' if suffix == '.jpg' else b''
    path = tmp_path / f'image{suffix}'
    path.write_bytes(whole[:2] + preview + whole[2:] + bytes(5000))
    assert read_image(path).shape == (120, 160, 3)
    for share in (0.3, 0.7, 0.95):
        path.write_bytes((whole[:2] + preview + whole[2:])[: int(share * len(whole))])
        with pytest.raises(UnreadableError, match=rf'image\{suffix} is cut off'):
            read_image(path)


def test_folder_with_an_image_that_is_cut_off_is_refused(tmp_path: Path, moving_frame) -> None:
    (tmp_path / 'f').mkdir()
    (tmp_path / 'f' / 'groundtruth.txt').write_text('30,45,40,30\n')
    path = tmp_path / 'f' / '1.jpg'
    coded = cv2.imencode('.jpg', moving_frame(1, 0))[1].tobytes()
    path.write_bytes(coded)
    assert len(list(read_folder(tmp_path / 'f', 9))) == 1
    path.write_bytes(coded[:-900])
    with pytest.raises(DataError, match=r'1\.jpg is cut off'):
        list(read_folder(tmp_path / 'f', 9))


def test_missing_files_are_told_together(content: dict[str, Any], data: Path) -> None:
    for name in ('one', 'two_t1', 'two_t2'):
        (data / 'train' / name / 'groundtruth.txt').unlink()
    (data / 'images' / 'photos' / 'annotations.json').unlink()
    with pytest.raises(DataError) as caught:
        load_examples(parse_recipe(content))  # type: ignore[arg-type]
    for name in ('one/ground', 'two_t1/ground', 'two_t2/ground', 'photos/annotations.json'):
        assert name in str(caught.value)


def test_truncated_features_are_named(tmp_path: Path) -> None:
    ShardWriter(tmp_path / '0-of-1').append([{'a': np.ones(5)}, {'a': np.ones(5)}])
    path = tmp_path / '0-of-1' / 'a.bin'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r'a\.bin is damaged'):
        StoredExamples(tmp_path, ('a',))


def test_truncated_video_is_named(data: Path) -> None:
    path = data / 'train' / 'one' / 'clip.mp4'
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match='one'):
        list(read_clip(path.parent, 100))


@pytest.mark.parametrize('box', ['30,45,0,30', '30,45,40,0', '30,45,-40,30', '30,45,0,0'])
def test_boxes_without_area_are_skipped(data: Path, tmp_path: Path, box: str) -> None:
    path = data / 'train' / 'one' / 'groundtruth.txt'
    rows = path.read_text().splitlines()
    path.write_text('\n'.join([rows[0], box, *rows[2:]]))
    for frames in (FrameFilter(), ANY_SIZE):
        (sequence, *_) = load_source(CLIPS, data, tmp_path, CropSettings(), frames)
        assert sequence.frames.tolist() == [0, *range(2, 8)]


@pytest.mark.parametrize('mask', [np.full((60, 80), 255, np.uint8), b'no image'])
def test_wrong_masks_of_a_clip_are_named(data: Path, mask: Any) -> None:
    folder = data / 'train' / 'one'
    (folder / 'mask').mkdir()
    path = folder / 'mask' / '000002.png'
    path.write_bytes(mask if isinstance(mask, bytes) else cv2.imencode('.png', mask)[1].tobytes())
    with pytest.raises(DataError, match=r'000002\.png is .*its image is of size \(120, 160\)'):
        list(read_clip(folder, 100))


@pytest.mark.parametrize(
    ('records', 'message'),
    [
        ('{"images": [', 'needs `images`'),
        ('[1]', 'needs `images`'),
        ([{'file': '0.jpg', 'instances': [{'polygons': [[1, 2, 3]]}]}], 'three points'),
        ([{'file': '9.jpg', 'instances': []}], r'9\.jpg is missing or no image'),
        ([{'file': '0.jpg', 'instances': [{'mask': 'x.png', 'value': 1}]}], r'x\.png is missing'),
    ],
)
def test_wrong_annotations_of_photographs_are_named(
    data: Path, records: Any, message: str
) -> None:
    path = data / 'images' / 'photos' / 'annotations.json'
    text = records if isinstance(records, str) else json.dumps({'images': records})
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_instances(path.parent))


def test_mask_without_a_pixel_is_no_target(data: Path) -> None:
    path = data / 'images' / 'photos' / '1_mask.png'
    cv2.imwrite(str(path), np.zeros((120, 160), np.uint8))
    assert len(list(read_instances(path.parent))) == 5


def test_unreadable_frame_ends_the_run_though_a_worker_meets_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    def fail(*_: Any) -> None:
        raise DataError('frame 7 of one cannot be decoded')

    monkeypatch.setattr('training.siamfc.make_example', fail)
    source = {'path': 'train/*', 'kind': 'clips'}
    schedule = {'epochs': 1, 'examples_per_epoch': 2, 'batch_size': 2, 'workers': 1}
    content = {
        'recipe': 'siamfc', 'data': str(data), 'cache': str(tmp_path / 'cache'),
        'output': str(tmp_path / 'run'), 'sources': [source], 'schedule': schedule,
    }  # fmt: skip
    assert main([_recipe(content, tmp_path)]) == 1
    assert 'error: frame 7 of one cannot be decoded\n' in capsys.readouterr().err


def test_run_that_fails_does_not_wait_for_its_workers(
    content: dict[str, Any], tmp_path: Path
) -> None:
    content['schedule'] |= {'workers': 1, 'examples_per_epoch': 2}
    ended = subprocess.run(
        [sys.executable, '-c', FAILING, _recipe(content, tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1 and 'KeyError: ' in ended.stderr


def test_one_sequence_of_one_frame_trains(
    content: dict[str, Any], tmp_path: Path, write_clip: Callable[..., Path]
) -> None:
    write_clip(tmp_path / 'alone' / 'clip', 1, frames=1)
    content |= {'data': str(tmp_path / 'alone'), 'held_out': []}
    content['sources'] = [{'path': '*', 'kind': 'clips'}]
    content['schedule'] |= {'epochs': 1, 'examples_per_epoch': 2}
    content['settings'] |= {'other_negatives': 0.4}
    run = Run(parse_recipe(content), tmp_path / 'run')
    run.train()
    assert run.step == 1
    content['schedule'] |= {'examples_per_epoch': 0}
    with pytest.raises(DataError, match='1 pairs per epoch do not fill one batch of 2'):
        Run(parse_recipe(content), tmp_path / 'run')
    content |= {'held_out': ['clip']}
    with pytest.raises(DataError, match='no sequence is left to train on'):
        Run(parse_recipe(content), tmp_path / 'run')
