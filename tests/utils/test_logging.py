from __future__ import annotations

import pytest
from loguru import logger

from easnn.utils.errors import OutputError
from easnn.utils.logging import setup_logging


@pytest.fixture(autouse=True)
def restored_logger():
    yield
    logger.remove()


def test_console_and_file_get_the_same_messages(tmp_path, capsys):
    setup_logging(tmp_path / "train_log.txt")
    logger.info("hello")
    logger.bind(progress=True).info("step 1")
    assert [line.split(" | ")[-1] for line in capsys.readouterr().err.splitlines()] == [
        "hello",
        "step 1",
    ]
    assert [
        line.split(" | ")[-1] for line in (tmp_path / "train_log.txt").read_text().splitlines()
    ] == [
        "hello",
        "step 1",
    ]


def test_on_a_terminal_the_bar_replaces_progress_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    setup_logging(tmp_path / "train_log.txt")
    logger.bind(progress=True).info("step 1")
    assert "step 1" not in capsys.readouterr().err
    assert "step 1" in (tmp_path / "train_log.txt").read_text()


def test_other_processes_only_warn_and_say_who_they_are(tmp_path, capsys, monkeypatch):
    for name, value in (("rank", 2), ("is_main", False)):
        monkeypatch.setattr(f"easnn.utils.logging.{name}", lambda value=value: value)
    setup_logging(tmp_path / "train_log.txt")
    logger.info("hello")
    logger.warning("beware")
    assert [line.split(" | ")[-1] for line in capsys.readouterr().err.splitlines()] == [
        "[process 2] beware"
    ]
    assert not (tmp_path / "train_log.txt").exists()


def test_a_log_file_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError) as error:
        setup_logging(tmp_path)
    assert str(error.value) == (
        f"Cannot write {tmp_path}: Is a directory. Choose another directory or free some space."
    )


def test_a_log_that_cannot_be_written_is_said_once_and_stops_nothing(tmp_path, capsys):
    path = tmp_path / "train_log.txt"
    path.symlink_to("/dev/full")
    setup_logging(path)
    logger.info("hello")
    logger.info("again")
    first, warning, second = capsys.readouterr().err.splitlines()
    assert first.endswith("hello")
    assert second.endswith("again")
    assert warning == (
        f"warning: Cannot write {path}: No space left on device. Messages are shown here only from "
        "now on."
    )
