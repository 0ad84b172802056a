"""The report of the supervised VOT protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence as List
from typing import Any

from tracker_core.benchmark import page, plots
from tracker_core.benchmark.dataset import Dataset
from tracker_core.benchmark.evaluation import VotEvaluation
from tracker_core.benchmark.published import published
from tracker_core.benchmark.tables import markdown

_NOTE = (
    'Restarted five frames after each failure. Accuracy: mean overlap, ten frames after a start '
    'left out. Robustness: failures per 100 frames. EAO: expected average overlap, lengths '
    '{low} to {high}, not known where no sequence is that long. Overlaps '
    'count pixels as the rasteriser of region.c does.'
)
#: What is best in a column of `vot_table`.
_BEST: dict[str, Any] = {'EAO': max, 'Accuracy': max, 'Robustness': min, 'Failures': min}


def vot_table(evaluations: List[VotEvaluation]) -> tuple[list[str], list[list[str]]]:
    """Header and one row per tracker, the best EAO first."""
    header = ['Tracker', 'EAO', 'Accuracy', 'Robustness', 'Failures', 'Frames/s', 'Sequences']
    return header, [_row(each) for each in by_eao(evaluations)]


def by_eao(evaluations: List[VotEvaluation]) -> list[VotEvaluation]:
    """Sorted, the best first; those without EAO (sequences too short) last, by robustness."""
    return sorted(evaluations, key=lambda each: (-_known(each.score.eao), each.score.robustness))


def vot_markdown(dataset: Dataset, evaluations: List[VotEvaluation]) -> str:
    """Tables of the summary, published numbers and the sequences."""
    parts = [f'# {dataset.title}', _note(dataset), markdown(*vot_table(evaluations))]
    rows = _published(dataset, evaluations)
    if len(rows) > 1:
        parts += ['## Published numbers', markdown(rows[0], rows[1:])]
    parts += ['## By sequence', markdown(*_sequences(evaluations))]
    return '\n\n'.join(parts) + '\n'


def vot_html(dataset: Dataset, evaluations: List[VotEvaluation]) -> str:
    """The whole page."""
    ordered = by_eao(evaluations)
    curves = [(_with_eao(each), each.score.curve) for each in ordered]
    points = [
        (each.label, each.speed.total if each.speed else None, each.score.eao) for each in ordered
    ]
    interval = dataset.eao_interval or (0, 0)
    body = [
        f'<h1>{page.escape(dataset.title)}</h1>',
        f'<p class="soft">{page.escape(_note(dataset))}</p>',
        page.card(_summary(evaluations)),
        page.section(
            'Expected overlap',
            'Mean overlap by length of a sequence; EAO is the mean over the shaded lengths.',
            page.grid([plots.overlap_plot(curves, interval), plots.speed_plot(points, 'EAO')]),
        ),
    ]
    for title, (head, cells) in (
        ('By sequence', _sequences(evaluations)),
        ('Published numbers', _split(_published(dataset, evaluations))),
    ):
        if cells:
            escaped = [[page.escape(cell) for cell in row] for row in cells]
            body.append(
                page.section(
                    title, '', page.card(page.table(list(map(page.escape, head)), escaped))
                )
            )
    return page.document(f'{dataset.title}: {len(ordered)} trackers', body)


def _summary(evaluations: List[VotEvaluation]) -> str:
    """The table with the colours of the trackers and the best of each column in bold."""
    header, rows = vot_table(evaluations)
    shown = [[page.dot(plots.color(index), row[0])] for index, row in enumerate(rows)]
    for column, title in enumerate(header[1:], start=1):
        cells = [row[column] for row in rows]
        known = [cell for cell in cells if cell != '-']
        choose = _BEST.get(title) if len(known) > 1 else None
        best = choose(known, key=float) if choose else None
        for row, cell in zip(shown, cells, strict=True):
            row.append(page.strong(cell) if cell == best else page.escape(cell))
    return page.table(header, shown)


def _row(evaluation: VotEvaluation) -> list[str]:
    score = evaluation.score
    done = len(score.accuracies)
    total = done + len(evaluation.missing)
    return [
        evaluation.label,
        '-' if math.isnan(score.eao) else f'{score.eao:.3f}',
        f'{score.accuracy:.3f}',
        f'{score.robustness:.3f}',
        f'{score.failures:g}',
        f'{evaluation.speed.total:.1f}' if evaluation.speed else '-',
        f'{done}' if done == total else f'{done} of {total}',
    ]


def _with_eao(evaluation: VotEvaluation) -> str:
    eao = evaluation.score.eao
    return evaluation.label if math.isnan(eao) else f'{eao:.3f} {evaluation.label}'


def _known(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _note(dataset: Dataset) -> str:
    low, high = dataset.eao_interval or (0, 0)
    return _NOTE.format(low=low, high=high)


def _sequences(evaluations: List[VotEvaluation]) -> tuple[list[str], list[list[str]]]:
    ordered = by_eao(evaluations)
    names = sorted({name for each in ordered for name in each.score.accuracies})
    rows = []
    for name in names:
        cells = [
            f'{each.score.accuracies[name]:.3f} / {each.score.failure_counts[name]:g}'
            if name in each.score.accuracies
            else '-'
            for each in ordered
        ]
        rows.append([name, *cells])
    return ['Sequence (accuracy / failures)', *(each.label for each in ordered)], rows


def _published(dataset: Dataset, evaluations: List[VotEvaluation]) -> list[list[str]]:
    ours = {each.label: each.score for each in evaluations}
    rows = [['Tracker', 'Measure', 'Published', 'Here', 'Source']]
    for each in published(dataset.name):
        value = getattr(ours.get(each.tracker), each.measure, None)
        here = '-' if value is None else f'{value:.3f}'
        rows.append([each.tracker, each.measure, f'{each.value:.3f}', here, each.source])
    return rows


def _split(rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    return rows[0], rows[1:]
