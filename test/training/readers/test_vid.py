"""ImageNet VID on a tiny recording with two targets."""

from pathlib import Path

from training.readers.target import Findings

INSTANCE = """<object><trackid>{track}</trackid><bndbox><xmax>{right}</xmax><xmin>{left}</xmin>
<ymax>75</ymax><ymin>45</ymin></bndbox><occluded>{occluded}</occluded></object>"""


def write_vid(root: Path, write_frames, count: int = 4) -> Path:
    inner = 'VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000'
    write_frames(root / 'Data' / inner, '%06d.JPEG', count)
    folder = root / 'Annotations' / inner
    folder.mkdir(parents=True)
    for frame in range(count):
        instances = [
            INSTANCE.format(
                track=track,
                left=30 + 3 * frame + track,
                right=70 + 3 * frame,
                occluded=int(frame == 1),
            )
            for track in ((0, 1) if frame < 3 else (1,))
        ]
        (folder / f'{frame:06d}.xml').write_text(
            '<annotation><size><width>160</width><height>120</height></size>'
            f'{"".join(instances)}</annotation>'
        )
    return folder


def test_tracks_become_targets(tmp_path: Path, write_frames, find):
    write_vid(tmp_path, write_frames)
    first, second = find('vid', tmp_path)
    assert (first.name, first.scene) == (
        'ILSVRC2015_train_00000000/0', 'ILSVRC2015_train_00000000',
    )  # fmt: skip
    assert first.frames.tolist() == [0, 1, 2]
    assert second.frames.tolist() == [0, 1, 2, 3]
    assert second.boxes_ltwh[2].tolist() == [37, 45, 39, 30]
    assert second.size == (160, 120)
    assert second.path(3).name == '000003.JPEG'
    clear, _ = find('vid', tmp_path, visibility='clear')
    assert clear.frames.tolist() == [0, 2]
    assert find('vid', tmp_path, without={'ILSVRC2015_train_00000000'}) == []


def test_damaged_and_missing_files_are_named(tmp_path: Path, write_frames, find):
    folder = write_vid(tmp_path, write_frames)
    (folder / '000002.xml').write_text('<annotation><object>')
    images = tmp_path / 'Data' / folder.relative_to(tmp_path / 'Annotations')
    (images / '000000.JPEG').unlink()
    findings = Findings()
    targets = find('vid', tmp_path, findings)
    assert [target.frames.tolist() for target in targets] == [[1], [1, 3]]
    assert findings.problems[0].endswith('000000.JPEG is missing')
    assert findings.problems[1].endswith('000002.xml is no annotation of ImageNet VID')
    assert find('vid', tmp_path / 'nowhere', findings) == []
    (tmp_path / 'empty' / 'Annotations' / 'VID' / 'train').mkdir(parents=True)
    assert find('vid', tmp_path / 'empty', findings) == []
    assert findings.problems[-1].endswith('train holds no .xml files')
