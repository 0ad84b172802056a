"""Plots as SVG text, for pages that need no other files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from collections.abc import Sequence as List
from contextlib import contextmanager
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
    '#7b848c',
    '#8c6d00',
)
#: Lines of the trackers after the first eight, which have the colours again.
_DASHES = ('-', '--', ':', '-.')
_SIZE = (4.6, 3.6)
_LEGEND_ROW = 0.21
"""Inches."""
#: Stand for the colours of the page, which are others in the dark.
_PAGE_COLORS = {'#101010': 'currentColor', '#e6e6e6': 'var(--line)', '#888888': 'var(--soft)'}
_INK, _LINE, _SOFT = _PAGE_COLORS
_STYLE: dict[Any, Any] = {
    'font.family': 'sans-serif',
    'font.size': 10,
    'text.color': _INK,
    'axes.labelcolor': _INK,
    'axes.titleweight': 'bold',
    'axes.titlesize': 11,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': _SOFT,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': _LINE,
    'xtick.color': _INK,
    'ytick.color': _INK,
    'legend.frameon': False,
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
    """Expected average overlap by sequence length (VOT); EAO is its mean over `interval`."""
    with _plot(len(curves)) as (figure, axes):
        for index, (label, curve) in enumerate(curves):
            axes.plot(np.arange(1, len(curve) + 1), curve, label=label, **_line(index))
        axes.axvspan(*interval, color=_SOFT, alpha=0.15, lw=0)
        axes.set(title='Expected overlap', xlabel='sequence length, frames', ylim=(0, 1))
        _legend(figure, *axes.get_legend_handles_labels())
        return _svg(figure)


def speed_plot(points: List[tuple[str, float | None, float]], measure: str = 'AUC') -> str:
    """Accuracy over speed, on a logarithmic axis; the dashed line is 30 frames per second.

    points: name, frames per second if known, and accuracy of every tracker. As high as the plots
    of the curves of as many trackers, which have a legend below.
    """
    with _plot(len(points)) as (figure, axes):
        known = [
            (index, name, speed, value)
            for index, (name, speed, value) in enumerate(points)
            if speed and not np.isnan(value)
        ]
        for index, name, speed, value in known:
            axes.scatter(speed, value, s=90, color=color(index), zorder=3)
            _note(axes, name, (speed, value), (8, 4), color=color(index), weight='bold')
        axes.axvline(30, color=_SOFT, ls='--', lw=1)
        low = axes.get_xaxis_transform()
        _note(axes, 'camera, 30 fps', (30, 0.02), (4, 0), xycoords=low, color=_SOFT, fontsize=8)
        axes.set_xscale('log')
        axes.set_xticks([base * 10.0**power for power in range(-1, 4) for base in (1, 2, 5)])
        axes.xaxis.set_major_formatter('{x:g}')
        axes.minorticks_off()
        speeds = [30.0, *(speed for _, _, speed, _ in known)]
        axes.set_xlim(min(speeds) / 1.6, max(speeds) * 2.2)
        axes.margins(y=0.2)
        axes.set(title='Accuracy and speed', xlabel='frames per second (log)', ylabel=measure)
        return _svg(figure)


def sparkline(overlaps: List[tuple[int, Curve]], width: int = 240, height: int = 44) -> str:
    """Overlap over time of several trackers: pairs of colour index and curve.

    The line has a gap where the target is absent. Those named first lie on top.
    """
    lines = []
    for index, values in reversed(overlaps):
        for piece in _pieces(values, width):
            points = ' '.join(f'{x:.1f},{2 + (height - 4) * (1 - y):.1f}' for x, y in piece)
            lines.append(
                f'<polyline points="{points}" fill="none" stroke="{color(index)}" '
                'stroke-width="1.4" stroke-linejoin="round" stroke-linecap="round"/>'
            )
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
        f'{"".join(lines)}</svg>'
    )


def _pieces(values: Curve, width: int) -> list[list[tuple[float, float]]]:
    """Points x, y of a curve, at most one per unit of width, between gaps of nan."""
    count = min(len(values), width)
    pieces: list[list[tuple[float, float]]] = [[]]
    for i, chunk in enumerate(np.array_split(values, count)):
        known = chunk[~np.isnan(chunk)]
        if len(known):
            pieces[-1].append((i * width / max(count - 1, 1), float(known.mean())))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _curves(
    title: str, label: str, thresholds: Curve, lines: list[tuple[str, Curve, float]]
) -> str:
    """One panel; its legend begins with the best by the number that belongs to it."""
    with _plot(len(lines)) as (figure, axes):
        for index, (name, curve, value) in enumerate(lines):
            text = f'{value:.3f} {name}'
            axes.plot(thresholds, curve, label=text, zorder=2 + 1 / (1 + index), **_line(index))
        axes.set(title=title, xlabel=label, ylim=(0, 1.02), xlim=(thresholds[0], thresholds[-1]))
        handles, texts = axes.get_legend_handles_labels()
        order = sorted(range(len(lines)), key=lambda i: -lines[i][2])
        _legend(figure, [handles[i] for i in order], [texts[i] for i in order])
        return _svg(figure)


def _line(index: int) -> dict[str, Any]:
    style = _DASHES[index // len(COLORS) % len(_DASHES)]
    return {'color': color(index), 'ls': style, 'lw': 2}


def _legend(figure: Any, handles: list[Any], texts: list[str]) -> None:
    """Below the plot, where it covers no curve."""
    figure.legend(handles, texts, loc='outside lower center', ncols=_columns(len(texts)))


def _note(
    axes: Any, text: str, at: tuple[float, float], away: tuple[int, int], **style: Any
) -> None:
    """Text some points away from a place in the plot."""
    axes.annotate(text, at, xytext=away, textcoords='offset points', **style)


def _columns(entries: int) -> int:
    return 2 if entries > 3 else 1


@contextmanager
def _plot(entries: int) -> Iterator[tuple[Any, Any]]:
    """Figure and axes with room for a legend of so many entries; no display is needed.

    RuntimeError where matplotlib is missing.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise RuntimeError('plots need matplotlib: pip install matplotlib') from None
    rows = -(-entries // _columns(entries))
    size = (_SIZE[0], _SIZE[1] + _LEGEND_ROW * rows)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout='constrained')
        yield figure, figure.subplots()


def _svg(figure: Any) -> str:
    """The figure as drawn with the style of `_plot`, in the colours of the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    text = buffer.getvalue()
    text = re.sub(r' (width|height)="[^"]*pt"', '', text[text.index('<svg') :], count=2)
    for ours, of_the_page in _PAGE_COLORS.items():
        text = text.replace(ours, of_the_page)
    return text
