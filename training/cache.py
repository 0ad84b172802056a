"""The cache folder: filled by one process at a time, on all cores, with entries that are whole."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from tracker_core.benchmark.process_pool import usable_cores
from training.datasets import DataError, collect

S = TypeVar('S')
T = TypeVar('T')
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def keep_out_of_version_control(cache: Path) -> None:
    """Create the cache folder and keep it out of version control."""
    cache.mkdir(parents=True, exist_ok=True)
    (cache / '.gitignore').write_text('*\n')


@contextmanager
def filled_alone(cache: Path) -> Iterator[None]:
    """Wait until no other process fills the cache folder, and keep others waiting meanwhile.

    What was missing before may be there afterwards. File systems that cannot lock keep nobody
    waiting; `written_whole` makes that safe.
    """
    keep_out_of_version_control(cache)
    with (cache / '.gitignore').open('r+') as file:
        _lock(file.fileno(), cache)
        yield  # closing the file lets the next one in, and so does the end of the process


def _lock(file: int, cache: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = f'waiting for another process that fills {cache}'
        tqdm.write(text, file=sys.stderr)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return


def call_on_all_cores(work: Callable[[S], T], items: Sequence[S], title: str) -> list[T]:
    """Results of a module's function, called in other processes, which end with this one.

    A DataError has the messages of all that failed; anything else ends the work at once.
    """
    with ProcessPoolExecutor(usable_cores(), initializer=_end_with_the_parent) as pool:
        waiting = [pool.submit(work, item) for item in items]
        try:
            for each in tqdm(as_completed(waiting), title, len(items), unit='part', leave=False):
                if not isinstance(each.exception(), DataError):
                    each.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return collect(waiting, lambda each: each.result())


def _end_with_the_parent() -> None:
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    """End the process once its parent is gone: else it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """New folder, which after the block is the entry `target` of the cache, or nothing.

    What cannot be written, e.g. on a full disk, ends with an OSError that names the entry.
    """
    unfinished = target.with_name(f'{target.name}.{os.getpid()}.tmp')
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        yield unfinished
        _settle(unfinished, target)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _settle(unfinished: Path, target: Path) -> None:
    """Give a complete folder of the cache its name, unless another process was faster."""
    try:
        unfinished.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def read_views(stored: Path) -> list[Any]:
    """Rows that describe the views of an entry of the cache; DataError where it is damaged."""
    try:
        return list(json.loads((stored / 'views.json').read_text()))
    except (OSError, ValueError) as error:
        raise DataError(f'{stored} is damaged: delete this folder of the cache') from error


def positions_by_target(rows: list[Any]) -> list[list[int]]:
    """Positions in `views.json` of the views of each target, which share their first entry."""
    found: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        found.setdefault(row[0], []).append(position)
    return list(found.values())
