"""Running: resumable, the same with any number of workers, one failure at a time."""

from pathlib import Path

import numpy as np
import pytest

from tracker_core import video
from tracker_core.benchmark.evaluation import evaluate, evaluate_vot
from tracker_core.benchmark.frame_supply import KeptFrames
from tracker_core.benchmark.readers import open_dataset
from tracker_core.benchmark.results import ResultFolder
from tracker_core.benchmark.runner import Job, RunOptions, execute, images_ahead, run
from tracker_core.benchmark.trackers import TrackerSpec
from tracker_core.video import read_image

KCF = TrackerSpec('kcf', 'kcf')
SIAMFC = TrackerSpec('siamfc', 'siamfc', weights='random', device='cpu')
QUIET = RunOptions(quiet=True)

pytestmark = pytest.mark.usefixtures('kcf')


def contents(results: Path) -> dict[str, bytes]:
    """Box files by name."""
    found = (path for path in results.rglob('*.txt') if not path.name.endswith('_time.txt'))
    return {str(path.relative_to(results)): path.read_bytes() for path in found}


def test_results_are_the_same_with_any_number_of_workers(folders, tmp_path: Path):
    dataset = open_dataset('folders', folders('a', 'b', count=3))
    for workers in (1, 2):
        options = RunOptions(workers=workers, quiet=True)
        assert run(dataset, [KCF, SIAMFC], tmp_path / str(workers), options) == {}
    one, two = (contents(tmp_path / name) for name in ('1', '2'))
    assert one == two
    assert len(one) == 2 * 2


def test_a_run_goes_on_where_it_stopped(folders, tmp_path: Path):
    dataset = open_dataset('folders', folders('a', 'b'))
    assert run(dataset, [KCF], tmp_path / 'r', QUIET) == {}
    folder = ResultFolder.of(tmp_path / 'r', dataset, 'kcf')
    folder.boxes_path('b').unlink()
    folder.boxes_path('a').write_text('untouched\n')
    assert run(dataset, [KCF], tmp_path / 'r', QUIET) == {}
    assert folder.has('b')
    assert folder.boxes_path('a').read_text() == 'untouched\n'
    record = (folder.path / 'run.json').read_bytes()
    assert run(dataset, [KCF], tmp_path / 'r', RunOptions(threads=2, quiet=True)) == {}
    assert (folder.path / 'run.json').read_bytes() == record, 'nothing was left to run'


def test_a_sequence_that_fails_is_reported_and_the_rest_goes_on(folders, tmp_path: Path):
    root = folders('a', 'bad', 'c')
    (root / 'bad' / '0003.png').write_bytes(b'this is no image')
    dataset = open_dataset('folders', root)
    failures = run(dataset, [KCF], tmp_path / 'r', QUIET)
    assert list(failures) == ['kcf on bad']
    assert '0003.png' in failures['kcf on bad']
    folder = ResultFolder.of(tmp_path / 'r', dataset, 'kcf')
    assert folder.has('a') and folder.has('c') and not folder.has('bad')
    log = folder.path / 'failed' / 'bad.log'
    assert 'Traceback' in log.read_text()
    evaluation = evaluate(dataset, folder)
    assert evaluation.missing == ('bad',)
    (root / 'bad' / '0003.png').write_bytes((root / 'a' / '0003.png').read_bytes())
    assert run(dataset, [KCF], tmp_path / 'r', QUIET) == {}
    assert not log.exists()


def test_a_tracker_that_cannot_be_built_stops_before_anything_runs(folders, tmp_path: Path):
    dataset = open_dataset('folders', folders('a'))
    with pytest.raises(ValueError, match='unknown tracker'):
        run(dataset, [TrackerSpec('nothing', 'nothing')], tmp_path / 'r', QUIET)
    assert not (tmp_path / 'r').exists()


def test_scores_and_repetitions_of_a_followed_square(folders, tmp_path: Path):
    dataset = open_dataset('folders', folders('a', 'b'))
    assert run(dataset, [KCF], tmp_path / 'r', RunOptions(repeat=15, quiet=True)) == {}
    folder = ResultFolder.of(tmp_path / 'r', dataset, 'kcf')
    evaluation = evaluate(dataset, folder)
    assert evaluation.summary.precision20 == 1
    assert evaluation.summary.op50 > 0.9
    assert len(evaluation.runs) == 3, 'three equal repetitions are enough'
    assert evaluation.spread('auc') == pytest.approx(0, abs=1e-12)  # rounding of np.std
    seconds = folder.seconds('a')
    assert len(seconds) == 8 and (seconds > 0).all()
    assert evaluation.speed is not None
    assert evaluation.speed.initialization > 0


def test_vot_protocol_from_end_to_end(tiny, tmp_path: Path):
    (tmp_path / 'vot').mkdir()
    (tmp_path / 'vot' / 'list.txt').write_text('x\ny\n')
    for name in ('x', 'y'):
        tiny.write_images(tmp_path / 'vot' / name, range(1, 16), '{:08d}.jpg')
        tiny.write_rows(tmp_path / 'vot' / name / 'groundtruth.txt', tiny.truth(15))
    truth = tiny.truth(15)
    truth[8:, :2] = [60, 2]
    tiny.write_rows(tmp_path / 'vot' / 'y' / 'groundtruth.txt', truth)
    dataset = open_dataset('vot2018', tmp_path / 'vot')
    assert run(dataset, [KCF], tmp_path / 'r', QUIET) == {}
    evaluation = evaluate_vot(dataset, ResultFolder.of(tmp_path / 'r', dataset, 'kcf'))
    assert evaluation.score.failure_counts['x'] == 0
    assert evaluation.score.failure_counts['y'] >= 1, 'its truth jumps away from the square'
    assert evaluation.score.robustness == pytest.approx(100 * evaluation.score.failures / 30)
    assert evaluation.score.accuracies['x'] > 0.6


def test_only_first_boxes_are_needed_to_run(tiny, tmp_path: Path):
    """TrackingNet's test part: run, but nothing to score."""
    tiny.write_images(tmp_path / 'TEST' / 'frames' / 'v', range(5), '{}.jpg')
    tiny.write_rows(tmp_path / 'TEST' / 'anno' / 'v.txt', tiny.truth(1))
    dataset = open_dataset('trackingnet', tmp_path)
    assert run(dataset, [KCF], tmp_path / 'r', QUIET) == {}
    folder = ResultFolder.of(tmp_path / 'r', dataset, 'kcf')
    boxes = folder.boxes('v')
    assert boxes.shape == (5, 4)
    np.testing.assert_array_equal(boxes[0], tiny.truth(1)[0])
    assert evaluate(dataset, folder).scores == {}


def test_the_end_of_a_run_says_where_the_time_went(folders, tmp_path: Path, capsys):
    dataset = open_dataset('folders', folders('a', count=3))
    assert run(dataset, [KCF], tmp_path / 'r', RunOptions()) == {}
    printed = capsys.readouterr().err
    assert '| kcf' in printed and ' s in 1 process(es)' in printed
    assert run(dataset, [KCF], tmp_path / 'r', RunOptions()) == {}
    assert '| kcf' not in capsys.readouterr().err, 'nothing was left to run'


def test_the_bar_ends_full_although_repetitions_and_frames_were_left_out(
    folders, tmp_path: Path, capsys
):
    root = folders('a', 'bad')
    (root / 'bad' / '0003.png').write_bytes(b'this is no image')
    dataset = open_dataset('folders', root)
    assert run(dataset, [KCF], tmp_path / 'r', RunOptions(repeat=9)) != {}
    printed = capsys.readouterr().err.replace('\r', '\n').splitlines()
    bars = [line for line in printed if 'frame' in line and '%|' in line]
    assert bars[-1].startswith('100%') and ' 24/24 ' in bars[-1], '3 repetitions of 8 frames'


def test_kept_images_change_no_result(folders, tmp_path: Path):
    dataset = open_dataset('folders', folders('a', 'b', count=12))
    specs = [KCF, TrackerSpec('kcf', 'again')]
    for keep in (0, 64):
        options = RunOptions(repeat=2, kept_megabytes=keep, quiet=True)
        assert run(dataset, specs, tmp_path / str(keep), options) == {}
    assert contents(tmp_path / '0') == contents(tmp_path / '64')
    assert len(contents(tmp_path / '0')) == 2 * 2 * 2


def test_several_trackers_and_repetitions_read_a_sequence_once(
    folders, tmp_path: Path, monkeypatch
):
    dataset = open_dataset('folders', folders('a', count=6))
    read = []
    monkeypatch.setattr(video, 'read_image', lambda path: read.append(path) or read_image(path))
    kept = KeptFrames(1 << 20)
    for label in ('one', 'two'):
        folder = ResultFolder.of(tmp_path / 'r', dataset, label)
        job = Job(TrackerSpec('kcf', label), dataset.sequences[0], folder, (1, 2), 0)
        spent = execute(job, lambda _: None, kept)
        assert spent.cpu.tracker > 0 and spent.cpu.images > 0
        assert spent.cpu.rest > 0 and spent.clock.total >= spent.clock.tracker
        assert folder.repetitions('a') == 2
    assert len(read) == 6


@pytest.mark.parametrize('wrong', [{'workers': 0}, {'threads': 0}, {'repeat': -1}])
def test_impossible_options_are_errors(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f'{name} must be at least 1'):
        RunOptions(**wrong)


def test_images_are_read_ahead_only_where_a_core_is_left(monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda _: range(4))
    assert images_ahead(RunOptions(workers=3)) > 0
    assert images_ahead(RunOptions(workers=4)) == 0
    assert images_ahead(RunOptions(workers=2, threads=2)) == 0


def test_random_numbers_depend_on_sequence_and_repetition_alone(folders, tmp_path: Path):
    """As they would otherwise on the number of workers, which decides what runs after what."""
    dataset = open_dataset('folders', folders('a', 'b', count=3))
    small = {'image_size': 144, 'rotations': (), 'first_iterations': 2, 'not_found': -1e9}
    spec = TrackerSpec('dimp18', 'dimp18', weights='random', device='cpu', settings=small)
    orders = {'forwards': [0, 1], 'backwards': [1, 0]}
    for name, order in orders.items():
        folder = ResultFolder.of(tmp_path / name, dataset, 'dimp18')
        for index in order:
            execute(Job(spec, dataset.sequences[index], folder, (1, 2), 0), lambda _: None)
    forwards, backwards = (contents(tmp_path / name) for name in orders)
    assert forwards == backwards and len(forwards) == 4
    first, second = (forwards[f'sequences/dimp18/{part}a.txt'] for part in ('', 'repeat_002/'))
    assert first != second, 'repetitions draw other numbers'
