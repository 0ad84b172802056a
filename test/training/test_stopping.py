"""Signals end a run wherever it is, and a second Ctrl-C ends it at once."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from training import checkpoint, siamfc
from training.distributed import World
from training.loop import Run
from training.recipe import parse_recipe
from training.stopping import StoppedError, signals_held, signals_noted

#: Gets Ctrl-C three times: twice at once, as from torchrun, and once more after a while.
IMPATIENT = """
import os, signal, time
from training.stopping import signals_noted
with signals_noted() as received:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    print('still here', len(received), flush=True)
    time.sleep(1.1)
    os.kill(os.getpid(), signal.SIGINT)
    print('not reached', flush=True)
"""


@pytest.mark.parametrize('place', ['validation', 'tracking'])
def test_run_is_saved_before_it_validates_and_goes_on_with_that(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    content['tracking'] = {'every': 1, 'clips': ['train/two_*'], 'frames': 2}
    content['schedule']['validation_examples'] = 4
    recipe = parse_recipe(content)
    losses, clips = _record(monkeypatch)
    Run(recipe, tmp_path / 'straight').train()
    straight, tracked = list(losses), list(clips)
    losses.clear(), clips.clear()

    # After the first of two batches of validation, or of two clips.
    _record(monkeypatch, stop_after=5 if place == 'validation' else 1, place=place)
    with pytest.raises(StoppedError, match='SIGTERM'):
        Run(recipe, tmp_path / 'run').train()
    monkeypatch.undo()
    saved = checkpoint.load(tmp_path / 'run' / 'last.pt')
    assert (saved['epoch'], saved['position'], saved['step']) == (0, 8, 4)
    assert not (tmp_path / 'run' / 'best.pt').exists()

    losses, clips = _record(monkeypatch)
    resumed = Run(recipe, tmp_path / 'run')
    resumed.resume(tmp_path / 'run' / 'last.pt')
    resumed.train()
    assert losses == straight[4:] and clips == tracked
    expected, found = (
        checkpoint.load(tmp_path / name / 'last.pt') for name in ('straight', 'run')
    )
    for name, tensor in expected['network'].items():
        assert torch.equal(tensor, found['network'][name]), name
    for key in ('epoch', 'position', 'step', 'examples', 'best_loss', 'best_overlap'):
        assert expected[key] == found[key], key


def _record(
    monkeypatch: pytest.MonkeyPatch, stop_after: int = 0, place: str = ''
) -> tuple[list[float], list[str]]:
    """Collect the losses of batches and the clips; send SIGTERM after some of those of a place."""
    from training import tracking

    losses: list[float] = []
    clips: list[str] = []
    loss, overlap = siamfc.loss, tracking._mean_overlap

    def told(count: int, here: str) -> None:
        if place == here and count == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def recorded_loss(*arguments: Any) -> Any:
        value = loss(*arguments)
        losses.append(value[0].item())
        told(len(losses), 'validation')
        return value

    def recorded_overlap(*arguments: Any) -> float:
        clips.append(arguments[2].name)
        told(len(clips), 'tracking')
        return overlap(*arguments)

    monkeypatch.setattr(siamfc, 'loss', recorded_loss)
    monkeypatch.setattr(tracking, '_mean_overlap', recorded_overlap)
    return losses, clips


def test_processes_ask_as_often_in_validation(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three batches of one for the first of two processes, two for the second."""
    content['schedule'] |= {'validation_examples': 5}
    asked = []
    for rank in range(2):
        run = Run(parse_recipe(content), tmp_path)
        run.world = World(rank, 2)
        calls: list[bool] = []
        monkeypatch.setattr(World, 'any', lambda *_, calls=calls: bool(calls.append(True)))
        monkeypatch.setattr(World, 'sum', lambda _, values, __: dict(values))
        run._validate(None)
        asked.append(len(calls))
    assert asked == [3, 3]


def test_second_ctrl_c_ends_the_process_at_once() -> None:
    ended = subprocess.run([sys.executable, '-c', IMPATIENT], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGINT
    assert ended.stdout == 'still here 2\n' and ended.stderr == ''


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals_noted() as received:
        os.kill(os.getpid(), signal.SIGTERM)
    assert received == [signal.SIGTERM]
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_signal_waits_while_workers_begin() -> None:
    with signals_noted() as received:
        with signals_held():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            assert signal.SIGTERM in mask and received == []
        assert received == [signal.SIGTERM]
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
