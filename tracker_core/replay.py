"""A function of fixed shapes, recorded once and replayed on a GPU.

Small operations take longer to start than to compute: hundreds of them in a row are started as
one by a CUDA graph.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from threading import Lock

import torch
from torch import Tensor

#: Takes tensors on one device and gives new ones, waits for nothing, uses no other tensors.
Function = Callable[..., tuple[Tensor, ...]]
#: What repeats the recorded work, from and into the same memory, and the results in there.
Recording = tuple[Callable[[], None], tuple[Tensor, ...]]

_LOG = logging.getLogger(__name__)
_WARM_UPS = 3
#: One recording at a time in the process: they begin by waiting for the device, which is an error
#: while something else is recorded.
_RECORDING = Lock()


class Replay:
    """Calls functions, on a GPU by replaying what they did there the first time.

    What could not be recorded is called as usual. Calls from several threads take turns; their
    work must be in the same stream. Switches of PyTorch such as `allow_tf32` stay as they were at
    the time of recording. A copy begins without recordings.
    """

    def __init__(
        self,
        record: Callable[[Function, Sequence[Tensor]], Recording] | None = None,
        device_type: str = 'cuda',
    ) -> None:
        """Record by `record` (default: a CUDA graph) on devices of one type."""
        self._record = record or record_graph
        self._device_type = device_type
        self._recorded: dict[Hashable, tuple[list[Tensor], Recording] | None] = {}
        self._lock = Lock()

    @property
    def recorded(self) -> list[Hashable]:
        """Names, shapes and types of what is replayed."""
        return [key for key, recorded in self._recorded.items() if recorded is not None]

    def __reduce__(self) -> tuple[type[Replay], tuple[object, str]]:
        return type(self), (self._record, self._device_type)

    def __call__(
        self, function: Function, inputs: Sequence[Tensor], name: Hashable
    ) -> tuple[Tensor, ...]:
        """Return `function(*inputs)` in memory of the caller's own.

        name: tells functions apart, with all that they depend on but the inputs. Every other
        name, shape or type of the inputs is recorded anew.
        """
        if inputs[0].device.type != self._device_type:
            return function(*inputs)
        key = name, *((each.shape, each.dtype, each.device) for each in inputs)
        # Memory of inference mode cannot be written to outside of it.
        with self._lock, torch.inference_mode():
            if key not in self._recorded:
                self._recorded[key] = self._try_to_record(function, inputs)
            recorded = self._recorded[key]
            if recorded is None:
                return function(*inputs)
            buffers, (run, results) = recorded
            for buffer, each in zip(buffers, inputs, strict=True):
                buffer.copy_(each)
            run()
            return tuple(each.clone() for each in results)

    def _try_to_record(
        self, function: Function, inputs: Sequence[Tensor]
    ) -> tuple[list[Tensor], Recording] | None:
        buffers = [each.clone() for each in inputs]
        try:
            with _RECORDING:
                return buffers, self._record(function, buffers)
        except RuntimeError as error:
            if None not in self._recorded.values():
                _LOG.warning('slower than possible, as nothing can be recorded: %s', error)
            return None


def record_graph(function: Function, buffers: Sequence[Tensor]) -> Recording:
    """Record what a function does with tensors of a GPU, which stay its inputs.

    Raises RuntimeError where it does something that cannot be recorded.
    """
    device = buffers[0].device
    current = torch.cuda.current_stream(device)
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(current)
    graph = torch.cuda.CUDAGraph()
    # Also returns to the current stream where `torch.cuda.graph` does not, after an error.
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            function(*buffers)
        current.wait_stream(side)
        # Other threads may go on using the GPU.
        with torch.cuda.graph(graph, stream=side, capture_error_mode='thread_local'):
            results = function(*buffers)
    return graph.replay, results
