"""Which examples validate: held-out scenes, sources of their own, or none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training import checkpoint
from training.augmentation import AugmentationSettings
from training.datasets import DataError
from training.loop import Run
from training.recipe import RecipeError, as_plain, parse_recipe
from training.validation import load_both


@pytest.fixture
def separate(content: dict[str, Any], write_clip: Callable[..., Path]) -> dict[str, Any]:
    """Content of a recipe that validates on a folder of its own."""
    write_clip(Path(content['data']) / 'val' / 'three', 40)
    content['augmentation'] = {'noise': 8.0}
    return {**content, 'held_out': [], 'validation': [{'path': 'val/*', 'kind': 'clips'}]}


def test_sources_of_their_own_validate_and_decide(
    separate: dict[str, Any], tmp_path: Path
) -> None:
    recipe = parse_recipe(separate)
    assert parse_recipe(as_plain(recipe)) == recipe
    run = Run(recipe, tmp_path / 'run')
    assert {each.scene for each in run.validation.sequences} == {'three'}
    assert 'three' not in {each.scene for each in run.training.sequences}
    assert len(run.validation) == recipe.schedule.validation_examples
    plain = AugmentationSettings(stretch=0.0, shift=0)
    assert run.validation.augmentation == plain != run.training.augmentation
    assert run.train() > 0
    assert checkpoint.load(tmp_path / 'run' / 'best.pt')['best_loss'] < 10


def test_run_may_do_without_validation(content: dict[str, Any], tmp_path: Path) -> None:
    content['schedule'] |= {'validation_examples': 0, 'epochs': 1}
    run = Run(parse_recipe(content), tmp_path)
    assert run.validation is None
    assert 'one' not in {each.scene for each in run.training.sequences}  # still held out
    run.train()
    assert (tmp_path / 'best.pt').is_file()


def test_what_either_lacks_is_told_at_once(separate: dict[str, Any], tmp_path: Path) -> None:
    separate['sources'][0]['path'] = 'trian/*'
    separate['validation'][0]['path'] = 'lav/*'
    with pytest.raises(DataError, match=r'(?s)trian/.*lav/'):
        Run(parse_recipe(separate), tmp_path / 'run')


@pytest.mark.parametrize(('every', 'expected'), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5])])
def test_epochs_that_validate(
    content: dict[str, Any], tmp_path: Path, every: int, expected: list[int]
) -> None:
    content['schedule'] |= {'epochs': 5, 'validation_every': every}
    run = Run(parse_recipe(content), tmp_path)
    assert run.train() > 0
    log = (tmp_path / 'log.txt').read_text()
    assert [epoch for epoch in range(1, 6) if f'epoch {epoch}: validation' in log] == expected


class _Some(list[int]):
    """Data set of which only the length counts."""


@pytest.mark.parametrize(
    ('counts', 'processes', 'message'),
    [
        ((1, None), 1, '1 examples per epoch do not fill one batch of 2'),
        ((0, 5), 1, '0 examples per epoch do not fill one batch of 2'),
        ((4, 1), 2, r'schedule\.validation_examples 1 are too few for 2 processes'),
    ],
)
def test_too_few_examples_are_refused(
    content: dict[str, Any], counts: tuple[int, int | None], processes: int, message: str
) -> None:
    found = tuple(None if count is None else _Some(range(count)) for count in counts)
    with pytest.raises(RecipeError, match=message):
        load_both(lambda _: found, parse_recipe(content), processes)


def test_stored_features_validate_on_held_out_scenes(separate: dict[str, Any]) -> None:
    for key in ('settings', 'augmentation'):
        del separate[key]
    dimp = {**separate, 'recipe': 'dimp18', 'features': {'examples': 4}}
    with pytest.raises(RecipeError, match='`validation` needs images'):
        load_both(lambda _: (_Some(range(9)), None), parse_recipe(dimp))
