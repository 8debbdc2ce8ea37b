"""A run directory has one owner, and only its own files are moved."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from easnn.checkpoints import save_checkpoint
from easnn.checkpoints.format import KEYS
from easnn.engine import RunDirectory, RunOwner
from easnn.engine import run_owner as module
from easnn.engine.run_directory import RUN_FILES
from easnn.utils.errors import OutputError
from easnn.utils.files import atomic_write
from easnn.utils.locks import LocksMissingError
from easnn.utils.tensor_file import read_tensor_file

FORK = multiprocessing.get_context("fork")


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def start(path: Path, *, resume: bool = False) -> RunDirectory:
    with RunOwner(path) as owner:
        return owner.start(resume=resume)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(OutputError) as error, RunOwner(path, **options):
        pass
    return str(error.value)


def test_a_new_run_moves_the_files_of_an_earlier_one(tmp_path: Path) -> None:
    for content in ("first", "second", "third"):
        run = start(tmp_path / "deep" / "run")
        run.latest.write_text(content)
        run.result(1).write_text("{}")
    assert files_in(run.path) == [
        ".run.lock",
        *(
            f"earlier-{number}/{name}"
            for number in (1, 2)
            for name in ("latest_ckpt.pth", "owner.json", "results/epoch_1.json")
        ),
        "latest_ckpt.pth",
        "owner.json",
        "results/epoch_1.json",
    ]
    assert run.latest.read_text() == "third"
    assert (run.path / "earlier-1" / "latest_ckpt.pth").read_text() == "first"
    assert (run.path / "earlier-2" / "latest_ckpt.pth").read_text() == "second"
    owners = [RunDirectory(run.path / f"earlier-{number}").record()["run"] for number in (1, 2)]
    assert len({*owners, run.record()["run"]}) == 3


def test_every_file_of_a_run_is_moved_and_nothing_else(tmp_path: Path) -> None:
    run = start(tmp_path)
    ours = [
        f"{folder}/{pattern}".replace("*", "7").removeprefix("./")
        for folder, patterns in RUN_FILES.items()
        for pattern in patterns
    ]
    others = ["notes.txt", "results/table.csv", "pictures/holiday.png", "code/model.py", "pth"]
    for name in [*ours, *others]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    run = start(tmp_path)
    assert files_in(tmp_path / "earlier-1") == sorted([*ours, "owner.json"])
    assert [name for name in others if (tmp_path / name).read_text() == name] == others
    assert not run.tensorboard.exists(), "an emptied folder"


def test_a_resumed_run_keeps_its_files(tmp_path: Path) -> None:
    first = start(tmp_path)
    first.latest.write_text("kept")
    name = first.record()["run"]
    assert start(tmp_path, resume=True).latest.read_text() == "kept"
    assert first.record()["run"] == name
    assert not (tmp_path / "earlier-1").exists()


def test_the_record_says_who_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["easnn train", "-expn", "a b"])  # as `easnn` sets it
    with RunOwner(tmp_path) as owner:
        record = owner.start(resume=False).record()
        assert record["pid"] == os.getpid()
        assert record["command"] == "easnn train -expn 'a b'"
        assert "ended" not in record
    assert "ended" in RunDirectory(tmp_path).record()


def test_a_second_training_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["easnn", "train"])
    with RunOwner(tmp_path / "run") as owner:
        run = owner.start(resume=False)
        before = {name: (run.path / name).read_bytes() for name in files_in(run.path)}
        record = run.record()
        assert refusal(run.path) == (
            f"{run.path} is in use by another training: process {os.getpid()} on {record['host']}, "
            f"since {record['since']} (easnn train). Wait until it ends, stop it, or choose "
            "another name (-expn)."
        )
        assert {name: (run.path / name).read_bytes() for name in files_in(run.path)} == before
    start(run.path)


def test_without_a_start_the_directory_is_left_as_it_was(tmp_path: Path) -> None:
    with RunOwner(tmp_path / "outputs" / "new"):
        pass
    assert not (tmp_path / "outputs").exists()
    run = start(tmp_path / "old")
    run.latest.write_text("first")
    before = run.record()
    with RunOwner(run.path):
        assert run.record() != before
    assert run.record() == before
    assert files_in(run.path) == [".run.lock", "latest_ckpt.pth", "owner.json"]


def _train_with_a_worker_until_killed(path: Path, ready: Any) -> None:
    with RunOwner(path) as owner:
        owner.start(resume=False).latest.write_text("saved")
        worker = FORK.Process(target=threading.Event().wait, daemon=True)
        worker.start()
        ready.put(worker.pid)
        threading.Event().wait()


def test_a_killed_training_owns_nothing_although_its_workers_live(tmp_path: Path) -> None:
    ready = FORK.Queue()
    process = FORK.Process(target=_train_with_a_worker_until_killed, args=(tmp_path, ready))
    process.start()
    worker = ready.get()
    assert "is in use by another training" in refusal(tmp_path)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    try:
        os.kill(worker, 0)
        assert start(tmp_path, resume=True).latest.read_text() == "saved"
    finally:
        os.kill(worker, signal.SIGKILL)


class TestOnAnotherMachine:
    """The owner is on another machine, or the file system has no locks."""

    @pytest.fixture
    def left(self, tmp_path: Path) -> RunDirectory:
        """A directory whose owner, on another machine, does not say that it has ended."""
        run = start(tmp_path)
        record = {name: value for name, value in run.record().items() if name != "ended"}
        record |= {"machine": "far away", "host": "far"}
        run.owner.write_text(json.dumps(record))
        return run

    def test_no_sign_of_life(self, left: RunDirectory) -> None:
        with RunOwner(left.path, beat_s=0.01) as owner:
            owner.start(resume=True)
        assert left.record()["host"] != "far"

    def test_a_sign_of_life(self, left: RunDirectory) -> None:
        def beat() -> None:
            while not stop.wait(0.01):
                os.utime(left.owner)

        stop = threading.Event()
        beating = threading.Thread(target=beat)
        beating.start()
        try:
            assert " on far, since " in refusal(left.path, beat_s=0.1)
        finally:
            stop.set()
            beating.join()

    def test_the_owner_shows_its_life(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_locks(_path: Path) -> None:
            raise LocksMissingError

        monkeypatch.setattr(module, "lock_alone", no_locks)
        with RunOwner(tmp_path, beat_s=0.02) as owner:
            owner.start(resume=False)
            assert "is in use by another training" in refusal(tmp_path, beat_s=0.2)
        start(tmp_path)

    def test_who_lost_the_directory_does_not_write(self, tmp_path: Path) -> None:
        with RunOwner(tmp_path) as owner:
            run = owner.start(resume=False)
            owner.check()
            record = {**run.record(), "token": "other", "host": "far", "since": "noon", "pid": 7}
            run.owner.write_text(json.dumps({**record, "command": "easnn train"}))
            with pytest.raises(OutputError) as error:
                owner.check()
        assert str(error.value) == (
            f"{tmp_path} was taken by another training: process 7 on far, since noon (easnn "
            "train). This one stops without replacing its files."
        )
        assert run.record()["token"] == "other", "it is not said to have ended"


class TestWhatIsNoRun:
    @pytest.mark.parametrize(
        ("names", "shown"),
        [
            (["train/a_td.dat", "val/b_td.dat", "dataset.json"], "train, val"),
            (["one/latest_ckpt.pth", "two/x", "three/x", "four/x"], "four, one, three, …"),
            (["latest_ckpt.pth", "train_log.txt"], "latest_ckpt.pth, train_log.txt"),
            (["results/table.csv"], "results"),
        ],
    )
    def test_it_is_refused(self, tmp_path: Path, names: list[str], shown: str) -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("mine")
        assert refusal(tmp_path) == (
            f"{tmp_path} cannot be the directory of this run: it holds {shown}, which no run of "
            "easnn wrote. Nothing in it was touched. Choose another name (-expn) or another "
            "`output_dir`."
        )
        assert files_in(tmp_path) == sorted(names)

    def test_files_of_other_names_may_lie_there(self, tmp_path: Path) -> None:
        (tmp_path / "slurm-7.out").write_text("mine")
        (tmp_path / ".cache").mkdir()
        for _ in range(2):
            start(tmp_path).latest.write_text("ours")
        assert files_in(tmp_path) == [
            ".run.lock",
            "earlier-1/latest_ckpt.pth",
            "earlier-1/owner.json",
            "latest_ckpt.pth",
            "owner.json",
            "slurm-7.out",
        ]

    def test_a_file_of_another_format_is_no_mark(self, tmp_path: Path) -> None:
        (tmp_path / "train").mkdir()
        (tmp_path / "owner.json").write_text('{"name": "Ann"}')
        assert "it holds train, which" in refusal(tmp_path)

    def test_a_directory_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert refusal(tmp_path / "file" / "run") == (
            f"Cannot write to directory {tmp_path / 'file' / 'run'}: Not a directory. Choose "
            "another directory or free some space."
        )


class TestRunOfAnEarlierVersion:
    def test_it_is_known_by_its_metrics(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path)
        run.results.mkdir()
        run.metrics.write_text('{"kind": "train", "iteration": 10}\n')
        start(tmp_path)
        assert files_in(tmp_path / "earlier-1") == ["metrics.jsonl"]

    def test_it_is_known_by_a_checkpoint(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path)
        save_checkpoint(run.history(3), {**dict.fromkeys(KEYS), "model": {}})
        start(tmp_path)
        assert files_in(tmp_path / "earlier-1") == ["epoch_3_ckpt.pth"]


def _be_killed_while_saving(path: Path) -> None:
    with RunOwner(path) as owner:
        run = owner.start(resume=True)
        save_checkpoint(run.latest, {"epoch": 1})
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        save_checkpoint(run.latest, {"epoch": 2})


def test_a_training_that_is_killed_while_saving(tmp_path: Path) -> None:
    run = start(tmp_path)
    process = FORK.Process(target=_be_killed_while_saving, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    [unfinished] = tmp_path.glob(".latest_ckpt.pth.*")
    assert unfinished.stat().st_size > 0
    # An evaluation writes its result while the training starts again.
    with atomic_write(run.results / "best_ckpt_val_coco.json") as file:
        [written] = run.results.iterdir()
        os.utime(written, (0, 0))
        file.write(b"{}")
        start(tmp_path, resume=True)
        assert not unfinished.exists()
    assert read_tensor_file(run.latest)["epoch"] == 1  # type: ignore[index]
    assert files_in(tmp_path) == [
        ".run.lock",
        "latest_ckpt.pth",
        "owner.json",
        "results/best_ckpt_val_coco.json",
    ]


def test_what_a_killed_training_left_unfinished_is_removed(tmp_path: Path) -> None:
    run = start(tmp_path)
    left = [
        ".latest_ckpt.pth.abcd1234",
        ".epoch_12_ckpt.pth.a_c01234",
        "results/.epoch_2.json.abcd1234",
    ]
    others = [
        "results/.best_ckpt_val_coco.json.abcd1234",  # an evaluation may be writing it
        ".latest_ckpt.pth.backup",
        ".notes.txt.abcd1234",
    ]
    for name in [*left, *others]:
        (tmp_path / name).write_text("")
    run = start(tmp_path, resume=True)
    assert files_in(run.path) == sorted([*others, ".run.lock", "owner.json"])
