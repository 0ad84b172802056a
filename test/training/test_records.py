"""What a run leaves behind about itself."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.recipe import SiamFCRecipe
from training.records import RunLog, describe, find_commit, find_versions


def _git(folder: Path, *arguments: str) -> str:
    command = ['git', '-C', str(folder), '-c', 'user.name=a', '-c', 'user.email=a@b', *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_a_checkout_but_not_of_one_around_it(tmp_path: Path) -> None:
    (tmp_path / 'inner').mkdir()
    (tmp_path / 'inner' / 'file').write_text('1')
    assert find_commit(tmp_path) is None
    _git(tmp_path, 'init', '-q')
    _git(tmp_path, 'add', '.')
    _git(tmp_path, 'commit', '-qm', 'first')
    commit = _git(tmp_path, 'rev-parse', 'HEAD')
    assert find_commit(tmp_path) == {'commit': commit, 'changed': False}
    (tmp_path / 'inner' / 'file').write_text('2')
    assert find_commit(tmp_path) == {'commit': commit, 'changed': True}
    assert find_commit(tmp_path / 'inner') is None


def test_versions_of_what_a_run_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'argv', ['training', 'a recipe.yaml'])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda number: f'GPU {number}')
    describe(tmp_path, SiamFCRecipe(), 2)
    assert (tmp_path / 'recipe.yaml').read_text().startswith('recipe: siamfc')
    found = json.loads((tmp_path / 'versions.json').read_text())
    assert found == find_versions(2)
    assert found['command'] == "training 'a recipe.yaml'"
    assert found['gpus'] == ['GPU 0', 'GPU 1'] and found['processes'] == 2
    assert (found['numpy'], found['opencv']) == (np.__version__, cv2.__version__)
    assert {'git', 'torch', 'cuda', 'safetensors', 'python', 'platform'} <= found.keys()


def test_log_is_continued_with_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunLog(tmp_path / 'run').say('first')
    RunLog(tmp_path / 'run').note('second')
    RunLog(tmp_path / 'run', silent=True).say('of another process')
    lines = (tmp_path / 'run' / 'log.txt').read_text().splitlines()
    assert [line.split(' ', 2)[2] for line in lines] == ['first', 'second']
    assert capsys.readouterr().out == 'first\n'
