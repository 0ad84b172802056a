"""Plots: what is drawn, in which order, and in the colours of the page."""

import re

import numpy as np

from tracker_core.benchmark import one_pass, plots
from tracker_core.benchmark.evaluation import Evaluation, Speed

TRUTH = np.tile([50.0, 50, 20, 20], (8, 1))


def evaluation(label: str, shift: float = 0.0, growth: float = 0.0) -> Evaluation:
    """Boxes that are `shift` too far right and `growth` too large on every side."""
    boxes = TRUTH + np.array([shift - growth, -growth, 2 * growth, 2 * growth])
    scores = {'a': one_pass.score('a', boxes, TRUTH)}
    return Evaluation(label, scores, (), Speed(25.0, 26.0, 0.1), ())


def legend(svg: str) -> list[str]:
    """Entries of a legend: a number and a name."""
    return re.findall(r'>(\d\.\d{3} \w+)</text>', svg)


def test_each_legend_begins_with_the_best_by_its_own_number():
    """The large box has its centre in place and little overlap, the shifted one vice versa."""
    shifted, large = evaluation('shifted', shift=5), evaluation('large', growth=12)
    success, precision, normalized = plots.curve_plots([shifted, large])
    assert [text.split()[1] for text in legend(success)] == ['shifted', 'large']
    assert [text.split()[1] for text in legend(normalized)] == ['large', 'shifted']
    assert legend(success)[0].startswith(f'{shifted.summary.auc:.3f} ')
    assert legend(precision) == ['1.000 shifted', '1.000 large'], 'equal ones keep their order'


def test_text_and_grid_take_the_colours_of_the_page():
    for svg in (
        *plots.curve_plots([evaluation('one')]),
        plots.speed_plot([('one', 25.0, 0.5)]),
        plots.overlap_plot([('one', np.linspace(1, 0, 9))], (3, 6)),
    ):
        assert 'currentColor' in svg and 'var(--line)' in svg
        assert not re.search('#101010|#e6e6e6|#888888', svg)
        assert 'fill: #ffffff' not in svg, 'no white patch on a dark page'


def test_after_eight_trackers_the_lines_are_dashed():
    names = [f't{index}' for index in range(9)]
    svg = plots.curve_plots([evaluation(name) for name in names])[0]
    assert plots.color(8) == plots.color(0)
    dashed = [path for path in re.findall(r'<path [^>]*>', svg) if 'stroke-dasharray' in path]
    assert dashed and all(plots.color(0) in path for path in dashed)


def test_an_overlap_line_has_a_gap_where_the_target_is_absent():
    values = np.array([1.0, 1.0, np.nan, np.nan, 0.0, 0.0])
    lines = re.findall(r'points="([^"]*)"', plots.sparkline([(0, values)], 100, 44))
    assert [len(line.split()) for line in lines] == [2, 2]
    assert lines[0].startswith('0.0,2.0') and lines[1].endswith('100.0,42.0')
    assert '<polyline' not in plots.sparkline([(0, np.full(4, np.nan))])


def test_the_best_overlap_line_is_drawn_last_and_lies_on_top():
    svg = plots.sparkline([(0, np.ones(5)), (1, np.zeros(5))])
    assert re.findall(r'stroke="(#\w+)"', svg) == [plots.color(1), plots.color(0)]


def test_trackers_of_unknown_speed_or_accuracy_have_no_point():
    svg = plots.speed_plot([('one', 25.0, 0.5), ('slow', None, 0.5), ('odd', 9.0, float('nan'))])
    assert '>one</text>' in svg
    assert 'slow' not in svg and 'odd' not in svg
