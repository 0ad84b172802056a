from dataclasses import dataclass
from typing import Literal

import pytest

from tracker_core.settings import override


@dataclass(frozen=True)
class Example:
    count: int = 3
    rate: float = 0.5
    mode: Literal['a', 'b'] = 'a'
    limits: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    path: str | None = None
    on: bool = False


def test_changes_a_copy():
    original = Example()
    changed = override(original, {'count': 5, 'limits': [1, 2], 'names': ['x', 'y'], 'path': 'p'})
    assert changed == Example(count=5, limits=(1.0, 2.0), names=('x', 'y'), path='p')
    assert original == Example()


def test_integers_become_floats():
    rate = override(Example(), {'rate': 2}).rate
    assert rate == 2.0
    assert isinstance(rate, float)


def test_unknown_key_names_the_valid_ones():
    with pytest.raises(ValueError, match=r"unknown setting 'cuont'.*count, rate, mode"):
        override(Example(), {'cuont': 1})


@pytest.mark.parametrize(
    'changes',
    [
        {'count': 2.5},
        {'count': True},
        {'rate': '0.5'},
        {'rate': True},
        {'mode': 'c'},
        {'limits': [1.0]},
        {'limits': 1.0},
        {'names': ['x', 1]},
        {'path': 3},
        {'on': 1},
    ],
)
def test_wrong_type_names_the_setting(changes):
    (key,) = changes
    with pytest.raises(ValueError, match=f'Example.{key}'):
        override(Example(), changes)


def test_none_where_it_is_allowed():
    assert override(Example(path='p'), {'path': None}).path is None
    with pytest.raises(ValueError, match=r'Example\.count'):
        override(Example(), {'count': None})
