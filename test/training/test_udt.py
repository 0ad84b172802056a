"""Training without labels: the way there and back, which examples count, whole runs."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from tracker_core import build_tracker, weights
from tracker_core.siamfc.network import SiamFC
from training import check_data, checkpoint, udt
from training.__main__ import main
from training.datasets import DataError
from training.loop import Run
from training.matching import MATCHINGS, Region
from training.recipe import RecipeError, UDTRecipe, parse_recipe
from training.udt import cost_sensitive_weights, follow
from training.udt_examples import load_examples


def _write_video(path: Path, frames: int = 12, step: int = 3, seed: int = 1) -> Path:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25.0, (240, 180))
    blocks = (rng.integers(0, 255, (*size, 3), dtype=np.uint8) for size in ((30, 40), (10, 10)))
    background, target = (each.repeat(6, 0).repeat(6, 1) for each in blocks)
    for index in range(frames):
        image = background // 2
        image[60:120, 40 + step * index : 100 + step * index] = target
        video.write(image)
    video.release()
    return path


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Weights to start from."""
    tensors = load_file(weights.shipped_path('siamfc'))
    info = weights.WeightsInfo('siamfc', ('clips',), 'tests', {'confidence_slope': 5.0})
    return weights.save(tmp_path / 'start.safetensors', tensors, info)


@pytest.fixture
def udt_content(tmp_path: Path, start: Path) -> dict[str, Any]:
    """Content of a recipe that adapts to one video within seconds."""
    return {
        'recipe': 'udt',
        'weights': str(start),
        'data': str(_write_video(tmp_path / 'videos' / 'one.mp4')),
        'output': str(tmp_path / 'run'),
        'cache': str(tmp_path / 'cache'),
        'training_data': ['a video'],
        'licence': 'ours',
        'sources': [{'path': '*', 'kind': 'windows', 'span': 6, 'kept': 4, 'targets': 2}],
        'frames': {'max_share': 0.9},
        'crops': {'size': 175},
        'settings': {'search_size': 159, 'shift': 8},
        'schedule': {
            'epochs': 1,
            'examples_per_epoch': 4,
            'batch_size': 2,
            'validation_examples': 2,
            'workers': 0,
            'device': 'cpu',
        },
    }


def _parse(content: dict[str, Any]) -> UDTRecipe:
    recipe = parse_recipe(content)
    assert isinstance(recipe, UDTRecipe)
    return recipe


def _batch(examples: Any) -> dict[str, Tensor]:
    pair = examples[0, 0], examples[0, 1]
    return {key: torch.as_tensor(np.stack([each[key] for each in pair])) for key in pair[0]}


def test_weights_drop_the_highest_losses_and_grow_with_motion() -> None:
    losses = torch.tensor([0.1, 5.0, 0.2, 0.3, 0.1])
    motion = torch.tensor([1.0, 9.0, 3.0, 0.0, 4.0])
    found = cost_sensitive_weights(losses, motion, 0.2)
    assert found.tolist() == pytest.approx([1 / 8, 0, 3 / 8, 0, 4 / 8])
    assert cost_sensitive_weights(losses, motion, 0.0)[1] == pytest.approx(9 / 17)
    assert cost_sensitive_weights(losses, torch.zeros(5), 0.2).tolist() == [0] * 5


class _Moving:
    """A matching that finds the target 16 px to the right in every further frame."""

    def respond(self, template: Region, target: Tensor, search: Region) -> Tensor:
        return self.labels(target + torch.tensor([16.0, 0.0]) - search.center, 15)

    def labels(self, offsets: Tensor, size: int) -> Tensor:
        line = (torch.arange(size) - (size - 1) / 2) * 8
        rows, columns = torch.meshgrid(line, line, indexing='ij')
        apart = torch.stack([columns, rows], -1) - offsets[:, None, None]
        return torch.exp(-apart.square().sum(-1) / 200)

    def values(self, responses: Tensor) -> Tensor:
        return responses

    def losses(self, responses: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError


def test_target_is_followed_from_frame_to_frame() -> None:
    centers = torch.tensor([[[0.0, 0.0], [8.0, -8.0], [24.0, 8.0]]])
    regions = [Region(torch.zeros(1, 9, 9, 3), centers[:, i]) for i in range(3)]
    course = follow(_Moving(), regions)
    found = [place[0].tolist() for place in course.places]
    assert found == [pytest.approx([x, 0], abs=1) for x in (0, 16, 32)]
    matching = _Moving()
    still, moved = (matching.labels(torch.tensor([[x, 0.0]]), 15) for x in (0.0, 16.0))
    expected = 2 * (still - moved).square().sum()
    assert course.motion.item() == pytest.approx(expected.item(), rel=0.1)


def test_the_response_is_drawn_where_it_was_looked_for(
    udt_content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 pixels right of the middle of the first crop, wherever the region in it was."""
    monkeypatch.setitem(MATCHINGS, 'correlation', lambda *_: _Moving())  # type: ignore[arg-type]
    crops = torch.zeros(1, 3, 175, 175, 3, dtype=torch.uint8)
    centers = torch.tensor([[[16, -8], [8, -8], [24, 8]]])
    batch = {'crops': crops, 'centers': centers}
    drawn = udt.draw(SiamFC(), batch, _parse(udt_content))['course'][:, 3 * 175 :]
    yellow = drawn[..., 0].astype(int) - drawn[..., 2]  # the box in the crop is blue
    rows, columns = np.nonzero(yellow > yellow.max() - 10)
    assert (columns.mean(), rows.mean()) == pytest.approx((87 + 48, 87), abs=1)


def test_only_the_way_back_has_gradients(udt_content: dict[str, Any]) -> None:
    recipe = _parse(udt_content)
    training, _ = load_examples(recipe)
    batch = _batch(training)
    network = udt.build_network(recipe).eval()
    calls: list[bool] = []
    network.backbone.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    value, watched = udt.loss(network, batch, recipe)
    assert calls == [False] * 4 + [True] * 2  # two steps, then exemplar and first frame
    value.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert 0 <= watched['returned'] <= 1


@pytest.mark.parametrize('matching', ['correlation', 'filter'])
def test_training_lowers_the_loss(
    udt_content: dict[str, Any], tmp_path: Path, matching: str
) -> None:
    udt_content['settings'] |= {'matching': matching, 'drop': 0.0, 'motion': False}
    udt_content['schedule']['initial_rate'] = 0.01 if matching == 'correlation' else 1e-3
    run = Run(_parse(udt_content), tmp_path)
    batch = _batch(run.training)
    statistics = run.network.backbone.conv1[1].running_mean.clone()
    run.module.start_training(run.network, run.recipe)
    losses = [run.train_on(batch)[0] for _ in range(6)]
    assert losses[-1] < 0.95 * losses[0]
    assert torch.equal(run.network.backbone.conv1[1].running_mean, statistics)


def test_frames_begin_with_the_one_of_the_pseudo_target(udt_content: dict[str, Any]) -> None:
    recipe = _parse(udt_content)
    training, validation = load_examples(recipe)
    assert validation is None
    for position in range(4):
        example = training[3, position]
        assert example['crops'].shape == (3, 175, 175, 3)
        assert np.abs(example['centers']).max() <= 8
        firsts = [window.crops[0, ..., :3] for window in training.windows]
        assert any(np.array_equal(example['crops'][0], first) for first in firsts)
        again = load_examples(recipe)[0][3, position]
        assert all(np.array_equal(example[key], again[key]) for key in example)


def test_from_a_video_to_a_tracker_with_its_settings(
    udt_content: dict[str, Any], tmp_path: Path
) -> None:
    path, target = tmp_path / 'recipe.yaml', tmp_path / 'mine.safetensors'
    path.write_text(yaml.safe_dump(udt_content | {'data': 'elsewhere'}))
    assert main([str(path), '--data', udt_content['data']]) == 0
    assert main(['export', str(tmp_path / 'run' / 'last.pt'), '--output', str(target)]) == 0
    info = weights.read_info(target)
    assert (info.tracker, info.training_data) == ('siamfc', ('clips', 'a video'))
    assert info.licence == 'tests; ours' and info.settings == {'confidence_slope': 5.0}
    tracker = build_tracker('siamfc', target, device='cpu')
    assert tracker.settings.confidence_slope == 5.0  # type: ignore[attr-defined]
    state = checkpoint.load(tmp_path / 'run' / 'last.pt')
    assert state['step'] == 2
    first = udt.build_network(_parse(udt_content)).state_dict()['backbone.conv1.0.weight']
    assert not torch.equal(first, state['network']['backbone.conv1.0.weight'])


def test_recordings_can_be_held_out(udt_content: dict[str, Any], tmp_path: Path) -> None:
    _write_video(tmp_path / 'videos' / 'two.mp4', seed=2)
    content = udt_content | {'data': str(tmp_path / 'videos'), 'held_out': ['two']}
    training, validation = load_examples(_parse(content))
    assert {window.scene for window in training.windows} == {'one'}
    assert validation is not None and len(validation) == 2
    assert {window.scene for window in validation.windows} == {'two'}
    assert np.isfinite(Run(_parse(content), tmp_path / 'run').train())


def test_run_starts_from_weights_of_its_network(
    udt_content: dict[str, Any], tmp_path: Path, start: Path
) -> None:
    run = Run(_parse(udt_content), tmp_path / 'run')
    expected = run.network.state_dict()['backbone.conv1.0.weight'].clone()
    with torch.no_grad():
        run.network.backbone.conv1[0].weight.zero_()
    run.start_from(start)  # a file of siamfc
    assert torch.equal(run.network.backbone.conv1[0].weight, expected)


def test_sheet_shows_the_frames(udt_content: dict[str, Any], tmp_path: Path) -> None:
    recipe = _parse(udt_content)
    assert check_data.count_sources(recipe)[0].frames > 0
    check_data.write_contact_sheet(recipe, tmp_path / 'sheet.png', 2)
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape == (2 * 175, 3 * 175, 3)


def test_settings_that_do_not_fit_are_told(udt_content: dict[str, Any]) -> None:
    recipe = _parse(udt_content)
    wide = dataclasses.replace(recipe, settings=dataclasses.replace(recipe.settings, shift=40))
    with pytest.raises(DataError, match=r'crops.size 175 is less than .*159 and twice .*40'):
        load_examples(wide)
    long = dataclasses.replace(recipe, settings=dataclasses.replace(recipe.settings, steps=4))
    with pytest.raises(DataError, match=r'too few frames for settings\.steps'):
        load_examples(long)
    with pytest.raises(RecipeError, match="network must be 'siamfc'"):
        _parse(udt_content | {'network': 'dimp18'})
    with pytest.raises(FileNotFoundError, match='no weights file'):
        udt.build_network(_parse(udt_content | {'weights': 'gone.safetensors'}))
