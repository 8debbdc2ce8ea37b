"""Several processes on one machine, over gloo; a launch takes seconds, so a test checks a lot."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from engine_toys import ToyDetector, build_trainer, evaluate, train_double, train_loader
from loguru import logger
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig
from worlds import World, fork_server

from easnn.checkpoints import load_checkpoint
from easnn.engine import RunDirectory, TrainConfig, WorkerError, launch
from easnn.engine.launch import _passed_on
from easnn.engine.remote_error import raise_first_failure, reported
from easnn.utils import distributed
from easnn.utils.errors import ConfigError, DataError, TrainingError

PLAN = TrainConfig(max_epoch=2, eval_interval=2, freeze_bn=True)


@pytest.fixture
def forked(monkeypatch):
    """Fork processes from one that has the imports; the others are spawned, as for users."""
    fork_server()
    monkeypatch.setattr(
        sys.modules[launch.__module__],
        "LaunchConfig",
        lambda **options: LaunchConfig(**{**options, "start_method": "forkserver"}),
    )


def largest_difference(a, b):
    return max((a[name] - b[name]).abs().max().item() for name in a)


def train_and_spoil(path: Path) -> tuple[float, str]:
    """Train in float64, then again with a spoilt frame in the first batch of the last process."""
    best_ap = train_double(path / "good", PLAN)
    first = next(iter(train_loader())).indices[0]
    spoilt = train_loader(spoil=distributed.gather_objects(first)[-1])
    message = ""
    try:
        build_trainer(path / "spoilt", PLAN, train_loader=spoilt).train()
    except TrainingError as error:
        message = str(error)
    return best_ap, message


@pytest.mark.usefixtures("forked")
def test_two_processes_train_as_one_does(tmp_path):
    alone, message = train_and_spoil(tmp_path / "one")
    together, message_of_two = launch(train_and_spoil, (tmp_path / "two",), devices=2)
    assert together == pytest.approx(alone, abs=1e-12)
    one, two = (
        load_checkpoint(RunDirectory(tmp_path / name / "good").latest) for name in ("one", "two")
    )
    start = ToyDetector().double().state_dict()
    assert largest_difference(one["raw_model"], start) > 1e-3
    assert largest_difference(one["raw_model"], two["raw_model"]) < 1e-12
    assert largest_difference(one["model"], two["model"]) < 1e-12
    for first, second in zip(*(c["optimizer"]["state"].values() for c in (one, two)), strict=True):
        assert largest_difference(first, second) < 1e-12
    assert one["optimizer"]["param_groups"] == two["optimizer"]["param_groups"]
    begin = "A loss is not finite in epoch 1, step 1: process"
    assert message.startswith(f"{begin} 0: total_loss nan")
    assert message_of_two.startswith(f"{begin} 1: total_loss nan")
    assert "process 0" not in message_of_two


def evaluate_few() -> list[dict[str, object]]:
    """Evaluate fewer frames than there are processes, and more."""
    torch.manual_seed(0)
    model = ToyDetector()
    return [evaluate(model, length=length).to_dict() for length in (0, 1, 7)]


def stop_and_resume(path: Path) -> dict[str, object]:
    """Train; train again, stop one process halfway and resume. Return what the processes saw."""
    config = TrainConfig(max_epoch=2, eval_interval=1)
    torch.manual_seed(0)
    model = ToyDetector()
    build_trainer(path / "whole", config, model=model, schedule=lambda iteration: 0.01).train()

    def signalled(iteration: int) -> float:
        if iteration == 7 and distributed.rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return 0.01

    code = None
    try:
        build_trainer(path / "run", config, schedule=signalled).train()
    except SystemExit as stop:
        code = stop.code
    latest = RunDirectory(path / "run").latest
    stopped = load_checkpoint(latest)
    trainer = build_trainer(path / "run", config, schedule=lambda iteration: 0.01)
    trainer.resume(stopped, latest)
    trainer.train()
    return {
        "statistics": distributed.gather_objects(model.norm.running_mean.tolist()),
        "results": distributed.gather_objects(evaluate_few()),
        "codes": distributed.gather_objects(code),
        "stopped_at": (stopped["epoch"], stopped["step"]),
    }


def test_processes_agree_and_a_stopped_run_goes_on_exactly(tmp_path):
    with World(stop_and_resume, (tmp_path,), 2, tmp_path) as world:
        seen, _ = world.results()
    assert seen["statistics"][0] == seen["statistics"][1] != [0.0, 0.0, 0.0]
    assert seen["results"] == [evaluate_few(), evaluate_few()]
    assert seen["codes"] == [143, 143]
    assert seen["stopped_at"] == (1, 3)
    whole, run = (
        load_checkpoint(RunDirectory(tmp_path / name).latest) for name in ("whole", "run")
    )
    assert largest_difference(whole["raw_model"], run["raw_model"]) == 0
    assert largest_difference(whole["model"], run["model"]) == 0


def fail(how: str) -> None:
    if distributed.rank() == 1:
        if how == "data":
            raise DataError("File x is broken.")
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hangs":
            time.sleep(600)
    distributed.gather_objects(how)


@pytest.mark.usefixtures("forked")
@pytest.mark.timeout(50)  # the other process would sleep for a minute
def test_a_lost_process_starts_all_again_and_an_error_of_the_input_ends_the_run():
    said = []
    sink = logger.add(said.append, format="{message}")
    with pytest.raises(DataError) as error:
        launch(fail, ("killed",), devices=2, max_restarts=2, args_of_restart=("data",))
    assert str(error.value) == "File x is broken."
    logger.remove(sink)
    [again] = [line for line in said if "starts again" in line]
    assert again.endswith("The run starts again, 2 more times at most.\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_fault_of_the_program_comes_with_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as stop, reported(tmp_path):
        raise ZeroDivisionError("a bug")
    assert stop.value.code == 1
    exited = ChildFailedError("main", {1: ProcessFailure(1, pid=0, exitcode=1, error_file="")})
    with pytest.raises(
        WorkerError, match=r"(?s)^Process 1 failed:\nTraceback.*ZeroDivisionError: a bug"
    ):
        raise_first_failure(tmp_path, exited)


def test_what_the_operating_system_refuses_a_process_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit), reported(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", "/data")
    failed = ChildFailedError("train", {1: ProcessFailure(1, 9, 1, "no file")})
    with pytest.raises(DataError) as error:
        raise_first_failure(tmp_path, failed)
    assert str(error.value) == (
        "Cannot use /data: Permission denied. Change its permissions, or give another path."
    )


def test_a_killed_process_is_named():
    with pytest.raises(TrainingError) as error:
        launch(fail, ("killed",), devices=2)
    assert re.sub(r"pid \d+", "pid N", str(error.value)) == (
        f"Process 1 (pid N on {socket.gethostname()}) was killed (SIGKILL), last seen in the start "
        "of the run. Usually the machine ran out of memory: use fewer `data_num_workers` or a "
        "smaller batch (-b)."
    )


@pytest.mark.usefixtures("forked")
def test_a_process_that_hangs_is_named():
    with pytest.raises(TrainingError) as error:
        launch(fail, ("hangs",), devices=2, timeout_s=5)
    assert re.sub(r"pid \d+", "pid N", str(error.value)) == (
        f"Process 1 (pid N on {socket.gethostname()}) hangs: the others have waited for it for "
        "more than 5 s. It is in the start of the run. See what it does (`py-spy dump --pid N`) "
        "and whether its disks answer; `--timeout` sets the limit."
    )


SCRIPT = """
import sys, time
from easnn.engine import launch
from engine_toys import wait_for_signal
if __name__ == "__main__":
    launch(wait_for_signal, (sys.argv[1],), devices=2)
"""


def test_a_signal_to_the_launcher_reaches_every_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    process = subprocess.Popen([sys.executable, script, tmp_path / "run"], env=environment)
    run = RunDirectory(tmp_path / "run")
    while not run.metrics.exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    checkpoint = load_checkpoint(run.latest)
    assert checkpoint["epoch"] + checkpoint["step"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_s": 0}, "`--timeout` must be above 0, but is 0."),
        ({"devices": 0}, "`-d` must be at least 1, but is 0."),
        (
            {"devices": 2, "max_restarts": -1},
            "`--max-restarts` must be at least 0, but is -1.",
        ),
        ({"dist_backend": "mpi"}, "`--dist-backend` must be nccl or gloo, but is mpi."),
        (
            {"num_machines": 2, "machine_rank": 2, "dist_url": "tcp://a:1"},
            "`--machine_rank` must be 0 to 1 for 2 machines, but is 2.",
        ),
        (
            {"num_machines": 2},
            "`--dist-url` must be tcp://HOST:PORT of machine 0 for 2 machines, but is None.",
        ),
        (
            {"num_machines": 2, "dist_url": "auto"},
            "`--dist-url` must be tcp://HOST:PORT of machine 0 for 2 machines, but is auto.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError) as error:
        launch(fail, ("data",), **options)
    assert str(error.value) == message


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_nccl_without_a_gpu_is_refused():
    with pytest.raises(ConfigError) as error:
        launch(fail, ("data",), dist_backend="nccl")
    assert str(error.value) == (
        "`--dist-backend` must be gloo on a machine without a GPU, but is nccl. Leave it out."
    )


def test_a_machine_that_does_not_come():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    options = {"num_machines": 2, "machine_rank": 1, "dist_url": url, "timeout_s": 1}
    with pytest.raises(TrainingError) as error:
        launch(os.getpid, **options)
    message = str(error.value)
    assert message.startswith(f"The 2 machines did not come together at {url} within 1 s: ")
    assert message.endswith(
        " Start the same command on each of them, with its own `--machine_rank`, and check that "
        "they reach this address; `--timeout` sets the limit."
    )


def test_one_process_runs_right_here():
    assert launch(os.getpid) == os.getpid()


def test_a_local_rank_without_a_launcher_is_refused():
    with pytest.raises(ConfigError) as error:
        launch(distributed.is_distributed, local_rank=0)
    assert str(error.value) == (
        "`--local-rank` comes from a launcher of torch, but its environment variables "
        "(LOCAL_WORLD_SIZE, RANK) are missing. Leave it out and give the number of processes "
        "(-d), or use torchrun."
    )


def test_under_torchrun_the_process_joins_its_world(monkeypatch):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {
        "RANK": 0,
        "WORLD_SIZE": 1,
        "LOCAL_RANK": 0,
        "LOCAL_WORLD_SIZE": 1,
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": port,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    assert launch(distributed.is_distributed)
    assert launch(distributed.is_distributed, local_rank=3)  # the variables count
    assert not distributed.is_distributed()
    with pytest.raises(ConfigError) as error:
        launch(distributed.is_distributed, devices=2)
    assert str(error.value) == (
        "`-d` must be 1 or left out under torchrun, which started 1 processes here, but is 2."
    )


def test_a_stop_signal_is_passed_on_to_the_processes():
    context = multiprocessing.get_context("fork")
    waits = context.Event()

    def wait_for_the_signal():
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
        waits.set()
        time.sleep(60)

    with _passed_on(signal.SIGUSR1):
        process = context.Process(target=wait_for_the_signal)
        process.start()
        waits.wait()
        os.kill(os.getpid(), signal.SIGUSR1)
        process.join(30)
    assert process.exitcode == 7
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
