"""Networks made ready for tracking: precision, folded batch norms, memory layout."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import nn
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

    Evaluation mode without gradients, batch norms folded, on `device` as `dtype`, channels last.
    """
    network.eval().requires_grad_(False)
    fold_batch_norms(network)
    network.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


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
