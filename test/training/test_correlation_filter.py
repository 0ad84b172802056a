"""The correlation filter: closed form, shifts, gradients, and the published network's numbers."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.correlation_filter import cosine_window, fit, respond


def test_filter_is_the_ridge_regression_on_all_shifts() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, 1, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randn(1, 4, 5, generator=generator, dtype=torch.float64)
    shifts = torch.stack(
        [features[0, 0].roll((-y, -x), (0, 1)).flatten() for y in range(4) for x in range(5)]
    )
    solved = torch.linalg.solve(
        shifts.T @ shifts + 0.3 * torch.eye(20, dtype=torch.float64), shifts.T @ labels.flatten()
    )
    found = respond(fit(features, labels, 0.3), features)
    assert torch.allclose(found.flatten(), shifts @ solved)


def test_moved_target_moves_the_response() -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 3, 9, 8, generator=generator)
    labels = torch.zeros(2, 9, 8)
    labels[:, 4, 3] = 1
    filters = fit(features, labels, 1e-4)
    moved = respond(filters, features.roll((2, -1), (2, 3)))
    assert (moved.flatten(1).argmax(1) == (4 + 2) * 8 + 3 - 1).all()
    assert torch.allclose(respond(filters, features), labels, atol=1e-3)


def test_gradient_reaches_template_and_search() -> None:
    generator = torch.Generator().manual_seed(3)
    template, search = (
        torch.randn(1, 2, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    labels = torch.randn(1, 5, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z, x: respond(fit(z, labels, 0.1), x), (template, search)
    )


@pytest.fixture(scope='module')
def reference(parity: Path) -> dict[str, Any]:
    return dict(np.load(parity / 'udt.npz'))


@pytest.fixture(scope='module')
def rule(parity: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location('rule', parity / 'rule.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _describe(patches: np.ndarray, weights: dict[str, Tensor]) -> Tensor:
    """The published network on BGR patches (N, 125, 125, 3), with its window."""
    x = torch.from_numpy(patches).permute(0, 3, 1, 2)
    names = ('feature.feature.0', 'feature.feature.2')
    first, second = ((weights[f'{name}.weight'], weights[f'{name}.bias']) for name in names)
    x = functional.conv2d(functional.conv2d(x, *first, padding=1).relu(), *second, padding=1)
    return functional.local_response_norm(x, 5, 1e-4, 0.75, 1.0) * cosine_window(125, 125)


def _crop(image: np.ndarray, box: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """BGR patch (125, 125, 3) of three times the box, both axes stretched by themselves."""
    size, center = 3 * box[2:] * scale, box[:2] + box[2:] / 2
    a, b = (125 - 1) / size
    start = center - size / 2
    matrix = np.array([[a, 0, -a * start[0]], [0, b, -b * start[1]]])
    patch = cv2.warpAffine(np.ascontiguousarray(image[..., ::-1]), matrix, (125, 125))
    return patch - np.array([104, 117, 123], np.float32)


def test_published_network_gives_its_published_responses(
    parity: Path, rule: ModuleType, reference: dict[str, Any]
) -> None:
    keys = rule.read_keys(parity / 'keys_udt.txt')
    state = rule.make_state_dict(keys, str(reference['salt']), rule.GAINS['udt'])
    assert np.allclose(rule.state_dict_sums(state), reference['weights_sums'], atol=1e-4)
    weights = {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}
    frames, _ = rule.make_sequence(**json.loads(str(reference['sequence_args'])))
    assert cosine_window(125, 125).numpy() == pytest.approx(reference['cos_window'], abs=1e-6)

    box = reference['gt'][0]
    template = _describe(_crop(frames[0], box)[None], weights)
    labels = torch.from_numpy(reference['label_y']).float()[None]
    filters = fit(template, labels, 1e-4)
    patches = np.stack([_crop(frames[1], box, scale) for scale in reference['scale_factor']])
    lattice = patches.transpose(0, 3, 1, 2)[..., ::5, ::5]
    # Another release of OpenCV rounds some pixels differently; what follows sees that.
    assert np.abs(lattice - reference['search1__sub']).max() <= 2
    assert _error(_pairs(filters.spectrum[:, ::8]), reference['init/model_zf__ch']) < 1e-3
    assert _error(_pairs(filters.alpha), reference['init/alphaf']) < 1e-2
    responses = respond(filters, _describe(patches, weights)).numpy()[:, None]
    assert _error(responses, reference['response1']) < 3e-3


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference relative to the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _pairs(spectrum: Tensor) -> np.ndarray:
    return torch.view_as_real(spectrum).numpy()
