"""Networks made ready for tracking: precision, folded batch norms, memory layout."""

from __future__ import annotations

import copy
from functools import cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

#: Of a network; 'auto' is bfloat16 on CPUs that compute in it, else float32. On a GPU that is what
#: PyTorch is set to in the process: its convolutions round products to TF32, 10 bits of mantissa
#: where bfloat16 has 7, unless `torch.backends.cudnn.allow_tf32` is off; matrix products, of which
#: the online models are made, keep the 23 bits. A library does not change such a switch.
Precision = Literal['auto', 'float32', 'bfloat16']


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Resolve 'auto': bfloat16 on CPUs that compute in it, where it doubles the frame rate."""
    if precision == 'auto':
        capable = device.type == 'cpu' and torch.cpu.get_capabilities().get('avx512_bf16', False)
        precision = 'bfloat16' if capable else 'float32'
    return torch.bfloat16 if precision == 'bfloat16' else torch.float32


def prepare(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Turn a network into its inference form, in place: it cannot be trained or saved any more.

    Evaluation mode without gradients, batch norms folded, on `device` as `dtype`, channels last;
    for bfloat16 on a CPU convolutions become `PackedConv2d`.
    """
    network.eval().requires_grad_(False)
    fold_batch_norms(network)
    network.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == 'cpu' and dtype == torch.bfloat16 and _packing_works():
        pack_convolutions(network)


class PackedConv2d(nn.Conv2d):
    """A convolution whose weights are put in the order that a CPU computes in once for all calls.

    `Conv2d` does it in every call, which takes half the time where maps are small. The values are
    the same. Its operators are those that PyTorch's own compiler puts in the place of `Conv2d`.
    """

    _packed: Tensor | None = None

    def __getstate__(self) -> dict[str, object]:
        # PyTorch cannot copy weights in that order.
        return {**self.__dict__, '_packed': None}

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W); the order of the weights suits single images of the first size."""
        geometry = self.padding, self.stride, self.dilation, self.groups
        operators = torch.ops.mkldnn
        if self._packed is None:
            # That for a batch is another, which every later image would have to be changed from.
            shape = (1, *features.shape[1:])
            self._packed = operators._reorder_convolution_weight(self.weight, *geometry, shape)
        result: Tensor = operators._convolution_pointwise(
            features, self._packed, self.bias, *geometry, 'none', [], ''
        )
        return result


def pack_convolutions(network: nn.Module) -> None:
    """Make every plain `Conv2d` of a network in its inference form a `PackedConv2d`, in place."""
    for module in network.modules():
        if _can_be_packed(module):
            module.__class__ = PackedConv2d


def _can_be_packed(module: nn.Module) -> bool:
    if type(module) is not nn.Conv2d:
        return False
    return module.padding_mode == 'zeros' and not isinstance(module.padding, str)


@cache
def _packing_works() -> bool:
    """Whether this PyTorch has the operators, and they compute here what `Conv2d` does."""
    with torch.random.fork_rng(devices=[]):  # others count on what they draw next
        plain = nn.Conv2d(16, 16, 3, padding=1).to(torch.bfloat16).requires_grad_(False)
    packed, features = copy.deepcopy(plain), torch.ones(1, 16, 8, 8, dtype=torch.bfloat16)
    pack_convolutions(packed)
    try:
        return bool(torch.allclose(packed(features), plain(features), rtol=0.02, atol=0.02))
    except (AttributeError, RuntimeError, TypeError):
        return False


def fold_batch_norms(network: nn.Module) -> None:
    """Replace every batch norm by an identity and put it into the layer before it.

    That is the convolution or linear layer that was registered just before it in the same module,
    as in `Sequential(conv, norm)` or `self.conv1 = ...; self.bn1 = ...`. In evaluation mode only.
    """
    for module in list(network.modules()):
        for (layer_name, layer), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, layer_name, fuse_conv_bn_eval(layer, norm))
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                setattr(module, layer_name, fuse_linear_bn_eval(layer, norm))
            else:
                continue
            setattr(module, norm_name, nn.Identity())
