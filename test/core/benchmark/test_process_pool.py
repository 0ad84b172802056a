"""Isolated tasks: exceptions and dead processes cost one task each."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tracker_core.benchmark.process_pool import Advanced, Finished, run_isolated, usable_cores

MODULE = """
import os, signal, sys

def work(task, report):
    kind, value = task
    if kind == 'fail':
        raise ValueError(f'cannot do {value}')
    if kind == 'exit':
        os._exit(value)
    if kind == 'signal':
        os.kill(os.getpid(), signal.SIGSEGV)
    report(value)
    return value * 10

def threads(task, report):
    import cv2, torch
    report(torch.get_num_threads() * 1000 + cv2.getNumThreads() * 100)
    report(int(os.environ['OMP_NUM_THREADS']))

done = []

def remember(task, report):
    done.append(task)
    return list(done)
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module that the worker processes can import."""
    (tmp_path / 'pool_functions.py').write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import pool_functions

    return pool_functions


def outcome(function: Callable, tasks: list, workers: int) -> tuple[dict, int]:
    """Errors by task and the sum of what was reported."""
    events = list(run_isolated(function, tasks, workers))
    finished = [event for event in events if isinstance(event, Finished)]
    assert len(finished) == len(tasks)
    amount = sum(event.amount for event in events if isinstance(event, Advanced))
    return {event.task: event.error for event in finished}, amount


def test_a_failure_costs_one_task(functions):
    tasks = [('ok', 1), ('fail', 7), ('exit', 3), ('ok', 2), ('signal', 0), ('ok', 4)]
    errors, amount = outcome(functions.work, tasks, 2)
    assert amount == 7
    assert errors['fail', 7] == 'ValueError: cannot do 7'
    assert errors['exit', 3] == 'the process died: exit code 3'
    assert errors['signal', 0] == 'the process died: signal SIGSEGV'
    assert [errors['ok', value] for value in (1, 2, 4)] == ['', '', '']


def test_what_the_function_returns_arrives(functions):
    events = run_isolated(functions.work, [('ok', 1), ('ok', 2)])
    assert [event.result for event in events if isinstance(event, Finished)] == [10, 20]


def test_the_trace_of_an_exception_is_kept(functions):
    (event,) = run_isolated(functions.work, [('fail', 1)])
    assert 'pool_functions.py' in event.trace


def test_threads_are_limited_in_the_workers_only(functions, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    _, amount = outcome(functions.threads, [('', 0)], 1)
    assert amount == 1 * 1000 + 1 * 100 + 1
    assert 'OMP_NUM_THREADS' not in os.environ


def test_no_tasks_start_no_process(functions):
    assert list(run_isolated(functions.work, [])) == []


def test_workers_end_when_the_iterator_is_closed(functions):
    events = run_isolated(functions.work, [('ok', 1)] * 3, 2)
    next(events)
    events.close()
    import multiprocessing

    assert multiprocessing.active_children() == []


def test_a_process_stays_with_a_topic(functions):
    """In the order given otherwise, and without waiting where a topic is used up."""
    tasks = ['a1', 'b1', 'c1', 'a2', 'b2', 'a3']
    events = run_isolated(functions.remember, tasks, topic=lambda task: task[0])
    assert [event.result for event in events][-1] == ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']
    events = run_isolated(functions.remember, tasks)
    assert [event.result for event in events][-1] == tasks


def test_cores_where_the_system_names_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda _: {1, 5, 6}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr('os.sched_getaffinity')
    monkeypatch.setattr('os.cpu_count', lambda: 7)
    assert usable_cores() == 7
