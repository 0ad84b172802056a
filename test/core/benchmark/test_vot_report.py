"""The page of the supervised protocol."""

import re

import numpy as np

from tracker_core.benchmark.dataset import Dataset
from tracker_core.benchmark.evaluation import VotEvaluation
from tracker_core.benchmark.vot_report import vot_html, vot_markdown
from tracker_core.benchmark.vot_supervised import VotScore


def evaluation(label: str, eao: float, accuracy: float, failures: float) -> VotEvaluation:
    curve = np.linspace(1, 0, 200)
    per_sequence = {'a': accuracy}, {'a': failures}
    score = VotScore(accuracy, failures / 10, failures, eao, curve, *per_sequence)
    return VotEvaluation(label, score, None, ())


DATASET = Dataset('vot2018', 'VOT2018', (), protocol='vot', eao_interval=(100, 160))
EVALUATIONS = [
    evaluation('steady', 0.35, 0.5, 3),
    evaluation('close', 0.25, 0.6, 12),
    evaluation('short', float('nan'), 0.2, 20),
]


def test_the_best_of_each_column_is_bold():
    """High accuracy is good, many failures (3 against 12, as numbers) are not."""
    page = vot_html(DATASET, EVALUATIONS)
    best = re.findall('<span class="best">([^<]*)</span>', page)
    assert best == ['0.350', '0.300', '3', '0.600']
    assert 'class="best"' not in vot_html(DATASET, EVALUATIONS[:1])


def test_the_plots_name_the_trackers_with_their_eao():
    page = vot_html(DATASET, EVALUATIONS)
    assert '>0.350 steady</text>' in page and '>short</text>' in page
    assert page.count('<svg') == 2


def test_trackers_without_eao_come_last():
    rows = vot_markdown(DATASET, EVALUATIONS[::-1]).splitlines()
    names = [row.split()[1] for row in rows if row.startswith('| ')]
    order = [name for name in names if name in ('steady', 'close', 'short')]
    assert order[:3] == ['steady', 'close', 'short']
