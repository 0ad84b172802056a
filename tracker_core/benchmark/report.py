"""The report of one-pass results: an HTML page to look at, and Markdown to paste."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker_core.atomic import replacing
from tracker_core.benchmark import page, plots
from tracker_core.benchmark.attributes import DEFINITIONS, collect_attributes
from tracker_core.benchmark.dataset import Dataset
from tracker_core.benchmark.evaluation import Evaluation
from tracker_core.benchmark.moments import LOST_OVERLAP, Picture, draw_moments, worst_moments
from tracker_core.benchmark.one_pass import Convention
from tracker_core.benchmark.published import published
from tracker_core.benchmark.results import LATER, ResultFolder
from tracker_core.benchmark.tables import (
    MEASURES,
    markdown,
    most_complete,
    sequence_table,
    summary_table,
)

_RULES = {
    'exclude': 'Frames in which the target is absent or hidden do not count.',
    'pytracking': 'Absent targets are counted as pytracking counts them.',
    'pysot': 'Absent targets are counted as pysot counts them.',
}


#: Lines of a document between which `update_document` writes.
MARKS = ('<!-- benchmark: start -->', '<!-- benchmark: end -->')


@dataclass(frozen=True)
class Report:
    """What is reported: evaluations, best first, and where their boxes are."""

    dataset: Dataset
    evaluations: tuple[Evaluation, ...]
    folders: tuple[ResultFolder, ...]
    convention: Convention

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        pairs: List[tuple[Evaluation, ResultFolder]],
        convention: Convention,
    ) -> Report:
        """Sort by AUC those with results; ValueError where nothing has been scored."""
        scored = [each for each in pairs if each[0].scores]
        if not scored:
            raise ValueError(_nothing_to_score(dataset))
        ordered = sorted(scored, key=lambda each: -each[0].summary.auc)
        return cls(
            dataset,
            tuple(evaluation for evaluation, _ in ordered),
            tuple(folder for _, folder in ordered),
            convention,
        )


def markdown_report(report: Report) -> str:
    """Tables of the summary, the attributes, the sequences and published numbers."""
    parts = [
        f'# {report.dataset.title}',
        _facts(report),
        markdown(*summary_table(report.evaluations)),
    ]
    if warning := comparability(report.evaluations):
        parts.insert(2, warning)
    for title, rows in (
        ('By attribute (AUC)', attribute_rows(report)),
        ('Published numbers', published_rows(report)),
    ):
        if len(rows) > 1:
            parts += [f'## {title}', markdown(rows[0], rows[1:])]
    parts += ['## By sequence', markdown(*sequence_table(report.evaluations))]
    return '\n\n'.join(parts) + '\n'


def update_document(path: Path, report: Report) -> None:
    """Put the facts and the summary table between the two marks in a Markdown file.

    Raises ValueError where the marks are missing, FileNotFoundError without the file.
    """
    text = path.read_text(encoding='utf-8')
    before, start, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not start or not end:
        raise ValueError(f'{path} needs the lines {MARKS[0]} and {MARKS[1]} around the table')
    table = markdown(*summary_table(report.evaluations))
    with replacing(path) as temporary:
        facts = f'{_facts(report)} {comparability(report.evaluations)}'.strip()
        block = f'{start}\n{facts}\n\n{table}\n{end}'
        temporary.write_text(before + block + after, encoding='utf-8')


def html_report(report: Report, moments: int = 3) -> str:
    """The whole page; `moments` pairs of pictures per tracker."""
    return page.document(
        f'{report.dataset.title}: {len(report.evaluations)} trackers',
        [
            f'<h1>{page.escape(report.dataset.title)}</h1>',
            f'<p class="lead">{page.escape(headline(report.evaluations))}</p>',
            f'<p class="soft">{page.escape(_facts(report))}</p>',
            _warning(report),
            page.card(_summary(report)),
            _curves(report),
            _attributes(report),
            _sequences(report),
            _moments(report, moments),
            _published(report),
            _footer(report),
        ],
    )


def headline(evaluations: List[Evaluation]) -> str:
    """The result in a sentence or two; `evaluations` are sorted, the best first.

    Trackers that lack sequences which others have are left out.
    """
    compared = most_complete(evaluations)
    best = compared[0]
    text = f'{best.label} follows best, with an AUC of {best.summary.auc:.3f}'
    if len(compared) > 1:
        margin = best.summary.auc - compared[1].summary.auc
        text += f', {margin:.3f} ahead of {compared[1].label}'
    timed = [(each.speed.total, each) for each in compared if each.speed is not None]
    if not timed:
        return text + '.'
    speed, fastest = max(timed, key=lambda pair: pair[0])
    if len(compared) == 1:
        return f'{text}, at {speed:.0f} frames per second.'
    who = 'It is also the fastest' if fastest is best else f'{fastest.label} is the fastest'
    return f'{text}. {who}, with {speed:.0f} frames per second.'


def comparability(evaluations: List[Evaluation]) -> str:
    """A sentence about trackers whose means are over fewer sequences; empty for none."""
    complete = [each.label for each in most_complete(evaluations)]
    partial = [
        f'{each.label} ({len(each.scores)})' for each in evaluations if each.label not in complete
    ]
    if not partial:
        return ''
    most = len(most_complete(evaluations)[0].scores)
    return (
        f'Not to be compared with the others, as they lack some of the {most} sequences: '
        f'{", ".join(partial)}.'
    )


def attribute_rows(report: Report) -> list[list[str]]:
    """Header and one row per attribute with its source and the mean AUC of every tracker."""
    public = [each for each in report.dataset.sequences if each.is_public]
    rows = [['Attribute', 'Source', 'Sequences', *(each.label for each in report.evaluations)]]
    for attribute in collect_attributes(public):
        cells = [_mean_auc(each, attribute.sequences) for each in report.evaluations]
        rows.append([attribute.name, attribute.source, str(len(attribute.sequences)), *cells])
    return rows


def published_rows(report: Report) -> list[list[str]]:
    """Header and one row per published number, with ours where the tracker was run here."""
    ours = {
        str(folder.record().get('tracker', folder.label)): evaluation
        for folder, evaluation in zip(report.folders, report.evaluations, strict=True)
    }
    rows = [['Tracker', 'Measure', 'Published', 'Here', 'Source']]
    for each in published(report.dataset.name):
        found = ours.get(each.tracker)
        value = _own_value(found, each.measure) if found else None
        here = '-' if value is None else f'{value:.3f}'
        rows.append([each.tracker, _measure(each.measure), f'{each.value:.3f}', here, each.source])
    return rows


def _own_value(evaluation: Evaluation, measure: str) -> float | None:
    for scores in (evaluation.summary, evaluation.got10k):
        value = getattr(scores, measure, None)
        if value is not None:
            return float(value)
    return None


def _measure(name: str) -> str:
    titles = {key: title for title, key in MEASURES}
    return titles.get(name, name.replace('_', ' '))


def _mean_auc(evaluation: Evaluation, names: List[str]) -> str:
    found = [evaluation.scores[name].auc for name in names if name in evaluation.scores]
    return f'{sum(found) / len(found):.3f}' if found else '-'


def _facts(report: Report) -> str:
    done = {name for each in report.evaluations for name in each.scores}
    frames = sum(len(report.dataset.names[name].truth) for name in done)
    rule = _RULES[report.convention.rule]
    if report.convention.truncate:
        rule += ' Boxes are cut to integers.'
    passes = max(len(each.runs) for each in report.evaluations)
    how = 'one pass' if passes == 1 else f'up to {passes} passes (mean ± standard deviation)'
    return f'{len(done)} sequences, {frames} frames, {how}. {rule}'


def _warning(report: Report) -> str:
    text = comparability(report.evaluations)
    return f'<p class="warning">{page.escape(text)}</p>' if text else ''


def _nothing_to_score(dataset: Dataset) -> str:
    if any(each.is_public for each in dataset.sequences):
        return f'no results on these sequences of {dataset.title}: run a tracker first'
    return f'nothing to score on {dataset.title}: its annotation is not public; use pack'


def _summary(report: Report) -> str:
    header, rows = summary_table(report.evaluations)
    compared = [each in most_complete(report.evaluations) for each in report.evaluations]
    last = len(header) - 2
    shown = []
    for index, row in enumerate(rows):
        cells = [page.dot(plots.color(index), row[0])]
        for column, cell in enumerate(row[1:last], start=1):
            value = _number(cell)
            among = [
                _number(each[column]) for each, may in zip(rows, compared, strict=True) if may
            ]
            best = compared[index] and value == max(among) > 0 and len(among) > 1
            cells.append(page.shaded(value, page.escape(cell), best=best))
        shown.append([*cells, *map(page.escape, row[last:])])
    return page.table(list(map(page.escape, header)), shown)


def _number(text: str) -> float:
    """The first number of a cell, 0 for none."""
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return 0.0


def _curves(report: Report) -> str:
    points = [
        (each.label, each.speed.total if each.speed else None, each.summary.auc)
        for each in report.evaluations
    ]
    drawn = [*plots.curve_plots(report.evaluations), plots.speed_plot(points)]
    note = (
        'Share of frames above an overlap, and below a centre error; sequences weigh equally. '
        'Numbers: AUC, precision at 20 px, normalised precision at 0.20.'
    )
    return page.section('Curves', note, page.grid(drawn))


def _attributes(report: Report) -> str:
    rows = attribute_rows(report)
    if len(rows) == 1:
        return ''
    computed = {row[0] for row in rows if row[1] == 'computed'}
    note = '; '.join(
        f'<b>{page.escape(name)}</b>: {text}'
        for name, text in DEFINITIONS.items()
        if name in computed
    )
    published = (
        'Published ones are those of the data set. ' if len(rows) > len(computed) + 1 else ''
    )
    note = f'AUC. {published}{f"Computed from the boxes: {note}." if note else ""}'
    return page.section('By attribute', note, page.card(_heat(report, rows)))


def _sequences(report: Report) -> str:
    header = ['Sequence', 'Overlap over time', *_names(report)]
    names = sorted({name for each in report.evaluations for name in each.scores})
    rows = []
    for name in names:
        found = [(i, e.scores[name]) for i, e in enumerate(report.evaluations) if name in e.scores]
        line = plots.sparkline([(index, score.overlaps) for index, score in found])
        best = max(score.auc for _, score in found)
        by_index = dict(found)
        cells = [
            _score(by_index[i].auc, best if len(found) > 1 else None) if i in by_index else '-'
            for i in range(len(report.evaluations))
        ]
        rows.append([page.escape(name), line, *cells])
    note = 'AUC. The lines go from no overlap below to full overlap above; gaps: target absent.'
    return page.section('By sequence', note, page.card(page.table(header, rows)))


def _names(report: Report) -> list[str]:
    """Headings with the colours of the trackers."""
    return [page.dot(plots.color(i), each.label) for i, each in enumerate(report.evaluations)]


def _score(value: float, best: float | None) -> str:
    return page.shaded(value, f'{value:.3f}', best=value == best)


def _heat(report: Report, rows: list[list[str]]) -> str:
    """A table whose last columns are the trackers, with a shade."""
    first = len(rows[0]) - len(report.evaluations)
    compared = [each in most_complete(report.evaluations) for each in report.evaluations]
    shown = []
    for row in rows[1:]:
        values = [_number(cell) if cell != '-' else None for cell in row[first:]]
        among = [v for v, may in zip(values, compared, strict=True) if may and v is not None]
        best = max(among) if len(among) > 1 else None
        scores = [
            '-' if value is None else _score(value, best if may else None)
            for value, may in zip(values, compared, strict=True)
        ]
        shown.append([page.escape(cell) for cell in row[:first]] + scores)
    return page.table([*map(page.escape, rows[0][:first]), *_names(report)], shown)


def _moments(report: Report, count: int) -> str:
    figures = []
    for index, (evaluation, folder) in enumerate(
        zip(report.evaluations, report.folders, strict=True)
    ):
        worst = worst_moments(list(evaluation.scores.values()), count)
        for each in draw_moments(report.dataset, folder, worst, plots.rgb(index)):
            figures.append(_figure(evaluation, each, plots.color(index)))
    if not figures:
        return ''
    note = (
        f'The longest stretches with an overlap below {LOST_OVERLAP}: the frame before, and one '
        'shortly after the loss. White is the truth, the colour is the tracker.'
    )
    return page.section('Worst moments', note, page.grid(figures))


def _figure(evaluation: Evaluation, picture: Picture, color: str) -> str:
    moment = picture.moment
    overlaps = evaluation.scores[moment.sequence].overlaps
    caption = (
        f'{page.dot(color, evaluation.label)} loses <b>{page.escape(moment.sequence)}</b> for '
        f'{moment.length} of {len(overlaps)} frames. Overlap {overlaps[moment.before]:.2f}, then '
        f'{overlaps[moment.shown]:.2f}'
    )
    name = f'{evaluation.label} on {moment.sequence}'
    shown = (moment.before, moment.shown)
    before, after = (f'{name}, frame {index + 1}' for index in shown)
    return page.pair(picture.before, picture.after, caption, (before, after))


def _published(report: Report) -> str:
    rows = published_rows(report)
    if len(rows) == 1:
        return ''
    note = 'Published values come from full training; those here from the weights that were run.'
    cells = [[page.escape(cell) for cell in row] for row in rows[1:]]
    return page.section(
        'Published numbers', note, page.card(page.table(list(map(page.escape, rows[0])), cells))
    )


def _footer(report: Report) -> str:
    runs = []
    for folder in report.folders:
        record = folder.record()
        if record:
            files = record.get('weights', {})
            weights = ', '.join(f'{name} ({digest})' for name, digest in files.items())
            made = '; later '.join(map(_made, (record, *record.get(LATER, []))))
            parts = [record.get('device', '?'), made, *([weights] if weights else [])]
            runs.append(f'{folder.label}: {", ".join(parts)}')
    lines = '<br>'.join(page.escape(run) for run in runs)
    today = datetime.date.today().isoformat()
    return f'<footer>{lines}<br>Speed is the tracker alone. Page made {today}.</footer>'


def _made(run: Mapping[str, Any]) -> str:
    version, threads, date = (run.get(key, '?') for key in ('version', 'threads', 'date'))
    return f'{threads} thread(s), version {version}, {date}'
