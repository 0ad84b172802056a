"""Pictures for TensorBoard."""

import numpy as np
import torch

from training.pictures import TRUE_COLOR, heat_map, sheet, with_boxes

GREY = np.full((60, 60, 3), 100, np.uint8)


def test_box_is_drawn_on_a_copy() -> None:
    drawn = with_boxes(GREY, [(np.array([10.0, 20.0, 30.0, 15.0]), TRUE_COLOR)])
    assert (GREY == 100).all()
    rows, columns = np.nonzero((drawn == TRUE_COLOR).all(2))
    assert rows.min() in (19, 20) and rows.max() in (34, 35, 36)
    assert columns.min() in (9, 10) and columns.max() in (39, 40, 41)


def test_heat_grows_with_the_score_and_keeps_the_place() -> None:
    scores = torch.zeros(3, 3)
    scores[0, 2] = 0.9
    heat = heat_map(scores, GREY, 20, (10, 10)).astype(int)
    assert heat.shape == (60, 60, 3)
    brightness = heat.sum(2)
    assert brightness[:20, 40:].min() > brightness[20:].max()
    assert (brightness[20:] == brightness[30, 30]).all()


def test_cells_of_a_heat_map_lie_around_their_middles() -> None:
    scores = torch.zeros(2, 3)
    scores[1, 0], scores[0, 2] = 1, 1
    bright = (
        heat_map(scores, GREY, 8, (12, 20)).sum(2)
        > heat_map(0 * scores, GREY, 8, (0, 0))[0, 0].sum()
    )
    rows, columns = np.nonzero(bright[:24])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 23, 24, 31)
    rows, columns = np.nonzero(bright[24:])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 7, 8, 15)


def test_sheet_places_row_by_row() -> None:
    images = [np.full((4, 5, 3), value, np.uint8) for value in range(4)]
    whole = sheet([images[:2], images[2:]])
    assert whole.shape == (8, 10, 3)
    assert [whole[0, 0, 0], whole[0, 9, 0], whole[7, 0, 0], whole[7, 9, 0]] == [0, 1, 2, 3]
