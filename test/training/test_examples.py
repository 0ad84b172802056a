"""Examples depend on their key alone; scenes stay on one side of the split."""

import dataclasses
import multiprocessing
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.augmentation import AugmentationSettings
from training.crops import CropSettings, load_source
from training.datasets import DataError
from training.examples import Examples, load_examples, make_loader
from training.recipe import Recipe, parse_recipe
from training.sampling import EpochSampler, FrameFilter, SharedSampler
from training.siamfc import SiamFCSettings
from training.sources import Source

STRONG = AugmentationSettings(brightness=0.2, blur=0.5, distractor=0.5, new_background=0.5)


@pytest.fixture
def examples(data: Path, tmp_path: Path) -> Examples:
    """Examples of three clips and six instances, with everything random."""
    found = [
        load_source(source, data, tmp_path / 'cache', CropSettings(), FrameFilter())
        for source in (
            Source('train/*', 'clips'),
            Source('images/photos', 'images'),
            Source('images/photos', 'backgrounds'),
        )
    ]
    return Examples([*found[0], *found[1]], found[2], 20, 5, SiamFCSettings(), STRONG)


@pytest.fixture
def recipe(content: dict[str, Any]) -> Recipe:
    return parse_recipe(content)


def test_an_example_depends_on_epoch_and_position_alone(examples: Examples) -> None:
    first = examples[0, 7]
    examples[1, 3], examples[0, 2]
    again, later = examples[0, 7], examples[1, 7]
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first['search'], later['search'])


def test_targets_of_one_scene_share_their_number(examples: Examples) -> None:
    numbers = {s.name: examples._scenes[s.scene] for s in examples.sequences}
    assert numbers['two_t1'] == numbers['two_t2'] != numbers['one']
    assert numbers['photos/0/0'] == numbers['photos/0/1'] != numbers['photos/1/0']


def test_batches_have_the_shapes_the_loss_expects(examples: Examples, recipe: Recipe) -> None:
    loader = make_loader(examples, SharedSampler(0, 19, 2, 12), recipe.schedule)
    batches = list(loader)
    assert len(batches) == 3
    assert batches[0]['exemplar'].shape == (2, 127, 127, 3)
    assert batches[0]['search'].shape == (2, 239, 239, 3)
    assert batches[0]['scene'].shape == (2,)


def test_workers_survive_a_signal_to_all_processes(examples: Examples, recipe: Recipe) -> None:
    schedule = dataclasses.replace(recipe.schedule, workers=1)
    batches = iter(make_loader(examples, EpochSampler(0, 20), schedule))
    next(batches)
    for worker in multiprocessing.active_children():
        for number in (signal.SIGINT, signal.SIGTERM):
            # From another process: a worker obeys the one that it works for.
            subprocess.run(['kill', f'-{number:d}', str(worker.pid)], check=True)
    assert len(list(batches)) == 9


def test_worker_ends_when_its_run_says_so(examples: Examples, recipe: Recipe) -> None:
    schedule = dataclasses.replace(recipe.schedule, workers=1)
    batches = iter(make_loader(examples, EpochSampler(0, 20), schedule))
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 0


def test_scenes_are_kept_on_one_side(recipe: Recipe) -> None:
    training, validation = load_examples(dataclasses.replace(recipe, held_out=('two',)))
    assert validation is not None
    assert {sequence.name for sequence in validation.sequences} == {'two_t1', 'two_t2'}
    assert 'two' not in {sequence.scene for sequence in training.sequences}
    assert validation.augmentation == AugmentationSettings(stretch=0.0, shift=0)


def test_nothing_held_out_means_no_validation(recipe: Recipe) -> None:
    assert load_examples(dataclasses.replace(recipe, held_out=()))[1] is None


def test_unusable_data_is_refused(recipe: Recipe) -> None:
    with pytest.raises(DataError, match='held_out names unknown scenes: nobody'):
        load_examples(dataclasses.replace(recipe, held_out=('nobody',)))
    clips = dataclasses.replace(recipe, sources=recipe.sources[:1])
    with pytest.raises(DataError, match='no sequence is left'):
        load_examples(dataclasses.replace(clips, held_out=('one', 'two')))
    short = dataclasses.replace(recipe.schedule, batch_size=9)
    with pytest.raises(DataError, match='do not fill one batch'):
        load_examples(dataclasses.replace(recipe, schedule=short))
