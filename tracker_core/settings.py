"""Settings dataclasses: strict change, and ranges that their fields state."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

S = TypeVar('S')


@dataclass(frozen=True)
class Range:
    """Valid values of a number, stated as in `size: Annotated[int, Range(1)]`."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    """`low` itself is not valid."""
    below: bool = False
    """`high` itself is not valid."""

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and (
            value < self.high if self.below else value <= self.high
        )

    def __str__(self) -> str:
        limits = [f'{"above" if self.above else "at least"} {self.low:g}']
        if self.high < math.inf:
            limits.append(f'{"below" if self.below else "at most"} {self.high:g}')
        return ' and '.join(limits)


Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]
NonNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
#: A share that leaves something to the rest.
Part = Annotated[float, Range(0, 1, below=True)]
#: Standard deviations (y, x) of blurs in pixels.
Blurs = tuple[tuple[Positive, Positive], ...]


def check_ranges(settings: Any, title: str = '') -> None:
    """Raise ValueError, naming the field, for a number out of its range or not finite.

    To be called by `__post_init__`, so that no settings with such a value exist. `title`: what the
    settings are called in the message, by default as their class.
    """
    hints = typing.get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(settings):
        name = f'{title or type(settings).__name__}.{field.name}'
        _check(getattr(settings, field.name), hints[field.name], name)


def _check(value: Any, expected: Any, name: str) -> None:
    if isinstance(value, (list, tuple)):
        (kind, *_) = typing.get_args(expected) or (None,)
        for item in value:
            _check(item, kind, name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f'{name} must be finite, not {value}')
    elif typing.get_origin(expected) is Annotated:
        for valid in expected.__metadata__:
            if value not in valid:
                raise ValueError(f'{name} must be {valid}, not {value}')


def override(settings: S, changes: Mapping[str, Any]) -> S:
    """Return a copy of a settings dataclass with some fields changed.

    Integers are accepted where a float is expected and lists where a tuple is. Raises ValueError
    for an unknown key, naming the valid ones, for a value of the wrong type and, where the
    dataclass checks them, out of its range.
    """
    hints = typing.get_type_hints(type(settings))
    valid = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    converted = {}
    for key, value in changes.items():
        if key not in valid:
            raise ValueError(
                f'unknown setting {key!r} of {type(settings).__name__}; '
                f'valid settings: {", ".join(valid)}'
            )
        converted[key] = _convert(value, hints[key], f'{type(settings).__name__}.{key}')
    return dataclasses.replace(settings, **converted)  # type: ignore[type-var]


def _convert(value: Any, expected: Any, name: str) -> Any:
    """Return `value` as the expected type or raise ValueError."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, arguments, name)
    if origin is typing.Literal:
        if any(type(value) is type(choice) and value == choice for choice in arguments):
            return value
        raise _mismatch(name, ' or '.join(map(repr, arguments)), value)
    if origin is tuple:
        return _convert_tuple(value, arguments, name)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = origin or expected
    if expected is None and value is None:
        return None
    if not isinstance(plain, type) or not isinstance(value, plain):
        raise _mismatch(name, getattr(plain, '__name__', str(plain)), value)
    if isinstance(value, bool) and plain is not bool:
        raise _mismatch(name, plain.__name__, value)
    return value


def _convert_union(value: Any, choices: tuple[Any, ...], name: str) -> Any:
    for choice in choices:
        try:
            return _convert(value, None if choice is type(None) else choice, name)
        except ValueError:
            continue
    raise _mismatch(name, ' or '.join(str(choice) for choice in choices), value)


def _convert_tuple(value: Any, arguments: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _mismatch(name, 'list', value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise _mismatch(name, f'list of {len(arguments)}', value)
    return tuple(_convert(item, kind, name) for item, kind in zip(value, arguments, strict=True))


def _mismatch(name: str, expected: str, value: Any) -> ValueError:
    return ValueError(f'{name} must be {expected}, not {value!r} ({type(value).__name__})')
