from dataclasses import dataclass, replace
from typing import Annotated, Literal

import pytest

from tracker_core.settings import Count, Part, Positive, Range, Share, check_ranges, override


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


@dataclass(frozen=True)
class Limited:
    size: Annotated[int, Range(16)] = 288
    count: Count = 1
    share: Part = 0.2
    whole: Share = 0.2
    pairs: tuple[tuple[Positive, Positive], ...] = ((1.0, 2.0),)
    offset: float = 0.0

    def __post_init__(self):
        check_ranges(self)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'size': 0}, 'size must be at least 16, not 0'),
        ({'size': -32}, 'size must be at least 16, not -32'),
        ({'count': 0}, 'count must be at least 1, not 0'),
        ({'share': 1}, r'share must be at least 0 and below 1, not 1\.0'),
        ({'share': float('nan')}, 'share must be finite, not nan'),
        ({'pairs': [[1, 2], [3, 0]]}, r'pairs must be above 0, not 0\.0'),
        ({'offset': float('-inf')}, 'offset must be finite, not -inf'),
    ],
)
def test_values_out_of_range_name_the_field_and_what_is_valid(changes, message):
    with pytest.raises(ValueError, match=rf'^Limited\.{message}$'):
        override(Limited(), changes)
    with pytest.raises(ValueError, match=r'^Limited\.'):
        replace(Limited(), **changes)


def test_the_limits_of_a_range_are_valid():
    assert override(Limited(), {'size': 16, 'share': 0, 'count': 1}).share == 0
    assert override(Limited(), {'whole': 1}).whole == 1
