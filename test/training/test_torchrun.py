"""Runs that torchrun starts: two processes share one run, and a dead one ends it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def _torchrun(*arguments: str) -> tuple[int, str]:
    """Status and output of two processes as `torchrun --nproc-per-node=2` starts them."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH', ''))))
    changes = {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': path}
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env=os.environ | changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        output, error = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.terminate()  # which it passes on to the two
        process.wait(60)
        raise
    return process.returncode, output + error


def _write(content: dict[str, Any], tmp_path: Path) -> str:
    content['schedule'] |= {'epochs': 1, 'examples_per_epoch': 4}
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
