"""The IoU network: shapes and gradients in the boxes."""

import torch
from torch.autograd import gradcheck


def test_shapes(overlap_setting):
    network, modulation, embedding = overlap_setting
    assert [tuple(m.shape) for m in modulation] == [(1, 256, 1, 1)] * 2
    assert all((m >= 0).all() for m in modulation)
    assert [tuple(e.shape) for e in embedding] == [(1, 256, 12, 12), (1, 256, 6, 6)]
    boxes = torch.rand(1, 7, 4).double() * 20 + 20
    assert network.predict(modulation, embedding, boxes).shape == (1, 7)


def test_gradient_in_the_boxes(overlap_setting):
    network, modulation, embedding = overlap_setting
    boxes = torch.tensor([[[17.3, 22.1, 38.7, 41.2], [30.4, 28.9, 21.3, 33.8]]]).double()
    assert gradcheck(lambda b: network.predict(modulation, embedding, b), boxes.requires_grad_())


def test_boxes_are_independent(overlap_setting):
    network, modulation, embedding = overlap_setting
    boxes = torch.rand(1, 5, 4).double() * 30 + 20
    together = network.predict(modulation, embedding, boxes)
    alone = [network.predict(modulation, embedding, boxes[:, i : i + 1]) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone, 1))
