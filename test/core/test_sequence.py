import cv2
import numpy as np
import pytest

from tracker_core import Box
from tracker_core.sequence import open_sequence, read_boxes, write_boxes


def test_separators_and_nan(tmp_path):
    path = tmp_path / 'boxes.txt'
    path.write_text('1,2,3,4\n5\t6\t7\t8\n9 10 11 12.5\nnan,nan,nan,nan\n\n')
    boxes = read_boxes(path)
    np.testing.assert_array_equal(boxes[:3], [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12.5]])
    assert np.isnan(boxes[3]).all()


@pytest.mark.parametrize('line', ['1,2,3', '1,2,3,4,5', '1,2,x,4'])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / 'boxes.txt'
    path.write_text(f'1,2,3,4\n{line}\n')
    with pytest.raises(ValueError, match=r'boxes.txt:2: expected left,top,width,height'):
        read_boxes(path)


def test_a_blank_line_would_shift_the_boxes(tmp_path):
    (tmp_path / 'boxes.txt').write_text('1,2,3,4\n\n5,6,7,8\n')
    with pytest.raises(ValueError, match=r'boxes.txt:2 is blank'):
        read_boxes(tmp_path / 'boxes.txt')


def test_a_byte_order_mark_is_no_number(tmp_path):
    (tmp_path / 'boxes.txt').write_text('1,2,3,4\n', encoding='utf-8-sig')
    np.testing.assert_array_equal(read_boxes(tmp_path / 'boxes.txt'), [[1, 2, 3, 4]])
    (tmp_path / 'boxes.txt').write_bytes(b'\xff\xfe1\x00')
    with pytest.raises(ValueError, match=r'boxes.txt is not a text file'):
        read_boxes(tmp_path / 'boxes.txt')


def test_rows_without_area_are_frames_without_the_target(tmp_path):
    (tmp_path / 'groundtruth.txt').write_text('5,6,2,3\n0,0,0,0\n5,6,-2,3\n')
    cv2.imwrite(str(tmp_path / '1.png'), np.zeros((8, 9, 3), np.uint8))
    boxes = open_sequence(tmp_path).boxes
    np.testing.assert_array_equal(boxes, [[5, 6, 2, 3], [np.nan] * 4, [np.nan] * 4])


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / 'boxes.txt').write_text('\n')
    with pytest.raises(ValueError, match='holds no boxes'):
        read_boxes(tmp_path / 'boxes.txt')


def test_round_trip(tmp_path):
    boxes = np.array([[1.25, 2, 3, 4], [np.nan] * 4])
    write_boxes(tmp_path / 'sub' / 'boxes.txt', boxes)
    np.testing.assert_array_equal(read_boxes(tmp_path / 'sub' / 'boxes.txt'), boxes)


@pytest.mark.parametrize(('name', 'left'), [('groundtruth.txt', 5), ('groundtruth_rect.txt', 4)])
def test_otb_annotations_are_one_based(tmp_path, name, left):
    (tmp_path / 'img').mkdir()
    cv2.imwrite(str(tmp_path / 'img' / '0001.png'), np.zeros((8, 9, 3), np.uint8))
    (tmp_path / name).write_text('5,6,2,3\n')
    sequence = open_sequence(tmp_path)
    assert sequence.first_box == Box(left, left + 1, 2, 3)
    assert sequence.frames.count == 1


def test_missing_annotation(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'holds no groundtruth.txt'):
        open_sequence(tmp_path)
