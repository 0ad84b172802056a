"""Labels, loss and examples of the SiamFC recipe."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from training import siamfc
from training.augmentation import AugmentationSettings
from training.crops import Sequence
from training.recipe import SiamFCRecipe
from training.siamfc import SiamFCSettings, balanced_loss, make_labels

PLAIN = AugmentationSettings(stretch=0.0, shift=0)


def test_labels_of_a_small_map_by_hand() -> None:
    expected = [
        [0, 0, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 0, 0],
    ]
    assert make_labels(5, 16.0, 8).tolist() == expected
    assert make_labels(5, 8.0, 8).sum() == 5
    assert make_labels(15, 16.0, 8).sum() == 13


def test_loss_weighs_both_classes_alike_by_hand() -> None:
    labels = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    responses = torch.tensor([[[2.0, 0.0], [0.0, -1.0]]])
    positive = math.log(1 + math.exp(-2))
    negative = (2 * math.log(2) + math.log(1 + math.exp(-1))) / 3
    assert balanced_loss(responses, labels).item() == pytest.approx(0.5 * (positive + negative))


def test_labels_and_loss_equal_the_published_ones(parity: Path) -> None:
    reference = np.load(parity / 'siamfc.npz')
    for size in (15, 17):
        assert np.array_equal(reference[f'labels{size}'][0], make_labels(size, 16.0, 8).numpy())
    responses = torch.from_numpy(reference['loss_input'])[:, 0]
    value = balanced_loss(responses, make_labels(15, 16.0, 8).expand_as(responses))
    assert value.item() == pytest.approx(float(reference['loss_value']), abs=1e-6)


def test_loss_of_a_batch_is_that_of_the_pairs_alone_without_other_negatives() -> None:
    network = siamfc.build_network(SiamFCRecipe()).eval()
    batch = _batch([0, 1])
    value, _ = siamfc.loss(network, batch, SiamFCRecipe())
    exemplars, searches = (
        batch[key].permute(0, 3, 1, 2).float() for key in ('exemplar', 'search')
    )
    responses = network(exemplars, searches)[:, 0]
    labels = make_labels(responses.shape[-1], 16.0, 8).expand_as(responses)
    assert value.item() == pytest.approx(balanced_loss(responses, labels).item(), rel=1e-5)


def test_other_negatives_take_their_share_and_spare_the_own_scene() -> None:
    network = siamfc.build_network(SiamFCRecipe()).eval()
    half = SiamFCRecipe(settings=SiamFCSettings(other_negatives=0.5))
    plain = siamfc.loss(network, _batch([0, 1]), SiamFCRecipe())[0]
    mixed = siamfc.loss(network, _batch([0, 1]), half)[0]
    same = siamfc.loss(network, _batch([4, 4]), half)[0]
    assert same.item() == pytest.approx(plain.item())
    assert mixed.item() != pytest.approx(plain.item())


def test_other_negatives_by_hand() -> None:
    responses = torch.zeros(2, 2, 1, 2)
    responses[0, 1], responses[1, 0] = 1.0, 3.0  # foreign pairs
    own = responses.diagonal().permute(2, 0, 1)
    foreign = ~torch.eye(2, dtype=torch.bool)
    moved = siamfc._negative_loss(own, torch.tensor([[1.0, 0.0]]), responses, foreign)
    far = (math.log(1 + math.e) + math.log(1 + math.e**3)) / 2
    assert moved.item() == pytest.approx(0.5 * (far - math.log(2)))


def test_example_shows_the_same_target_twice_and_mirrors_both() -> None:
    crops = np.zeros((1, 303, 303, 4), np.uint8)
    crops[0, 141:162, 151:172, 0] = 255  # red, right of the centre
    sequence = Sequence('s', 's', crops, np.array([0]), False)
    example = _make(sequence, PLAIN)
    flipped = _make(sequence, AugmentationSettings(stretch=0.0, shift=0, flip=1.0))
    for key, size in (('exemplar', 127), ('search', 239)):
        assert example[key].shape == (size, size, 3)
        rows, columns = np.nonzero(example[key][..., 0] > 128)
        assert rows.mean() == pytest.approx(size // 2)
        assert columns.mean() == pytest.approx(size // 2 + 10)
        assert np.array_equal(flipped[key], example[key][:, ::-1])


def _make(sequence: Sequence, augmentation: AugmentationSettings) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def nothing(_: np.random.Generator) -> None:
        return None

    return siamfc.make_example(sequence, nothing, nothing, rng, SiamFCSettings(), augmentation)


def test_responses_are_drawn_where_the_network_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell is 8 pixels of the search image large, and the middle one in its middle."""
    logits = torch.full((6, 6), -9.0)
    logits[1, 4] = 9
    monkeypatch.setattr(siamfc, '_respond', lambda *_: logits[None, None])
    batch = {**_batch([0]), 'search': torch.zeros(1, 167, 167, 3, dtype=torch.uint8)}
    drawn = siamfc.draw(torch.nn.Module(), batch, SiamFCRecipe())['responses'][167:]
    rows, columns = np.nonzero(drawn.sum(2) > drawn[0, 0].sum() + 100)
    assert rows.mean() == pytest.approx(83 - 1.5 * 8, abs=0.6)
    assert columns.mean() == pytest.approx(83 + 1.5 * 8, abs=0.6)
    assert np.ptp(rows) == np.ptp(columns) == 7


def _batch(scenes: list[int]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def images(size: int) -> torch.Tensor:
        shape = (len(scenes), size, size, 3)
        return torch.randint(0, 255, shape, dtype=torch.uint8, generator=generator)

    return {'exemplar': images(127), 'search': images(167), 'scene': torch.tensor(scenes)}
