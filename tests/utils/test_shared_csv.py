from __future__ import annotations

import csv
import errno
import io
import multiprocessing
from pathlib import Path

import pytest

from easnn.utils.errors import OutputError
from easnn.utils.shared_csv import SharedCsv

PROCESSES, ROWS = 4, 50


def table(path: Path) -> SharedCsv:
    return SharedCsv(path, ("ap", "command"))


def append_many(path: Path, process: int) -> None:
    for row in range(ROWS):
        table(path).append({"ap": row, "command": f"{process} " + "x" * 5000})


def test_rows_follow_the_header(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    table(path).check()
    assert path.read_text() == "ap,command\n"
    table(path).append({"ap": 0.5, "command": 'a "b", c'})
    table(path).append({"ap": None, "command": "d"})
    assert path.read_text() == 'ap,command\n0.5,"a ""b"", c"\n,d\n'


def test_processes_that_append_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=append_many, args=(path, number)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["ap", "command"]
    expected = [[str(row), f"{n} " + "x" * 5000] for n in range(PROCESSES) for row in range(ROWS)]
    assert sorted(rows[1:]) == sorted(expected)


def test_a_last_line_without_an_end_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("ap,command\n0.1,edited")
    table(path).append({"ap": 0.2, "command": "ours"})
    assert path.read_text() == "ap,command\n0.1,edited\n0.2,ours\n"


def test_another_table_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("name,value\na,1\n")
    with pytest.raises(OutputError) as caught:
        table(path).check()
    assert str(caught.value) == (
        f"{path} must begin with the header ap,command, but begins with 'name,value'. Choose another file."
    )
    assert path.read_text() == "name,value\na,1\n"


def test_half_a_row_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    table(path).check()

    class FullDisk(io.FileIO):
        """Has room for 3 bytes."""

        written = 0

        def write(self, data: bytes) -> int:  # type: ignore[override]
            if self.written:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.written = super().write(data[:3])
            return self.written

    monkeypatch.setattr(Path, "open", lambda self, mode, buffering=0: FullDisk(self, mode.replace("b", "")))
    with pytest.raises(OutputError) as caught:
        table(path).append({"ap": 0.5, "command": "a"})
    assert str(caught.value) == (
        f"Cannot append to {path}: No space left on device. Choose another file or free some space."
    )
    monkeypatch.undo()
    assert path.read_text() == "ap,command\n"


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        table(tmp_path).check()
    assert str(caught.value) == (
        f"Cannot append to {tmp_path}: Is a directory. Choose another file or free some space."
    )
