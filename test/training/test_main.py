"""The command line, from a recipe to a tracker that loads the exported weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tracker_core import Box, build_tracker, weights
from training import checkpoint
from training.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe(content: dict[str, Any], tmp_path: Path) -> str:
    content['schedule'] |= {'epochs': 1, 'examples_per_epoch': 4}
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_train_then_export_then_track(recipe: str, tmp_path: Path, moving_frame: Any) -> None:
    target = tmp_path / 'weights.safetensors'
    changes = ['--set', 'augmentation.flip=0.5', '--set', 'schedule.final_rate=1e-3']
    assert main([recipe, *changes]) == 0
    assert main(['export', str(tmp_path / 'run'), '--output', str(target)]) == 0
    info = weights.read_info(target)
    assert (info.tracker, info.licence) == ('siamfc', 'tests only')
    assert info.training_data == ('two clips',)
    assert info.notes.startswith('all: 4 training examples, 2 steps in batches of 2')
    assert 'held out for validation: one' in info.notes
    tracker = build_tracker('siamfc', target, device='cpu')
    tracker.initialize(moving_frame(0, 0), Box(30, 45, 40, 30))
    assert np.isfinite(tracker.track(moving_frame(0, 1)).box.as_ltwh()).all()
    saved = yaml.safe_load((tmp_path / 'run' / 'recipe.yaml').read_text())
    assert saved['augmentation']['flip'] == 0.5
    assert saved['schedule']['final_rate'] == 0.001


def test_export_of_a_run_takes_the_best_and_names_the_file(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / 'run'
    assert main([recipe]) == 0
    assert f'python -m training export {run}\n' in capsys.readouterr().out
    for name in ('best.pt', 'last.pt'):
        assert main(['export', str(run)]) == 0
        told = capsys.readouterr().out
        assert told == f'wrote {run / "siamfc.safetensors"} from {run / name}\n'
        (run / name).unlink()
    assert weights.read_info(run / 'siamfc.safetensors').tracker == 'siamfc'
    assert main(['export', str(run)]) == 1
    assert f'no checkpoint at {run / "last.pt"}' in capsys.readouterr().err


def test_profile_of_some_steps(recipe: str, tmp_path: Path) -> None:
    steps = ['--set', 'schedule.examples_per_epoch=16']
    assert main([recipe, *steps, '--profile']) == 0
    run = tmp_path / 'run'
    assert 'convolution' in (run / 'profile.txt').read_text()
    assert json.loads((run / 'trace.json').read_text())['traceEvents']
    assert 'profile of 3 steps' in (run / 'log.txt').read_text()
    short = tmp_path / 'short'
    assert main([recipe, '--output', str(short), '--profile']) == 0
    assert 'no profile: the run had fewer than 8 steps' in (short / 'log.txt').read_text()
    assert not (short / 'trace.json').exists()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_to_all_processes_saves_the_run(
    recipe: str, tmp_path: Path, number: signal.Signals
) -> None:
    long = ['--set', 'schedule.epochs=1000', '--set', 'schedule.workers=1']
    process = subprocess.Popen(
        [sys.executable, '-m', 'training', recipe, *long],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        _wait_for(tmp_path / 'run' / 'last.pt', process)
        os.killpg(process.pid, number)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert f'stopped by {number.name}; go on with --resume' in error
    assert 'Traceback' not in error
    checkpoint.load(tmp_path / 'run' / 'last.pt')


def _wait_for(path: Path, process: 'subprocess.Popen[str]') -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end, f'{path} did not appear'
        time.sleep(0.1)


def test_earlier_run_is_not_overwritten(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'last.pt').write_bytes(b'earlier')
    assert main([recipe]) == 1
    assert 'already holds a run: pass --resume' in capsys.readouterr().err
    assert (tmp_path / 'run' / 'last.pt').read_bytes() == b'earlier'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--data', 'nowhere'], 'the data folder nowhere does not exist'),
        (['--set', 'schedule.epoch=1'], "unknown setting 'epoch'"),
        (['--set', 'schedule.epochs'], 'write KEY=VALUE'),
        (['--set', 'held_out=[a'], "'[a' is no valid YAML"),
        (['--resume', 'nothing.pt'], 'no checkpoint at nothing.pt'),
        (['--set', 'schedule.batch_size=0'], 'schedule.batch_size must be at least 1, not 0'),
        (['--set', 'schedule.examples_per_epoch=1'], 'do not fill one batch of 2'),
        (['--fresh', 'head'], 'leaves out a part of --start-from FILE, which is missing'),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    recipe: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([recipe, *arguments]) == 1
    error = capsys.readouterr().err
    assert any(line.startswith('error: ') for line in error.splitlines())
    assert message in error
    assert 'Traceback' not in error


def test_features_are_for_recipes_that_store_some(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['features', recipe]) == 1
    assert 'is a recipe of siamfc, which stores no features' in capsys.readouterr().err


def test_help_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['--help'])
    text = capsys.readouterr().out
    assert '--resume' in text and 'python -m training export' in text
