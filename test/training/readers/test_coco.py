"""COCO on two tiny photographs."""

import json
from pathlib import Path

import pytest

from training.readers.target import Findings


def write_coco(root: Path, write_frames, folder: Path, split: str = 'train2017') -> None:
    write_frames(folder, '%012d.jpg', 2)
    images = [
        {'id': 10 + i, 'file_name': f'{i:012d}.jpg', 'width': 160, 'height': 120} for i in (0, 1)
    ]
    boxes = [(10, [30, 45, 40, 30], 0), (10, [0, 0, 160, 120], 1), (11, [33, 45, 40, 0], 0),
             (11, [33, 45, 40, 30], 0)]  # fmt: skip
    instances = [
        {'id': 100 + i, 'image_id': image, 'bbox': box, 'iscrowd': crowd}
        for i, (image, box, crowd) in enumerate(boxes)
    ]
    (root / 'annotations').mkdir(exist_ok=True)
    content = {'images': images, 'annotations': instances}
    (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


@pytest.mark.parametrize('inner', ['train2017', 'images/train2017'])
def test_objects_are_recordings_of_one_frame(tmp_path: Path, write_frames, find, inner):
    write_coco(tmp_path, write_frames, tmp_path / inner)
    findings = Findings()
    first, second = find('coco', tmp_path, findings)
    assert first.name == 'train2017/000000000000/100'
    assert first.scene == 'train2017/000000000000' != second.scene
    assert first.boxes_ltwh.tolist() == [[30, 45, 40, 30]]
    assert (first.frames.tolist(), first.size) == ([0], (160, 120))
    assert first.image(0).shape == (120, 160, 3)
    assert findings.skipped == {'crowd': 1, 'box without area': 1}
    assert findings.problems == []
    (kept,) = find('coco', tmp_path, without={'000000000000'})
    assert kept.scene == second.scene


def test_missing_photographs_and_annotations(tmp_path: Path, write_frames, find):
    findings = Findings()
    assert find('coco', tmp_path, findings, split='train2014') == []
    assert findings.problems[0].endswith('instances_train2014.json is missing')
    write_coco(tmp_path, write_frames, tmp_path / 'train2017')
    (tmp_path / 'train2017' / '000000000001.jpg').unlink()
    findings = Findings()
    assert len(find('coco', tmp_path, findings)) == 1
    assert [p.rpartition('/')[2] for p in findings.problems] == ['000000000001.jpg is missing']


def test_objects_of_unlisted_photographs_are_named(tmp_path: Path, write_frames, find):
    write_coco(tmp_path, write_frames, tmp_path / 'train2017')
    file = tmp_path / 'annotations' / 'instances_train2017.json'
    content = json.loads(file.read_text())
    content['images'].pop()
    file.write_text(json.dumps(content))
    findings = Findings()
    assert len(find('coco', tmp_path, findings)) == 1
    assert [p.rpartition(': ')[2] for p in findings.problems] == ['no image 11'] * 2


@pytest.mark.parametrize('text', ['{"images": [', '[]', '{"images": [{}]}', '{"images": []}'])
def test_a_damaged_annotation_is_named(tmp_path: Path, find, text: str):
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations' / 'instances_train2017.json').write_text(text)
    findings = Findings()
    assert find('coco', tmp_path, findings) == []
    (problem,) = findings.problems
    assert 'instances_train2017.json is no annotation of COCO' in problem
