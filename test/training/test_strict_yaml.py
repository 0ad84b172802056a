"""Plain values of YAML texts."""

from typing import Any

import pytest
import yaml

from training import strict_yaml


@pytest.mark.parametrize(
    ('text', 'value'),
    [('1e-3', 1e-3), ('2.5E+4', 2.5e4), ('[1e-3, -2e1]', [1e-3, -20.0]), ('1e', '1e'), ('7', 7)],
)
def test_numbers_with_an_exponent_are_numbers(text: str, value: Any) -> None:
    assert strict_yaml.load(text) == value


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(yaml.YAMLError, match="the key 'a' stands twice"):
        strict_yaml.load('a: 1\nb: 2\na: 3\n')
    assert strict_yaml.load('[&a {x: 1}, &b {y: 2}, {<<: *a, <<: *b}]')[2] == {'x': 1, 'y': 2}
    assert strict_yaml.load('a: {b: 1}\nb: 2\n') == {'a': {'b': 1}, 'b': 2}
