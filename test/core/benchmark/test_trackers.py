"""Building what is evaluated."""

from types import SimpleNamespace

import numpy as np
import pytest

from tracker_core import Box
from tracker_core.benchmark import trackers
from tracker_core.benchmark.__main__ import _finds_weights, _has_weights
from tracker_core.benchmark.trackers import TrackerSpec
from tracker_core.benchmark.tracking import seed_everything


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Settings of the trackers that were built, by a factory whose tracker draws numbers."""
    seen: list[dict] = []
    monkeypatch.setattr(trackers, 'default_settings', lambda name: SimpleNamespace(seed=0))
    monkeypatch.setattr(
        trackers, 'build_tracker', lambda *_, settings, **__: seen.append(dict(settings))
    )
    return seen


def test_repetitions_of_a_tracker_that_draws_numbers_differ(built):
    spec = TrackerSpec('siamfc', 'siamfc')
    for repetition in (1, 2, 1):
        spec.build(seed_everything(0, 'Deer', repetition))
    first, second, again = (settings['seed'] for settings in built)
    assert first == again != second


def test_a_seed_that_was_asked_for_is_kept(built):
    TrackerSpec('siamfc', 'siamfc', settings={'seed': 7}).build(3)
    TrackerSpec('siamfc', 'siamfc').build()
    assert built == [{'seed': 7}, {}]


def test_trackers_without_random_numbers_are_built_as_ever():
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8)
    tracker = TrackerSpec('siamfc', 'siamfc', weights='random', device='cpu').build(5)
    tracker.initialize(image, Box(20, 20, 30, 30))
    assert tracker.track(image).box.is_finite()


@pytest.mark.parametrize('name', ['fcot', 'fcot_vot18'])
def test_weights_that_run_instead_are_recorded(monkeypatch, tmp_path, name):
    monkeypatch.setattr('tracker_core.weights.INSTALLED', tmp_path)
    assert list(TrackerSpec(name, name).describe()['weights']) == ['fcot18.safetensors']
    assert _finds_weights(name) and not _has_weights(name) and _has_weights('fcot18')
