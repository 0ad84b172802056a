"""The report: what it says about trackers that cannot be compared, and on GOT-10k."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker_core.benchmark import one_pass
from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset, ImageList
from tracker_core.benchmark.evaluation import Evaluation, Speed
from tracker_core.benchmark.got10k import Got10kScore
from tracker_core.benchmark.one_pass import Convention
from tracker_core.benchmark.report import (
    Report,
    comparability,
    headline,
    html_report,
    markdown_report,
)
from tracker_core.benchmark.results import ResultFolder
from tracker_core.benchmark.tables import most_complete, summary_table

TRUTH = np.tile([50.0, 50, 20, 20], (8, 1))


def evaluation(label: str, shift: float, names: str = 'ab', fps: float = 25.0) -> Evaluation:
    boxes = TRUTH + np.array([shift, 0, 0, 0])
    scores = {name: one_pass.score(name, boxes, TRUTH) for name in names}
    runs = (one_pass.summarize(list(scores.values())),) if scores else ()
    missing = tuple(name for name in 'ab' if name not in names)
    return Evaluation(label, scores, runs, Speed(fps, fps, 0.1), missing)


def report_of(*evaluations: Evaluation) -> Report:
    frames = ImageList('x', [Path(f'{index}.png') for index in range(8)])
    sequences = tuple(BenchmarkSequence(name, frames, TRUTH) for name in 'ab')
    pairs = [(each, ResultFolder(Path(each.label))) for each in evaluations]
    return Report.of(Dataset('tiny', 'Tiny', sequences), pairs, Convention())


def test_the_headline_compares_trackers_on_the_same_sequences():
    good, fair = evaluation('good', 1, fps=5), evaluation('fair', 5, fps=50)
    assert headline([good, fair]).startswith('good follows best')
    assert 'fair is the fastest, with 50 frames' in headline([good, fair])
    assert headline([good]).endswith(f'{good.summary.auc:.3f}, at 5 frames per second.')
    partial = evaluation('partial', 0, 'a')
    assert headline([partial, good, fair]) == headline([good, fair])
    assert most_complete([partial, good]) == [good]


def test_trackers_that_lack_sequences_are_named():
    complete, partial = evaluation('complete', 1), evaluation('partial', 0, 'a')
    assert comparability([complete, evaluation('other', 2)]) == ''
    sentence = comparability([partial, complete])
    assert 'some of the 2 sequences: partial (1)' in sentence
    report = report_of(partial, complete, evaluation('other', 90))
    assert sentence in markdown_report(report)
    page = html_report(report, moments=0)
    assert f'<p class="warning">{sentence}</p>' in page
    summary = page[page.index('<table>') : page.index('</table>')]
    rows = [row for row in summary.split('<tr>') if 'class="dot"' in row]
    assert ['best' in row for row in rows] == [False, True, False]


def test_trackers_without_results_on_these_sequences_are_left_out():
    report = report_of(evaluation('empty', 0, ''), evaluation('full', 1))
    assert [each.label for each in report.evaluations] == ['full']
    with pytest.raises(ValueError, match='no results on these sequences of Tiny'):
        report_of(evaluation('empty', 0, ''))


def test_got10k_begins_with_its_official_measures():
    score = Got10kScore(0.6114, 0.7, 0.49, np.zeros(101))
    header, rows = summary_table([replace(evaluation('one', 1), got10k=score)])
    assert header[:5] == ['Tracker', 'AO', 'SR 0.50', 'SR 0.75', 'AUC']
    assert rows[0][:4] == ['one', '0.611', '0.700', '0.490']
    assert summary_table([evaluation('one', 1)])[0][1] == 'AUC'


def test_pages_have_colours_for_the_dark():
    page = html_report(report_of(evaluation('one', 1)))
    assert 'prefers-color-scheme: dark' in page


def test_the_footer_says_what_made_the_results(tmp_path: Path):
    made = evaluation('made', 1)
    record = tmp_path / 'run.json'
    folder = ResultFolder(tmp_path)
    report = replace(report_of(made), folders=(folder,))
    record.write_text('{"tracker": "x"}')
    assert f'{tmp_path.name}: ?, ? thread(s), version ?, ?<br>' in html_report(report, 0)
    later = '[{"version": "2", "threads": 4, "date": "friday"}]'
    record.write_text(f'{{"device": "cpu", "version": "1", "weights": {{}}, "later": {later}}}')
    expected = ': cpu, ? thread(s), version 1, ?; later 4 thread(s), version 2, friday<br>'
    assert expected in html_report(report, 0)
