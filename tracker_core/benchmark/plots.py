"""Plots as SVG text, for pages that need no other files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence as List
from typing import Any

import numpy as np

from tracker_core.benchmark.evaluation import Evaluation
from tracker_core.benchmark.one_pass import (
    DISTANCE_THRESHOLDS,
    NORMALIZED_THRESHOLDS,
    OVERLAP_THRESHOLDS,
    Curve,
)

#: Easy to tell apart with all kinds of colour vision (Okabe and Ito, darkened where too light).
COLORS = (
    '#0072b2',
    '#d55e00',
    '#009e73',
    '#cc79a7',
    '#e69f00',
    '#56b4e9',
    '#000000',
    '#8c6d00',
)
_SIZE = (4.6, 3.8)
_STYLE: dict[Any, Any] = {
    'font.family': 'sans-serif',
    'font.size': 10,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': '#888888',
    'axes.grid': True,
    'grid.color': '#e6e6e6',
    'svg.fonttype': 'none',
    'svg.hashsalt': 'benchmark',
}


def color(index: int) -> str:
    """Colour of the tracker at a position in the table, as #rrggbb."""
    return COLORS[index % len(COLORS)]


def rgb(index: int) -> tuple[int, int, int]:
    """The same colour as three numbers 0..255."""
    value = color(index)
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def curve_plots(evaluations: List[Evaluation]) -> list[str]:
    """Success, precision and normalised precision of all trackers, in the order given."""
    panels = [
        ('Success', 'overlap threshold', OVERLAP_THRESHOLDS, 'success', 'auc'),
        ('Precision', 'centre error, px', DISTANCE_THRESHOLDS, 'precision', 'precision20'),
        (
            'Normalised precision',
            'centre error / target size',
            NORMALIZED_THRESHOLDS,
            'normalized',
            'normalized20',
        ),
    ]
    plots = []
    for title, label, thresholds, curve, measure in panels:
        lines = [
            (each.label, getattr(each.summary, curve), getattr(each.summary, measure))
            for each in evaluations
        ]
        plots.append(_curves(title, label, thresholds, lines))
    return plots


def overlap_plot(curves: List[tuple[str, Curve]], interval: tuple[int, int]) -> str:
    """Expected average overlap by sequence length (VOT)."""
    figure, axes = _figure(_SIZE)
    for index, (label, curve) in enumerate(curves):
        axes.plot(np.arange(1, len(curve) + 1), curve, color=color(index), label=label, lw=2)
    axes.axvspan(*interval, color='#000000', alpha=0.06, lw=0)
    axes.set(title='Expected overlap', xlabel='sequence length, frames', ylim=(0, 1))
    axes.legend(framealpha=0.85, edgecolor='none')
    return _svg(figure)


def speed_plot(evaluations: List[Evaluation]) -> str:
    """Accuracy over speed, on a logarithmic axis; the dashed line is 30 frames per second."""
    figure, axes = _figure(_SIZE)
    timed = [(i, e, e.speed) for i, e in enumerate(evaluations) if e.speed is not None]
    for index, each, speed in timed:
        axes.scatter(speed.total, each.summary.auc, s=90, color=color(index), zorder=3)
        axes.annotate(
            each.label,
            (speed.total, each.summary.auc),
            xytext=(8, 4),
            textcoords='offset points',
            color=color(index),
            weight='bold',
        )
    axes.axvline(30, color='#888888', ls='--', lw=1)
    axes.set_xscale('log')
    axes.set_xticks([base * 10.0**power for power in range(-1, 4) for base in (1, 2, 5)])
    axes.xaxis.set_major_formatter('{x:g}')
    axes.minorticks_off()
    if timed:
        speeds = [30.0, *(speed.total for _, _, speed in timed)]
        axes.set_xlim(min(speeds) / 1.6, max(speeds) * 2.2)
    axes.margins(y=0.2)
    axes.set(title='Accuracy and speed', xlabel='frames per second (log)', ylabel='AUC')
    return _svg(figure)


def sparkline(overlaps: List[tuple[int, Curve]], width: int = 240, height: int = 44) -> str:
    """Overlap over time of several trackers: pairs of colour index and curve."""
    lines = []
    for index, values in overlaps:
        count = min(len(values), width)
        chunks = np.array_split(np.nan_to_num(values), count)
        levels = [float(chunk.mean()) for chunk in chunks]
        points = ' '.join(
            f'{i * width / max(count - 1, 1):.1f},{2 + (height - 4) * (1 - level):.1f}'
            for i, level in enumerate(levels)
        )
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{color(index)}" '
            'stroke-width="1.4" stroke-linejoin="round"/>'
        )
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
        f'{"".join(lines)}</svg>'
    )


def _curves(
    title: str, label: str, thresholds: Curve, lines: list[tuple[str, Curve, float]]
) -> str:
    figure, axes = _figure(_SIZE)
    for index, (name, curve, value) in enumerate(lines):
        axes.plot(thresholds, curve, color=color(index), label=f'{name}  {value:.3f}', lw=2)
    axes.set(title=title, xlabel=label, ylim=(0, 1.02), xlim=(thresholds[0], thresholds[-1]))
    place = 'lower left' if thresholds[-1] == 1 else 'lower right'
    axes.legend(loc=place, framealpha=0.85, edgecolor='none')
    return _svg(figure)


def _figure(size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure that needs no display; RuntimeError where matplotlib is missing."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise RuntimeError('plots need matplotlib: pip install matplotlib') from None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout='constrained')
        return figure, figure.subplots()


def _svg(figure: Any) -> str:
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    text = buffer.getvalue()
    return re.sub(r' (width|height)="[^"]*pt"', '', text[text.index('<svg') :], count=2)
