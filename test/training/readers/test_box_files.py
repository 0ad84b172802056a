"""GOT-10k, LaSOT and TrackingNet on tiny folders in their layouts."""

from pathlib import Path

import numpy as np
import pytest

from training.datasets import DataError
from training.readers.target import Findings


def write_boxes(path: Path, rows: list[list[float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(','.join(map(str, row)) for row in rows) + '\n')


def got10k(root: Path, write_frames, name: str = 'GOT-10k_Train_000001') -> Path:
    folder = root / 'train' / name
    write_frames(folder, '%08d.jpg', 5, first=1)
    write_boxes(folder / 'groundtruth.txt', [[31 + 3 * i, 46, 40, 30] for i in range(5)])
    (folder / 'absence.label').write_text('0\n1\n0\n0\n0\n')
    (folder / 'cover.label').write_text('8\n8\n2\n3\n0\n')
    with (root / 'train' / 'list.txt').open('a') as file:
        file.write(name + '\n')
    return folder


def test_got10k_visible_and_clear_frames(tmp_path: Path, write_frames, find, moving_frame):
    got10k(tmp_path, write_frames)
    findings = Findings()
    (target,) = find('got10k', tmp_path, findings)
    assert target.frames.tolist() == [1, 3, 4]
    assert target.boxes_ltwh[1].tolist() == [36, 45, 40, 30], 'the files count from 1'
    assert target.size == (160, 120)
    assert findings.skipped == {'target absent by label': 1, 'target covered': 1}
    assert np.abs(target.image(1).astype(int) - moving_frame(3, 2)).mean() < 8
    (clear,) = find('got10k', tmp_path, visibility='clear')
    assert clear.frames.tolist() == [1, 4], 'cover must exceed 0.3 of 8'


def test_recordings_are_left_out_by_name(tmp_path: Path, write_frames, find):
    for number in (1, 2):
        got10k(tmp_path, write_frames, f'GOT-10k_Train_{number:06d}')
    names = {'GOT-10k_Train_000001'}
    assert [t.name for t in find('got10k', tmp_path, without=names)] == ['GOT-10k_Train_000002']


def test_everything_that_is_missing_is_found(tmp_path: Path, write_frames, find):
    first = got10k(tmp_path, write_frames)
    second = got10k(tmp_path, write_frames, 'GOT-10k_Train_000002')
    (first / '00000003.jpg').unlink()
    (first / '00000004.jpg').unlink()
    (second / 'cover.label').unlink()
    (tmp_path / 'train' / 'list.txt').open('a').write('GOT-10k_Train_000003\n')
    findings = Findings()
    find('got10k', tmp_path, findings)
    assert [problem.split('train/')[1] for problem in findings.problems] == [
        'GOT-10k_Train_000001/00000003.jpg is missing',
        'GOT-10k_Train_000001/00000004.jpg is missing',
        'GOT-10k_Train_000002/cover.label is missing',
        'GOT-10k_Train_000003/groundtruth.txt is missing',
    ]
    with pytest.raises(DataError, match=r'4 files are missing or damaged:\n.*00000003'):
        findings.check(tmp_path)


def test_bad_rows_are_counted_or_named(tmp_path: Path, write_frames, find):
    folder = got10k(tmp_path, write_frames)
    rows = [[31, 46, 40, 30], [31, 46, 0, 30], [float('nan')] * 4, [31, 46, -3, 2], [1, 1, 9, 9]]
    write_boxes(folder / 'groundtruth.txt', rows)
    for name, value in (('absence', 0), ('cover', 8)):
        (folder / f'{name}.label').write_text(f'{value}\n' * 5)
    findings = Findings()
    (target,) = find('got10k', tmp_path, findings)
    assert target.frames.tolist() == [1, 5]
    assert findings.skipped == {'box without area': 2, 'target absent': 1}
    (folder / 'groundtruth.txt').write_text('1,2,3\n1,2,three\n')
    (folder / 'cover.label').write_text('8\n8\n')
    find('got10k', tmp_path, findings)
    assert 'groundtruth.txt: ' in findings.problems[0]


def test_a_target_that_is_never_seen_is_none(tmp_path: Path, write_frames, find):
    folder = got10k(tmp_path, write_frames)
    (folder / 'absence.label').write_text('1\n' * 5)
    assert find('got10k', tmp_path) == []


@pytest.mark.filterwarnings('ignore:loadtxt')
@pytest.mark.parametrize(('rows', 'count'), [([[31, 46, 40]] * 5, 3), ([], 1)])
def test_rows_that_are_no_boxes_are_named(tmp_path: Path, write_frames, find, rows, count):
    write_boxes(got10k(tmp_path, write_frames) / 'groundtruth.txt', rows)
    findings = Findings()
    assert find('got10k', tmp_path, findings) == []
    assert findings.problems[-1].endswith(f'boxes have {count} numbers, expected 4')


def test_labels_of_another_length_are_a_problem(tmp_path: Path, write_frames, find):
    (got10k(tmp_path, write_frames) / 'cover.label').write_text('8\n8\n')
    findings = Findings()
    find('got10k', tmp_path, findings)
    assert findings.problems[0].endswith('cover.label has 2 numbers, expected 5')


@pytest.mark.parametrize('by_class', [True, False])
def test_lasot_leaves_the_test_part_out(tmp_path: Path, write_frames, find, by_class):
    for name in ('dog-1', 'dog-2'):  # dog-1 belongs to the test part
        folder = tmp_path / 'dog' / name if by_class else tmp_path / name
        write_frames(folder / 'img', '%08d.jpg', 4, first=1)
        write_boxes(folder / 'groundtruth.txt', [[30, 45, 40, 30]] * 4)
        (folder / 'full_occlusion.txt').write_text('0,1,0,0\n')
        (folder / 'out_of_view.txt').write_text('0,0,1,0\n')
    findings = Findings()
    (target,) = find('lasot', tmp_path, findings)
    assert (target.name, target.frames.tolist()) == ('dog-2', [1, 4])
    assert findings.skipped == {'fully occluded': 1, 'out of view': 1}
    assert [t.name for t in find('lasot', tmp_path, split='test')] == ['dog-1']
    assert len(find('lasot', tmp_path, split='all')) == 2
    (kept,) = find('lasot', tmp_path, split='all', without={'dog-2'})
    assert kept.name == 'dog-1'
    with pytest.raises(DataError, match='valid: train, test, all'):
        find('lasot', tmp_path, split='training')


def test_trackingnet_reads_chunks(tmp_path: Path, write_frames, find):
    for chunk in (0, 1, 5):
        folder = tmp_path / f'TRAIN_{chunk}'
        write_frames(folder / 'frames' / f'v{chunk}_0', '%d.jpg', 11)
        boxes = [[30.5, 45, 40, 30]] * 10 + [[0, 0, 0, 0]]
        write_boxes(folder / 'anno' / f'v{chunk}_0.txt', boxes)
    targets = find('trackingnet', tmp_path, split='0,5')
    assert [target.name for target in targets] == ['v0_0', 'v5_0']
    (kept,) = find('trackingnet', tmp_path, split='0,5', without={'v0_0'})
    assert kept.name == 'v5_0'
    assert targets[0].frames.tolist() == list(range(10))
    assert targets[0].path(9).name == '9.jpg'
    assert len(find('trackingnet', tmp_path, split='all')) == 3
    findings = Findings()
    find('trackingnet', tmp_path, findings)
    assert [p.split('/')[-2] for p in findings.problems] == ['TRAIN_2', 'TRAIN_3']
