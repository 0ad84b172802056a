"""The command line from a run to a report."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tracker_core.benchmark.__main__ import main
from tracker_core.benchmark.published import published
from tracker_core.benchmark.readers import dataset_names


class Page(HTMLParser):
    """Checks that tags are balanced and that nothing is loaded from elsewhere."""

    void = frozenset({'meta', 'img', 'br', 'path', 'use'})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.count: dict[str, int] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attributes:
            if name in ('src', 'href', 'xlink:href'):
                assert value.startswith(('data:', '#')), value
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def arguments(folders, tmp_path: Path) -> list[str]:
    root = folders('a', 'b & <c>')
    return ['--root', str(root), '--results', str(tmp_path / 'r')]


@pytest.mark.usefixtures('kcf')
def test_run_report_compare_and_pack(arguments, tmp_path: Path, capsys):
    assert main(['run', *arguments, '--trackers', 'kcf,mil']) == 0
    assert main(['run', *arguments, '--trackers', 'kcf', '--label', 'strict',
                 '--set', 'detect_thresh=9e-1']) == 0  # fmt: skip
    capsys.readouterr()
    assert main(['report', *arguments]) == 0
    printed = capsys.readouterr().out
    assert '| Tracker' in printed and '| strict' in printed
    output = tmp_path / 'r' / 'sequences'
    markdown = (output / 'report.md').read_text()
    assert '## By sequence' in markdown and 'b & <c>' in markdown
    page = Page((output / 'report.html').read_text())
    assert page.open == []
    assert page.count['svg'] == 4 + 2, 'four plots and an overlap line per sequence'
    assert 'b & <c>' in page.words, 'names are escaped'
    document = tmp_path / 'README.md'
    document.write_text('# Title\n<!-- benchmark: start -->\nold\n<!-- benchmark: end -->\nend\n')
    for _ in range(2):
        assert main(['report', *arguments, '--update', str(document), '--trackers', 'kcf']) == 0
    text = document.read_text()
    assert text.startswith('# Title\n') and text.endswith('-->\nend\n') and 'old' not in text
    assert text.count('| kcf') == 1 and '2 sequences, 16 frames' in text
    document.write_text('# no marks')
    assert main(['report', *arguments, '--update', str(document)]) == 2
    assert main(['compare', 'kcf', 'mil', *arguments]) == 0
    assert 'auc: mil is ' in capsys.readouterr().out
    assert main(['pack', *arguments, '--trackers', 'kcf']) == 0
    assert (output / 'kcf.zip').is_file()


@pytest.mark.usefixtures('kcf')
def test_a_failed_sequence_shows_in_the_exit_code(folders, tmp_path: Path, capsys):
    root = folders('a', 'bad')
    (root / 'bad' / '0004.png').write_bytes(b'no image')
    arguments = ['--root', str(root), '--results', str(tmp_path / 'r')]
    assert main(['run', *arguments, '--trackers', 'kcf']) == 1
    assert 'failed: kcf on bad' in capsys.readouterr().err
    assert main(['report', *arguments]) == 0
    assert '1 of 2' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['run'], 'give the folder of the data set'),
        (['run', '--root', '/nowhere'], 'no folder /nowhere'),
        (['run', '--root', '.', '--dataset', 'otb'], 'valid: folders'),
        (['run', '--root', 'ROOT', '--trackers', 'ecO'], "unknown tracker 'ecO'; valid: siamfc"),
        (['run', '--root', 'ROOT', '--trackers', 'kcf', '--set', 'x'], 'KEY=VALUE'),
        (['run', '--root', 'ROOT', '--trackers', 'kcf', '--set', 'x=['], "'[' is no valid YAML"),
        (['run', '--root', 'ROOT', '--trackers', 'kcf,mil', '--label', 'x'], 'a single tracker'),
        (['run', '--root', 'ROOT', '--trackers', 'kcf', '--label', '../x'], 'no name of a folder'),
        (['run', '--root', 'ROOT', '--trackers', 'kcf', '--label', '..'], 'no name of a folder'),
        (['run', '--root', 'ROOT', '--sequences', 'z'], 'has no sequence z; it has: a'),
        (['report', '--root', 'ROOT'], 'holds results of: nothing'),
        (['compare', 'a', 'b', '--root', 'ROOT'], 'holds results of: nothing'),
        (['run', '--root', 'ROOT', '--trackers', 'kcf', '--workers', '0'], 'workers must be at'),
        (['speed', '--frames', '2'], '--frames must be at least 10'),
        (['speed', '--trackers', 'siamfc', '--device', 'tpu'], "unknown device 'tpu'; valid"),
    ],
)
def test_mistakes_end_with_a_sentence(
    folders, tmp_path: Path, monkeypatch, capsys, words, message
):
    monkeypatch.delenv('DATASET_ROOT', raising=False)
    monkeypatch.chdir(tmp_path)
    root = folders('a')
    assert main([str(root) if word == 'ROOT' else word for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert message in error
    assert 'Traceback' not in error


@pytest.mark.usefixtures('kcf')
def test_root_from_the_environment(folders, tmp_path: Path, monkeypatch):
    monkeypatch.setenv('DATASET_ROOT', str(folders('a')))
    assert main(['run', '--trackers', 'kcf', '--results', str(tmp_path / 'r')]) == 0


def test_without_names_all_trackers_with_weights_run(folders, tmp_path: Path, capsys):
    arguments = ['--root', str(folders('a', count=3)), '--results', str(tmp_path / 'r')]
    assert main(['run', *arguments]) == 0
    folders_of_results = {path.name for path in (tmp_path / 'r' / 'sequences').iterdir()}
    assert folders_of_results >= {'siamfc', 'dimp18'}
    assert 'dimp50' not in folders_of_results
    capsys.readouterr()
    assert main(['run', *arguments, '--trackers', 'dimp50']) == 2
    assert 'no weights are shipped for dimp50' in capsys.readouterr().err


def test_speed_is_of_one_tracker_per_network_with_weights(monkeypatch):
    asked = []
    monkeypatch.setattr(
        'tracker_core.benchmark.__main__._speed', lambda words: asked.append(words)
    )
    main(['speed'])
    names = asked[0].trackers.split(',')
    assert {'siamfc', 'dimp18', 'dcfst18', 'fcot18', 'csrt', 'kcf'} <= set(names)
    assert not {'dimp18_vot18', 'fcot_otb', 'siamfc5', 'dimp50', 'mil'} & set(names)


def test_speed_prints_a_table(capsys):
    assert main(['speed', '--trackers', 'mil', '--frames', '10', '--threads', '1']) == 0
    assert '| mil' in capsys.readouterr().out


def test_speed_on_a_chosen_device(capsys):
    words = ['--trackers', 'siamfc', '--weights', 'random', '--frames', '10', '--threads', '1']
    assert main(['speed', *words, '--device', 'cpu']) == 0
    assert 'medians, CPU, 1 threads' in capsys.readouterr().out


@pytest.mark.usefixtures('kcf')
def test_vot_report(tiny, tmp_path: Path, capsys):
    (tmp_path / 'vot').mkdir()
    (tmp_path / 'vot' / 'list.txt').write_text('x\ny\n')
    for name in ('x', 'y'):
        tiny.write_images(tmp_path / 'vot' / name, range(1, 13), '{:08d}.jpg')
        tiny.write_rows(tmp_path / 'vot' / name / 'groundtruth.txt', tiny.truth(12))
    arguments = ['--dataset', 'vot2018', '--root', str(tmp_path / 'vot')]
    arguments += ['--results', str(tmp_path / 'r')]
    assert main(['run', *arguments, '--trackers', 'kcf']) == 0
    assert main(['report', *arguments]) == 0
    assert '| kcf' in capsys.readouterr().out
    page = Page((tmp_path / 'r' / 'vot2018' / 'report.html').read_text())
    assert page.open == []
    assert '0.440' in page.words, 'the published EAO of DiMP-50'


def test_published_numbers_are_known_measures_of_known_data_sets():
    measures = {
        'auc', 'precision20', 'normalized_area', 'average_overlap', 'success50', 'success75',
        'eao', 'accuracy', 'robustness',
    }  # fmt: skip
    rows = [row for name in dataset_names() for row in published(name)]
    assert len(rows) == 96
    assert {row.measure for row in rows} <= measures
    assert all(0 < row.value < 1 and row.source for row in rows)
