"""Runs that torchrun starts: two processes, on one machine or two, share one run."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from training import checkpoint

ROOT = Path(__file__).parents[2]
#: A run of which the second process is killed in its second step, as for want of memory.
DYING = """
import os, signal, sys
from training import __main__, loop
original = loop.Run.train_on
def train_on(self, batch):
    if self.world.rank == 1 and self.step == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, batch)
loop.Run.train_on = train_on
sys.exit(__main__.main(sys.argv[1:]))
"""


def _start(*arguments: str) -> subprocess.Popen[str]:
    """One `torchrun`, on the only machine or on one of several."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH', ''))))
    changes = {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': path}
    return subprocess.Popen(
        [sys.executable, '-m', 'torch.distributed.run', *arguments],
        cwd=ROOT,
        env=os.environ | changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Status and output."""
    try:
        output, _ = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.terminate()  # which it passes on to those it started
        process.wait(60)
        raise
    return process.returncode, output


def _torchrun(*arguments: str) -> tuple[int, str]:
    """Status and output of two processes as `torchrun --nproc-per-node=2` starts them."""
    return _finish(_start('--standalone', '--nproc-per-node=2', *arguments))


def _write(content: dict[str, Any], tmp_path: Path) -> str:
    content['schedule'] |= {'epochs': 1, 'examples_per_epoch': 4}
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_two_processes_write_one_run(content: dict[str, Any], tmp_path: Path) -> None:
    status, output = _torchrun('-m', 'training', _write(content, tmp_path))
    assert status == 0, output
    assert output.count('epoch 1: validation') == 1
    state = checkpoint.load(tmp_path / 'run' / 'last.pt')
    assert (state['epoch'], state['step'], state['examples']) == (1, 2, 4)
    versions = yaml.safe_load((tmp_path / 'run' / 'versions.json').read_text())
    assert versions['processes'] == 2


def test_process_that_dies_ends_the_run_with_its_error(
    content: dict[str, Any], tmp_path: Path
) -> None:
    script = tmp_path / 'dying.py'
    script.write_text(DYING)
    status, output = _torchrun(str(script), _write(content, tmp_path))
    assert status != 0
    assert 'Signal 9 (SIGKILL)' in output
    assert not (tmp_path / 'run' / 'last.pt').exists()


def _two_machines(content: dict[str, Any], folder: Path, *program: str) -> list[tuple[int, str]]:
    """Statuses and outputs of a run on two machines, as far as one machine can be two.

    Each has its own copy of the data, cache and output folder, and its own `torchrun`.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    machines = []
    for rank in (0, 1):
        own = folder / f'machine_{rank}'
        shutil.copytree(content['data'], own / 'data')
        places = {'data': own / 'data', 'output': own / 'run', 'cache': own / 'cache'}
        recipe = _write(content | {name: str(path) for name, path in places.items()}, own)
        which = f'--nnodes=2 --node-rank={rank} --master-addr=127.0.0.1 --master-port={port}'
        machines.append(_start(*which.split(), '--nproc-per-node=1', *program, recipe))
    return [_finish(machine) for machine in machines]


def test_two_machines_train_as_one(content: dict[str, Any], tmp_path: Path) -> None:
    for status, output in _two_machines(content, tmp_path, '-m', 'training'):
        assert status == 0, output
    assert not (tmp_path / 'machine_1' / 'run').exists()
    _torchrun('-m', 'training', _write(content, tmp_path))
    found = checkpoint.load(tmp_path / 'machine_0' / 'run' / 'last.pt')
    expected = checkpoint.load(tmp_path / 'run' / 'last.pt')
    assert (found['step'], found['best_loss']) == (2, expected['best_loss'])
    for name, tensor in expected['network'].items():
        assert torch.equal(found['network'][name], tensor), name


def test_process_that_dies_ends_the_run_on_the_other_machine_too(
    content: dict[str, Any], tmp_path: Path
) -> None:
    script = tmp_path / 'dying.py'
    script.write_text(DYING)
    (first, _), (second, output) = _two_machines(content, tmp_path, str(script))
    assert first != 0 and second != 0
    assert 'Signal 9 (SIGKILL)' in output
