"""The cache folder is filled by one process at a time, whose workers end with it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from training.cache import written_whole
from training.readers import index
from training.readers.target import Selection
from training.sources import Part, Source, find_parts, store_missing

ROOT = Path(__file__).parents[2]
FORK = multiprocessing.get_context('fork')
#: Fills a cache with work that takes for ever, and says which processes do it.
BUSY = """
import os, time
from training.cache import call_on_all_cores
def work(_):
    print(os.getpid(), flush=True)
    time.sleep(600)
call_on_all_cores(work, range(8), 'sleeping')
"""


def test_entry_that_another_process_wrote_first_is_kept(tmp_path: Path) -> None:
    entry = tmp_path / 'entry'
    with written_whole(entry) as late:
        with written_whole(tmp_path / 'entry') as early:
            (early / 'views.json').write_text('early')
        late.mkdir()
        (late / 'views.json').write_text('late')
    assert (entry / 'views.json').read_text() == 'early'
    assert list(tmp_path.iterdir()) == [entry]


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_full_disk_leaves_no_entry_and_says_where(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r'No space left.*entry'),
        written_whole(tmp_path / 'entry') as folder,
    ):
        (folder / 'views.json').write_text('a part')
        with Path('/dev/full').open('wb', buffering=0) as file:
            file.write(b'pixels')
    assert list(tmp_path.iterdir()) == []


def _start_three(work, *arguments: object) -> list[int | None]:
    """Call a function in three processes at once; returns their exit codes."""
    processes = [FORK.Process(target=work, args=arguments) for _ in range(3)]
    for each in processes:
        each.start()
    for each in processes:
        each.join(60)
    return [each.exitcode for each in processes]


def _note(log: Path) -> None:
    with log.open('a') as file:
        file.write('read\n')
    time.sleep(1)


def test_one_of_several_processes_reads_a_data_set(tmp_path: Path, moving_frame, monkeypatch):
    folder, log, read = tmp_path / 'TN' / 'TRAIN_0', tmp_path / 'log', index._read
    (folder / 'frames' / 'a').mkdir(parents=True)
    cv2.imwrite(str(folder / 'frames' / 'a' / '0.jpg'), moving_frame(1, 0))
    (folder / 'anno').mkdir()
    (folder / 'anno' / 'a.txt').write_text('30,45,40,30\n')
    monkeypatch.setattr(index, '_read', lambda *given: (_note(log), read(*given))[1])
    chosen = Selection(split='0')
    arguments = 'trackingnet', tmp_path / 'TN', chosen, tmp_path / 'cache'
    assert _start_three(index.load_index, *arguments) == [0, 0, 0]
    assert log.read_text() == 'read\n'
    assert [target.name for target in index.load_index(*arguments).targets] == ['a']


def _store(part: Part, target: Path) -> None:
    target.mkdir()
    _note(target.parent / 'log')


def test_one_of_several_processes_stores_what_is_missing(data: Path, tmp_path: Path):
    source, cache = Source('train/one', 'clips'), tmp_path / 'cache'
    parts = find_parts(source, data, cache, [])
    assert _start_three(store_missing, source, parts, cache, _store) == [0, 0, 0]
    assert (cache / 'log').read_text() == 'read\n'


def test_workers_end_with_a_process_that_is_killed():
    process = subprocess.Popen(
        [sys.executable, '-c', BUSY], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    workers = [int(process.stdout.readline())]
    process.send_signal(signal.SIGTERM)
    try:
        output, _ = process.communicate(timeout=30)  # until the last worker has let go of it
        workers += [int(line) for line in output.split()]
    except subprocess.TimeoutExpired:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        pytest.fail('workers outlive the process')
    assert process.returncode == -signal.SIGTERM
