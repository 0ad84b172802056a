"""How fast a recipe trains here, and what the device waits for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from torch.profiler import profile

from training.examples import make_loader
from training.loop import Run
from training.profiling import activities_of, write_trace
from training.recipe import Recipe, RecipeError
from training.sampling import SharedSampler

#: Steps that are not counted: caches fill and workers start.
WARM_UP = 3


@dataclass(frozen=True)
class Throughput:
    """What was measured over a number of steps."""

    examples_per_second: float
    seconds_per_step: float
    waiting: float
    """Share of the time in which the next batch was not there yet, 0 to 1."""


def measure(recipe: Recipe, steps: int, folder: Path) -> Throughput:
    """Train for some steps and measure; nothing but the recipe's caches is written.

    Raises RecipeError where an epoch has too few batches.
    """
    run = Run(recipe, folder)
    size = recipe.schedule.batch_size
    sampler = SharedSampler(0, len(run.training), size)
    if len(sampler) // size < WARM_UP + steps:
        raise RecipeError(
            f'an epoch has {len(sampler) // size} batches, fewer than the {WARM_UP + steps} to '
            'measure: raise schedule.examples_per_epoch or lower --steps'
        )
    batches = iter(make_loader(run.training, sampler, recipe.schedule))
    run.module.start_training(run.network, recipe)
    for _ in range(WARM_UP):
        run.train_on(next(batches))
    waited, start = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        run.train_on(batch)  # ends with reading the loss, so that a GPU has finished
    total = time.perf_counter() - start
    return Throughput(steps * size / total, total / steps, waited / total)


def trace(recipe: Recipe, folder: Path, steps: int = 3) -> str:
    """Profile some steps: `trace.json` for chrome://tracing in the folder, and a table."""
    run = Run(recipe, folder)
    sampler = SharedSampler(0, len(run.training), recipe.schedule.batch_size)
    batches = iter(make_loader(run.training, sampler, recipe.schedule))
    run.module.start_training(run.network, recipe)
    run.train_on(next(batches))
    with profile(activities=activities_of(run.device)) as record:
        for _ in range(min(steps, len(sampler) // recipe.schedule.batch_size - 1)):
            run.train_on(next(batches))
    return write_trace(record, folder, run.device)
