"""What will be trained on is said, shown, and complained about before anything is trained."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from training.__main__ import main
from training.check_data import SourceCount, count_sources, describe
from training.datasets import DataError
from training.modules import MODULES
from training.pictures import TRUE_COLOR
from training.recipe import parse_recipe
from training.sources import Source


@pytest.fixture
def vos(data: Path, moving_frame) -> Path:
    """YouTube-VOS with one recording of six frames in the data folder; one mask is empty."""
    folder = data / 'VOS' / 'train'
    for part in ('JPEGImages', 'Annotations'):
        (folder / part / 'v').mkdir(parents=True)
    for index in range(6):
        labels = np.zeros((120, 160), np.uint8)
        if index != 2:
            labels[45:75, 30 + 3 * index : 70 + 3 * index] = 1
        image = moving_frame(4, index)[..., ::-1]
        cv2.imwrite(str(folder / 'JPEGImages' / 'v' / f'{index:05d}.jpg'), image)
        cv2.imwrite(str(folder / 'Annotations' / 'v' / f'{index:05d}.png'), labels)
    return data / 'VOS'


@pytest.fixture
def dimp(data: Path, vos: Path, tmp_path: Path) -> dict[str, Any]:
    """Content of a recipe of DiMP on clips and a data set."""
    return {
        'recipe': 'dimp18',
        'data': str(data),
        'cache': str(tmp_path / 'cache'),
        'held_out': ['one'],
        'sources': [
            {'path': 'train/*', 'kind': 'clips', 'share': 3},
            {'path': 'VOS', 'kind': 'youtube_vos'},
        ],
        'schedule': {'examples_per_epoch': 8, 'validation_examples': 2},
    }


def run(content: dict[str, Any], tmp_path: Path, *more: str) -> int:
    """Call the command; the picture is sheet.png."""
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump(content))
    sheet = str(tmp_path / 'sheet.png')
    return main(['check-data', str(recipe), '--sheet', sheet, '--examples', '2', *more])


def test_counts_per_source(dimp):
    clips, vos = count_sources(parse_recipe(dimp))
    assert (clips.targets, clips.scenes, clips.frames, clips.held_out) == (3, 2, 24, 1)
    assert (vos.targets, vos.frames, vos.skipped) == (1, 5, {'frame without any object': 1})
    text = describe([clips, vos])
    assert '75.0%' in text and '1 frames not used: frame without any object' in text
    assert text.endswith('4 targets in 29 frames')


def test_backgrounds_have_no_share_and_are_no_targets(dimp):
    clips, vos = count_sources(parse_recipe(dimp))
    photographs = Source('images/photos', 'backgrounds', share=4.0)
    behind = SourceCount(photographs, 7, 7, 7, 0, validates=False, skipped={})
    text = describe([clips, behind, vos])
    (line,) = (line for line in text.splitlines() if line.startswith('images/photos'))
    assert line.split()[2:] == ['-', '-', '-', '7', '7']
    assert '75.0%' in text and text.endswith('4 targets in 29 frames')


def test_sources_that_validate_are_counted_apart(dimp, data: Path, tmp_path: Path, capsys):
    dimp |= {'held_out': [], 'validation': [dimp['sources'].pop(0)]}
    vos, clips = count_sources(parse_recipe(dimp))
    assert (vos.validates, clips.validates) == (False, True)
    assert (vos.held_out, clips.held_out) == (0, clips.targets)
    training, validation = describe([vos, clips]).split('\n\n')
    assert training.endswith('1 targets in 5 frames') and 'youtube_vos' in training
    assert validation.startswith('validation ') and validation.endswith('3 targets in 24 frames')
    dimp['validation'][0]['path'] = 'trian/*'
    dimp['sources'][0]['path'] = 'VSO'
    assert run(dimp, tmp_path) == 1
    error = capsys.readouterr().err
    assert 'trian/*' in error and 'VSO' in error


def test_the_sheet_shows_crops_boxes_and_labels(dimp, tmp_path: Path, capsys):
    assert run(dimp, tmp_path) == 0
    assert 'train/* (clips)' in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))[..., ::-1]
    assert sheet.shape == (2 * 288, 9 * 288, 3), 'three train, three test crops, three labels'
    for column in range(6):
        panel = sheet[288:, 288 * column : 288 * (column + 1)].astype(int)
        assert (np.abs(panel - TRUE_COLOR).max(-1) < 12).sum() > 50, f'no box in {column}'
    label = sheet[288:, 288 * 6 : 288 * 7, 1].astype(int)
    assert label.max() > label.min() + 100, 'a bright peak on dark'
    examples, _ = MODULES['dimp18'][1](parse_recipe(dimp))
    left, top, width, height = examples[0, 1]['boxes_ltwh'][3]
    y, x = (places.mean() for places in np.nonzero(label > label.max() - 60))
    assert (x, y) == pytest.approx((left + width / 2, top + height / 2), abs=5)


@pytest.mark.parametrize(
    ('recipe', 'columns'), [('fcot18', 6 + 3 * 3), ('dcfst18', 2 + 1)], ids=['fcot', 'dcfst']
)
def test_the_sheets_of_fcot_and_dcfst_show_their_labels(
    dimp, tmp_path: Path, recipe: str, columns: int
):
    assert run({**dimp, 'recipe': recipe}, tmp_path) == 0
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))[..., ::-1]
    assert sheet.shape == (2 * 288, columns * 288, 3)
    examples, _ = MODULES[recipe][1](parse_recipe({**dimp, 'recipe': recipe}))
    boxes = examples[0, 1]['boxes_ltwh']
    crops = len(boxes)
    for column in range(crops, columns):
        panel = sheet[288:, 288 * column : 288 * (column + 1)].astype(int)
        left, top, width, height = boxes[-3:][(column - crops) % 3] if crops > 2 else boxes[-1]
        x, y = (min(max(round(v), 4), 283) for v in (left + width / 2, top + height / 2))
        assert panel[..., 1].max() > panel[..., 1].min() + 80
        if 32 < x < 256 and 32 < y < 256:
            assert panel[y - 4 : y + 4, x - 4 : x + 4, 1].max() > panel[..., 1].max() - 60


def test_more_rows_than_examples_are_all_examples(dimp, tmp_path: Path):
    assert run(dimp, tmp_path, '--examples', '9') == 0
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape[0] == 8 * 288


def test_the_sheet_of_siamfc(content, tmp_path: Path):
    assert run({**content, 'recipe': 'siamfc'}, tmp_path) == 0
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape == (2 * 143, 2 * 143, 3)


def test_everything_that_is_missing_is_said_at_once(dimp, vos: Path, tmp_path: Path, capsys):
    for number in (1, 3):
        (vos / 'train' / 'JPEGImages' / 'v' / f'{number:05d}.jpg').unlink()
    dimp['sources'][0]['path'] = 'trian/*'
    assert run(dimp, tmp_path) == 1
    error = capsys.readouterr().err
    for words in ("matches 'trian/*'", '00001.jpg is missing', '00003.jpg is missing'):
        assert words in error
    with pytest.raises(DataError, match='2 files are missing'):
        count_sources(parse_recipe(dimp))


def test_unreadable_images_are_found_by_decoding(dimp, vos: Path, tmp_path: Path, capsys):
    (vos / 'train' / 'JPEGImages' / 'v' / '00004.jpg').write_bytes(b'broken')
    cut = vos / 'train' / 'JPEGImages' / 'v' / '00003.jpg'
    cut.write_bytes(cut.read_bytes()[:2000])
    assert run(dimp, tmp_path, '--decode') == 1
    error = capsys.readouterr().err
    assert '00004.jpg is missing or no image' in error
    assert '00003.jpg is cut off' in error


def test_a_single_sequence_is_enough(dimp, tmp_path: Path):
    dimp['sources'] = [{'path': 'VOS', 'kind': 'youtube_vos'}]
    dimp['held_out'] = []
    assert run(dimp, tmp_path) == 0
    dimp['held_out'] = ['v']
    assert run(dimp, tmp_path) == 1
