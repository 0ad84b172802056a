"""Strict change of a settings dataclass."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

S = TypeVar('S')


def override(settings: S, changes: Mapping[str, Any]) -> S:
    """Return a copy of a settings dataclass with some fields changed.

    Integers are accepted where a float is expected and lists where a tuple is. Raises ValueError
    for an unknown key, naming the valid ones, and for a value of the wrong type.
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
