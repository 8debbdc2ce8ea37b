from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easnn.events import Contours, read_contours, write_contours
from easnn.utils.errors import DataError


def stored(*values: int) -> bytes:
    return np.array(values, "<i2").tobytes()


def test_values_are_read_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(stored(2, 4, -3, 5, 60, 5, 60, 50, -3, 50, 2, 1, 7, 8))
    box, outline = read_contours(path)
    assert box.tolist() == [[-3, 5], [60, 5], [60, 50], [-3, 50]]
    assert outline.tolist() == [[7, 8]]


def test_write_then_read(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_contours(path, Contours(np.array([(1, 2), (3, 4)]), np.array([(5, 6)])))
    assert path.read_bytes() == stored(2, 2, 1, 2, 3, 4, 2, 1, 5, 6)
    assert read_contours(path).box.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "{path} is cut off: it ends before the contour of the box. Copy it again."),
        (
            stored(2, 4, 1, 2, 3, 4, 5, 6, 7),
            "{path} is cut off: the contour of the box must have 4 points, but the file ends after "
            "3. Copy it again.",
        ),
        (
            stored(2, 2, 1, 2, 3, 4),
            "{path} is cut off: it ends before the contour of the object. Copy it again.",
        ),
        (
            stored(3, 4, *range(30)),
            "The contour of the box in {path} must have 2 rows and at least 2 columns, but has 3 "
            "and 4. The file is damaged, or not an annotation of N-Caltech101.",
        ),
        (
            stored(2, 2, 1, 2, 3, 4, 2, -1),
            "The contour of the object in {path} must have 2 rows and at least 0 columns, but has "
            "2 and -1. The file is damaged, or not an annotation of N-Caltech101.",
        ),
    ],
)
def test_bad_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_contours(path)
    assert str(caught.value) == message.format(path=path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^Cannot read .*a\.bin: No such file or directory\.$"):
        read_contours(tmp_path / "a.bin")


def test_mutated_files_give_contours_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    sound = stored(2, 4, -3, 5, 60, 5, 60, 50, -3, 50, 2, 3, 7, 8, 9, 10, 11, 12)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        data = np.frombuffer(sound, np.uint8).copy()
        data[rng.integers(len(data), size=2)] = rng.integers(256, size=2)
        path.write_bytes(data[: rng.integers(len(data) + 1)].tobytes())
        try:
            box, outline = read_contours(path)
        except DataError:
            refused += 1
        else:
            assert 4 * (2 + len(box) + len(outline)) <= path.stat().st_size
    assert 0 < refused < 500
