"""Many pictures decoded together are what each is alone."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from components.errors import BadPicture
from components.images import to_square
from components.photos import num_cores, squares
from tests.picture_files import CONVERTED, encoded, scene

FILES = [encoded(scene(200 + 7 * n, 150, n)) for n in range(24)]


class Counted(Sequence):
    """Pictures that know how many of them are asked for at a time, and by how many threads."""

    def __init__(self, files):
        self.files, self.asked, self.threads = files, [], set()

    def __len__(self):
        return len(self.files)

    def __getitem__(self, row):
        self.asked.append(row)
        self.threads.add(threading.get_ident())
        return self.files[row]


def test_order_and_bytes_are_those_of_one_thread():
    files = [*FILES, *(data for data, _ in CONVERTED.values())]
    np.testing.assert_array_equal(squares(files, 48), [to_square(data, 48) for data in files])


def test_each_picture_is_read_once_by_no_more_threads_than_cores():
    files = Counted(FILES)
    squares(files, 48)
    assert sorted(files.asked) == list(range(24))
    assert 1 <= len(files.threads) <= num_cores()


def test_no_pictures_make_no_squares():
    assert squares([], 48).shape == (0, 48, 48, 3)


def test_the_first_bad_picture_is_the_one_that_is_named():
    with pytest.raises(BadPicture, match="picture_empty"):
        squares([*FILES, b"", FILES[0][:-200], FILES[1]], 48)
