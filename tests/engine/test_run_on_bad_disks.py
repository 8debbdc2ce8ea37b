"""Runs whose disk is full or may not be written: one sentence, and the last checkpoint is whole."""

from __future__ import annotations

import subprocess
from functools import partial

import pytest
from engine_toys import build_trainer
from trainer_runs import PLAN, StopAfter, assert_same

from easnn.checkpoints import load_checkpoint
from easnn.engine import RunDirectory, RunOwner, build_writers
from easnn.utils.errors import OutputError
from easnn.utils.logging import setup_logging


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, and a function that mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    kind = ["-t", "tmpfs", "tmpfs", str(folder)]
    made = subprocess.run(["mount", "-o", "size=1m", *kind], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no file system may be mounted here: {made.stderr.strip()}")

    def again(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    yield folder, again
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("logger", [None, "tensorboard"])
def test_a_disk_that_fills_up_in_mid_run(disk, capfd, logger):
    folder, _ = disk
    run = RunDirectory(folder / "run")
    run.path.mkdir()
    setup_logging(run.log)
    config = PLAN.replace(max_epoch=10**6, eval_interval=10**6, save_history_ckpt=True)
    with pytest.raises(OutputError) as error:
        build_trainer(
            run.path, config, open_writers=partial(build_writers, logger, run, experiment={})
        ).train()
    message = str(error.value)
    assert message.startswith(f"Cannot write {run.path}/")
    assert "\n" not in message
    assert "Traceback" not in capfd.readouterr().err
    load_checkpoint(run.latest)
    whole = [load_checkpoint(path)["epoch"] for path in run.path.glob("epoch_*_ckpt.pth")]
    assert sorted(whole) == list(range(1, len(whole) + 1))
    assert len(whole) > 3
    assert not list(run.path.glob(".*"))


def test_a_run_goes_on_when_there_is_room_again(disk, whole_run):
    folder, _ = disk
    run = RunDirectory(folder / "run")
    filling = folder / "filling"

    def schedule(iteration):
        if iteration == 7 and not filling.exists():
            with pytest.raises(OSError, match="No space left"):
                filling.write_bytes(bytes(2**20))
        return StopAfter(-1, 0)(iteration)

    with pytest.raises(OutputError) as error:
        build_trainer(run.path, PLAN, schedule=schedule).train()
    assert "free some space" in str(error.value).lower()
    filling.write_bytes(b"")
    trainer = build_trainer(run.path, PLAN)
    trainer.resume(load_checkpoint(run.latest), run.latest)
    trainer.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole_run.latest))


def test_a_disk_that_may_not_be_written(disk):
    folder, again = disk
    again("ro")
    with pytest.raises(OutputError) as error, RunOwner(folder / "run"):
        pass
    assert str(error.value) == (
        f"Cannot write to directory {folder}/run: Read-only file system. Choose another directory "
        "or free some space."
    )


def test_a_disk_that_becomes_read_only_in_mid_run(disk):
    """As when the system finds a fault in it."""
    folder, again = disk
    run = RunDirectory(folder / "run")

    def schedule(iteration):
        if iteration == 7:
            again("ro")
        return StopAfter(-1, 0)(iteration)

    with pytest.raises(OutputError) as error:
        build_trainer(run.path, PLAN, schedule=schedule).train()
    assert "Read-only file system" in str(error.value)
    assert load_checkpoint(run.latest)["epoch"] == 1
