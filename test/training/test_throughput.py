"""Throughput: what waits is told from what computes."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from training.recipe import Recipe, RecipeError, parse_recipe
from training.throughput import measure, trace


@pytest.fixture
def recipe(content: dict[str, Any]) -> Recipe:
    content['schedule'] |= {'examples_per_epoch': 12, 'batch_size': 2}
    return parse_recipe(content)


def test_slow_data_counts_as_waiting(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import siamfc

    original = siamfc.make_example

    def slow(*arguments: Any) -> dict[str, Any]:
        time.sleep(0.5)
        return original(*arguments)

    quick = measure(recipe, 2, tmp_path)
    monkeypatch.setattr(siamfc, 'make_example', slow)
    found = measure(recipe, 2, tmp_path)
    assert found.seconds_per_step > 1.0 and found.waiting * found.seconds_per_step > 1.0
    assert quick.waiting < found.waiting < 1
    assert found.examples_per_second == pytest.approx(2 / found.seconds_per_step)
    assert list(tmp_path.glob('*.pt')) == []


def test_too_short_an_epoch_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match='has 6 batches, fewer than the 23 to measure'):
        measure(recipe, 20, tmp_path)


def test_trace_names_the_convolutions(recipe: Recipe, tmp_path: Path) -> None:
    table = trace(recipe, tmp_path, steps=1)
    assert 'convolution' in table
    assert json.loads((tmp_path / 'trace.json').read_text())['traceEvents']
