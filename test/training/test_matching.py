"""Finding a target in another frame: places, labels, losses."""

import math

import pytest
import torch

from tracker_core import weights
from tracker_core.siamfc.network import SiamFC
from training import siamfc
from training.matching import CrossCorrelation, FilterMatching, Region, cut, find_peaks
from training.udt_settings import UDTSettings

SETTINGS = UDTSettings(search_size=191, shift=20)


@pytest.fixture(scope='module')
def network() -> SiamFC:
    network = SiamFC()
    weights.load_into(network, weights.shipped_path('siamfc'), 'siamfc')
    return network.eval()


def _crops(seed: int, size: int = 231) -> torch.Tensor:
    """A crop of blocks of 7 pixels, uint8 (1, size, size, 3)."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 255, (1, size // 7, size // 7, 3), generator=generator)
    return blocks.repeat_interleave(7, 1).repeat_interleave(7, 2).byte()


def _moved(crops: torch.Tensor, x: int, y: int) -> torch.Tensor:
    return crops.roll((y, x), (1, 2))


def _place(x: float, y: float) -> torch.Tensor:
    return torch.tensor([[x, y]], dtype=torch.float32)


@pytest.mark.parametrize('kind', [CrossCorrelation, FilterMatching])
def test_target_is_found_where_it_went(network: SiamFC, kind: type) -> None:
    matching = kind(network, SETTINGS)
    template = Region(_crops(1), _place(4, -3))
    search = Region(_moved(template.crops, 16, -8), _place(-7, 5))
    with torch.no_grad():
        responses = matching.respond(template, _place(0, 0), search)
    found = search.center + find_peaks(responses)
    assert found[0].tolist() == pytest.approx([16, -8], abs=4)  # half a cell


@pytest.mark.parametrize('kind', [CrossCorrelation, FilterMatching])
def test_labels_peak_at_the_target(network: SiamFC, kind: type) -> None:
    labels = kind(network, SETTINGS).labels(torch.tensor([[16.0, -8.0], [0.0, 0.0]]), 9)
    assert labels.shape == (2, 9, 9)
    assert labels[0, 3, 6] == labels[1, 4, 4] == labels.max()
    assert torch.allclose(labels[0, :7, 2:], labels[1, 1:8, :7])


def test_loss_is_the_one_of_siamfc_where_the_target_is_in_the_middle(network: SiamFC) -> None:
    matching = CrossCorrelation(network, SETTINGS)
    responses = torch.randn(2, 9, 9, generator=torch.Generator().manual_seed(2))
    labels = matching.labels(torch.zeros(2, 2), 9)
    assert torch.equal(labels[0], siamfc.make_labels(9, 16.0, 8))
    losses = matching.losses(responses, labels)
    for one, response in zip(losses, responses, strict=True):
        expected = siamfc.balanced_loss(response[None], labels[:1])
        assert one.item() == pytest.approx(expected.item(), rel=1e-5)


def test_filter_label_and_loss_by_hand(network: SiamFC) -> None:
    matching = FilterMatching(network, SETTINGS)
    labels = matching.labels(torch.zeros(1, 2), 3)[0]
    assert labels[1, 1] == 1
    assert labels[1, 2].item() == pytest.approx(math.exp(-0.5 * (8 / 6.35) ** 2))
    responses = labels[None] + torch.tensor([1.0, -2.0, 0.0])
    assert matching.losses(responses, labels[None]).item() == pytest.approx(3 * (1 + 4))


def test_peak_lies_between_cells() -> None:
    line = torch.arange(9.0)
    rows, columns = torch.meshgrid(line, line, indexing='ij')
    responses = torch.exp(-((rows - 3.5) ** 2 + (columns - 5.25) ** 2) / 4)[None]
    assert find_peaks(responses)[0].tolist() == pytest.approx([1.25 * 8, -0.5 * 8], abs=1)


def test_cut_stays_inside_the_crop() -> None:
    crops = torch.arange(36).reshape(1, 6, 6, 1).repeat(2, 1, 1, 3)
    pieces = cut(crops, torch.tensor([[0.0, 1.0], [90.0, -90.0]]), 2)
    assert pieces[0, :, :, 0].tolist() == [[20, 21], [26, 27]]
    assert pieces[1, :, :, 0].tolist() == [[4, 5], [10, 11]]
