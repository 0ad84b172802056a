import pytest

from tracker_core.atomic import replacing


def test_appears_at_the_end_only(tmp_path):
    target = tmp_path / 'folder' / 'file.txt'
    with replacing(target) as temporary:
        temporary.write_text('new')
        assert not target.exists()
        assert temporary.suffix == '.txt'
    assert target.read_text() == 'new'
    assert list(target.parent.iterdir()) == [target]


def test_an_exception_keeps_the_old_file_and_leaves_nothing(tmp_path):
    target = tmp_path / 'file.txt'
    target.write_text('old')
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert target.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [target]
