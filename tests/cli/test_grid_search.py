from __future__ import annotations

import csv
import errno
import io
import multiprocessing
from pathlib import Path

import pytest

from easnn.cli import train
from easnn.cli.arguments import parse
from easnn.cli.tasks.grid_search import check_grid_search, note_grid_search
from easnn.engine import RunDirectory, TrainResult
from easnn.utils.errors import OutputError

TINY = (
    "width 0.125 T 2 Tm 3 embedding_depth 1 input_size 32,64 test_size 32,64 max_epoch 1 "
    "data_num_workers 0 test_conf 0.0001 eval_initial False pictures False"
)


HEADER = "best_ap,checkpoint,command\n"
PROCESSES, ROWS = 4, 50


def check(path: Path) -> None:
    check_grid_search(parse(train.make_parser(), ["--grid_search", str(path)]))


def append(path: Path, ap: float, *words: str) -> None:
    options = parse(train.make_parser(), ["--grid_search", str(path), *words])
    note_grid_search(options, TrainResult(ap, 1, None), RunDirectory(Path("run")))


def append_many(path: Path, process: int) -> None:
    for row in range(ROWS):
        append(path, row, "exp_name", f"{process} " + "x" * 5000)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_appends_its_row(raw_dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("best_ap,checkpoint,command\n0.5,earlier,python\n")
    pairs = ["data_dir", str(raw_dataset), "output_dir", str(tmp_path), "exp_name", "the run"]
    words = ["-n", "e-yolox-demo", "-b", "2", "--grid_search", str(path), *pairs, *TINY.split()]
    assert train.main(words) == 0
    earlier, row = rows_of(path)
    assert earlier == {"best_ap": "0.5", "checkpoint": "earlier", "command": "python"}
    assert 0 <= float(row["best_ap"]) <= 1
    assert row["checkpoint"] == str(tmp_path / "the run" / "best_ckpt.pth")
    assert Path(row["checkpoint"]).is_file()
    assert row["command"] == (
        f"easnn train -n e-yolox-demo -b 2 --grid_search {path} data_dir {raw_dataset} output_dir "
        f"{tmp_path} exp_name 'the run' {TINY}"
    )


def test_without_an_ap_the_checkpoint_is_the_last(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    options = parse(train.make_parser(), ["-n", "e-yolox-s", "--grid_search", str(path)])
    note_grid_search(options, TrainResult(None, None, None), RunDirectory(tmp_path))
    assert rows_of(path) == [
        {
            "best_ap": "",
            "checkpoint": str(tmp_path / "latest_ckpt.pth"),
            "command": f"easnn train -n e-yolox-s --grid_search {path}",
        }
    ]


def test_a_table_that_cannot_be_written_is_found_before_the_training(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n")
    pairs = ["data_dir", str(raw_dataset), "output_dir", str(tmp_path / "runs")]
    assert train.main(["-n", "e-yolox-demo", "--grid_search", str(path), *pairs]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {path} must begin with the header best_ap,checkpoint,command, but begins with "
        "'a,b'. Choose another file."
    )
    assert not (tmp_path / "runs").exists()


def test_a_new_table_gets_its_header_before_the_training(tmp_path: Path) -> None:
    path = tmp_path / "new" / "grid.csv"
    check(path)
    assert path.read_text() == HEADER
    check(path)
    append(path, 0.5, "exp_name", 'a "b", c')
    command = f'easnn train --grid_search {path} exp_name \'a ""b"", c\''
    assert path.read_text() == f'{HEADER}0.5,run/best_ckpt.pth,"{command}"\n'


def test_rows_of_simultaneous_processes_are_neither_lost_nor_mixed(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=append_many, args=(path, number)) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert path.read_text().startswith(HEADER)
    rows = [(row["best_ap"], row["command"].split("exp_name ")[1]) for row in rows_of(path)]
    expected = [(str(row), f"'{n} {'x' * 5000}'") for n in range(PROCESSES) for row in range(ROWS)]
    assert sorted(rows) == sorted(expected)


def test_a_table_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\ufeff" + HEADER, encoding="utf-8")
    append(path, 0.5)
    assert path.read_text(encoding="utf-8-sig").startswith(f"{HEADER}0.5,")


def test_a_last_line_without_an_end_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text(HEADER + "0.1,edited,by hand")
    append(path, 0.2)
    assert [row["best_ap"] for row in rows_of(path)] == ["0.1", "0.2"]


def test_a_row_without_room_on_the_disk_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "grid.csv"
    check(path)

    class FullDisk(io.FileIO):
        """Has room for 3 bytes."""

        written = 0

        def write(self, data: bytes) -> int:  # type: ignore[override]
            if self.written:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.written = super().write(data[:3])
            return self.written

    monkeypatch.setattr(
        Path, "open", lambda self, mode, buffering=0: FullDisk(self, mode.replace("b", ""))
    )
    with pytest.raises(OutputError) as caught:
        append(path, 0.5)
    assert str(caught.value) == (
        f"Cannot append to {path}: No space left on device. Choose another file or free some space."
    )
    monkeypatch.undo()
    assert path.read_text() == HEADER


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        check(tmp_path)
    assert str(caught.value) == (
        f"Cannot append to {tmp_path}: Is a directory. Choose another file or free some space."
    )
