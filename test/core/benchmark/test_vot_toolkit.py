"""The integration of vot-toolkit: its registry, and the conversation with it."""

import configparser
from pathlib import Path
from types import SimpleNamespace

import pytest

from tracker_core.benchmark import vot_toolkit
from tracker_core.benchmark.baselines import build_baseline


class FakeTrax:
    """Speaks for the toolkit: one start, then frames, then quit."""

    Region = SimpleNamespace(RECTANGLE='rectangle')
    Image = SimpleNamespace(PATH='path')
    ImageChannel = SimpleNamespace(COLOR='color')
    TraxStatus = SimpleNamespace(INITIALIZE='initialize', FRAME='frame', QUIT='quit')

    class Rectangle:
        @staticmethod
        def create(*ltwh: float) -> SimpleNamespace:
            return SimpleNamespace(bounds=lambda: ltwh)

    def __init__(self, paths: list[Path], box: tuple[float, ...]) -> None:
        start = [(self.Rectangle.create(*box), {})]
        self.requests = [
            SimpleNamespace(
                type='frame' if index else 'initialize',
                image={'color': SimpleNamespace(path=lambda path=path: str(path))},
                objects=None if index else start,
            )
            for index, path in enumerate(paths)
        ]
        self.requests.append(SimpleNamespace(type='quit'))
        self.answers: list = []

    def Server(self, regions, images, tracker_name):  # noqa: N802
        assert (regions, images) == (['rectangle'], ['path'])
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def wait(self):
        return self.requests.pop(0)

    def status(self, objects):
        self.answers.append(objects[0])


def test_every_request_is_answered_with_a_box(kcf, tiny, tmp_path: Path):
    tiny.write_images(tmp_path, range(1, 6), '{:08d}.png')
    trax = FakeTrax(sorted(tmp_path.iterdir()), tuple(tiny.truth(1)[0]))
    vot_toolkit.serve(build_baseline(kcf), trax)
    assert len(trax.answers) == 5
    region, properties = trax.answers[-1]
    assert region.bounds() == pytest.approx(tuple(tiny.truth(5)[4]), abs=3)
    assert properties == {'confidence': 1.0}
    assert trax.requests == []


def test_the_registry_names_a_command_per_tracker(tmp_path: Path):
    path = tmp_path / 'trackers.ini'
    assert vot_toolkit.main(['kcf', '--write-ini', str(path)]) == 0
    assert (
        vot_toolkit.main(
            ['siamfc', 'csrt', '--weights', 'random', '--device', 'cpu', '--write-ini', str(path)]
        )
        == 0
    )
    registry = configparser.ConfigParser(interpolation=None)
    registry.read(path)
    assert registry.sections() == ['kcf', 'siamfc', 'csrt'], 'earlier entries stay'
    command = registry['siamfc']['command']
    assert command.endswith('vot_toolkit siamfc --weights random --device cpu')
    assert Path(registry['siamfc']['env_PYTHONPATH'].split(':')[0], 'tracker_core').is_dir()


def test_mistakes_are_said_and_nothing_is_written(tmp_path: Path, capsys, monkeypatch):
    path = tmp_path / 'trackers.ini'
    assert vot_toolkit.main(['nothing', '--write-ini', str(path)]) == 2
    assert 'valid: siamfc' in capsys.readouterr().err
    assert not path.exists()
    assert vot_toolkit.main(['kcf', 'mil']) == 2
    assert '--write-ini' in capsys.readouterr().err
    monkeypatch.setitem(__import__('sys').modules, 'trax', None)
    assert vot_toolkit.main(['mil']) == 2
    assert 'pip install vot-trax' in capsys.readouterr().err
