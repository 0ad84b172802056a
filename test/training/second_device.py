"""A second device made of memory of the CPU, which is as strict as a GPU about what lies where.

It stands in for CUDA where there is none: tensors that were moved there compute as usual, but
never together with others, and reading a value of theirs is counted as a wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

CPU, SECOND = torch.device('cpu'), torch.device('cuda')
#: Take tensors of both: copies, and indices and what is written there, which may lie on the CPU.
_MIXED = ('Tensor.to', 'Tensor.copy_', 'Tensor.__getitem__', 'Tensor.__setitem__')
#: Hand values to Python, and so wait until they are there.
_READ = {
    f'torch.Tensor.{name}'
    for name in ('item', 'tolist', '__bool__', '__float__', '__int__', '__index__', 'nonzero')
} | {'torch.nonzero', 'torch.masked_select', 'torch.unique', 'torch.equal', 'torch.allclose'}
_UNREADABLE = {'torch.Tensor.numpy', 'torch.Tensor.__array__'}


class Placed(Tensor):
    """A tensor on the second device."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Placed:
        copied = memo[id(self)] = self.detach().clone().as_subclass(Placed)
        copied.requires_grad_(self.requires_grad)
        if isinstance(self, nn.Parameter):
            copied._is_param = True  # type: ignore[attr-defined]  # as torch marks a parameter
        return copied


class SecondDevice(TorchFunctionMode):
    """While active there is a device `cuda`; `waits` names the calls that read from it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_function__(  # the signature is torch's
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.device, torch._C._nn._parse_to):
            return func(*args, **kwargs)
        name = resolve_name(func) or getattr(func, '__name__', '')
        tensors = [*_tensors((args, kwargs))]
        placed = any(isinstance(each, Placed) for each in tensors)
        if name == 'torch.Tensor.device.__get__' and placed:
            return SECOND
        if name == 'torch.Tensor.is_cuda.__get__' and placed:
            return True
        if name == 'torch.Tensor.pin_memory':
            return args[0]
        if func is torch._has_compatible_shallow_copy_type:
            return len({type(each) is Placed for each in tensors}) == 1
        self._check(name, tensors, args, placed)
        asked = _asked_device(name, args, kwargs)
        args, kwargs = _on_cpu((args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        target = asked if asked is not None else SECOND if placed else CPU
        return _placed(result, target.type == SECOND.type)

    def _check(
        self, name: str, tensors: list[Tensor], args: tuple[Any, ...], placed: bool
    ) -> None:
        if not placed:
            return
        if name in _UNREADABLE:
            raise TypeError(f'{name}: a tensor on the second device has no NumPy array')
        if name in _READ or _selects_by_mask(name, args):
            self.waits.append(name)
        others = [each for each in tensors if not isinstance(each, Placed) and each.dim()]
        if others and not name.endswith(_MIXED):
            raise RuntimeError(f'{name}: expected all tensors to be on the same device')


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for each in values:
            yield from _tensors(each)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))


def _asked_device(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    """Device that a call asks for, if any."""
    if name == 'torch.Tensor.cpu':
        return CPU
    given = [kwargs['device']] if kwargs.get('device') is not None else []
    if name == 'torch.Tensor.to':
        given += [each for each in args[1:] if isinstance(each, (str, torch.device))]
        given += [SECOND if isinstance(each, Placed) else CPU for each in _tensors(args[1:])]
    return torch.device(given[0]) if given else None


def _on_cpu(values: Any) -> Any:
    """Arguments that name the CPU where they named the second device."""
    if isinstance(values, torch.device):
        return CPU if values.type == SECOND.type else values
    if isinstance(values, str):
        return 'cpu' if values.split(':')[0] == SECOND.type else values
    if isinstance(values, dict):
        return {key: _on_cpu(each) for key, each in values.items()}
    if type(values) in (tuple, list):
        return type(values)(map(_on_cpu, values))
    return values


def _placed(result: Any, is_second: bool) -> Any:
    if isinstance(result, Tensor):
        is_right = isinstance(result, Placed) == is_second
        return result if is_right else result.as_subclass(Placed if is_second else Tensor)
    if isinstance(result, (tuple, list)):  # also the named ones of torch, made of one sequence
        return type(result)([_placed(each, is_second) for each in result])
    return result


def _selects_by_mask(name: str, args: tuple[Any, ...]) -> bool:
    if not name.endswith('Tensor.__getitem__'):
        return False
    return any(index.dtype == torch.bool for index in _tensors(args[1:]))


class _GeneratorOfTheCPU(torch.Generator):
    def __new__(cls, device: Any = CPU) -> _GeneratorOfTheCPU:
        return super().__new__(cls)


@pytest.fixture
def second_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondDevice]:
    """A device `cuda` of CPU memory while a test runs, also for whole training runs."""
    monkeypatch.setattr(torch, 'Generator', _GeneratorOfTheCPU)
    monkeypatch.setattr(torch.cuda, 'set_device', lambda device: None)
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (10**11, 10**11))
    with SecondDevice() as device:
        yield device
