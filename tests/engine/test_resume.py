from __future__ import annotations

import itertools
import os
import signal

import pytest
import torch
from engine_toys import ToyDetector, build_trainer, evaluate
from trainer_runs import PLAN, STEPS, StopAfter, assert_same, train_lines

from easnn.checkpoints import load_checkpoint
from easnn.engine import CHECKPOINTS, SIGNALS, RunDirectory, TrainConfig
from easnn.utils.errors import CheckpointError


@pytest.mark.parametrize("iteration", [1, STEPS - 1, STEPS, 2 * STEPS - 1, 3 * STEPS - 1])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_run_that_was_stopped_and_resumed_is_the_same_to_the_last_digit(
    tmp_path, whole_run, iteration, number, code
):
    with pytest.raises(SystemExit) as stop:
        build_trainer(
            tmp_path / "run",
            PLAN,
            schedule=StopAfter(iteration, number),
            stop_signals=(*SIGNALS, signal.SIGUSR1),
        ).train()
    assert stop.value.code == code
    run = RunDirectory(tmp_path / "run")
    stopped = load_checkpoint(run.latest)
    assert stopped["epoch"] * STEPS + stopped["step"] == iteration + 1
    torch.manual_seed(99)
    trainer = build_trainer(tmp_path / "run", PLAN)
    trainer.resume(stopped, run.latest)
    trainer.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole_run.latest))
    assert_same(load_checkpoint(run.best), load_checkpoint(whole_run.best))
    assert train_lines(run) == train_lines(whole_run)
    assert {p.name: p.read_text() for p in run.results.iterdir()} == {
        p.name: p.read_text() for p in whole_run.results.iterdir()
    }


def test_a_run_killed_later_than_its_last_checkpoint_repeats_what_was_lost(tmp_path, whole_run):
    config = PLAN.replace(ckpt_interval_steps=3)

    class KilledError(Exception):
        pass

    def schedule(iteration):
        if iteration == STEPS + 4:  # one step after the checkpoint, and after a line of metrics
            raise KilledError
        return StopAfter(-1, 0)(iteration)

    with pytest.raises(KilledError):
        build_trainer(tmp_path / "run", config, schedule=schedule).train()
    run = RunDirectory(tmp_path / "run")
    assert load_checkpoint(run.latest)["step"] == 3
    with run.metrics.open("a") as file:
        file.write('{"kind": "train", "iterat')  # the crash cut a line
    trainer = build_trainer(tmp_path / "run", config)
    trainer.resume(load_checkpoint(run.latest), run.latest)
    trainer.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole_run.latest))
    assert train_lines(run) == train_lines(whole_run)


@pytest.mark.parametrize("saved", range(1, 11))
def test_a_run_killed_before_any_of_its_checkpoints_ends_with_all_of_them(tmp_path, saved):
    """Also when it is killed in the middle of the end of an epoch, which writes several."""
    config = TrainConfig(max_epoch=3, save_history_ckpt=True, ckpt_interval_steps=4)
    build_trainer(tmp_path / "whole", config).train()
    run, whole = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "whole")

    class KilledError(Exception):
        pass

    calls = itertools.count()

    def die():
        if next(calls) == saved:
            raise KilledError

    with pytest.raises(KilledError):
        build_trainer(run.path, config, check_owned=die).train()
    trainer = build_trainer(run.path, config)
    trainer.resume(load_checkpoint(run.latest), run.latest)
    trainer.train()
    names = {path.name for path in whole.path.glob(CHECKPOINTS)}
    assert names == {path.name for path in run.path.glob(CHECKPOINTS)}
    assert {"epoch_1_ckpt.pth", "epoch_2_ckpt.pth", "epoch_3_ckpt.pth", "best_ckpt.pth"} < names
    for name in names:
        assert_same(load_checkpoint(run.path / name), load_checkpoint(whole.path / name), name)


def test_a_run_stopped_in_an_evaluation_resumes_with_that_evaluation(tmp_path, whole_run):
    def interrupted(model):
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(model)

    with pytest.raises(SystemExit) as stop:
        build_trainer(tmp_path / "run", PLAN, evaluate=interrupted).train()
    assert stop.value.code == 143
    run = RunDirectory(tmp_path / "run")
    stopped = load_checkpoint(run.latest)
    assert (stopped["epoch"], stopped["step"]) == (1, STEPS)
    trainer = build_trainer(tmp_path / "run", PLAN)
    trainer.resume(stopped, run.latest)
    trainer.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole_run.latest))
    assert train_lines(run) == train_lines(whole_run)


def test_signals_are_left_alone_outside_of_training(whole_run):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


class TestResumeRefuses:
    @pytest.fixture
    def stopped(self, tmp_path):
        with pytest.raises(SystemExit):
            build_trainer(tmp_path, PLAN, schedule=StopAfter(1, signal.SIGINT)).train()
        return load_checkpoint(RunDirectory(tmp_path).latest)

    def resume(self, tmp_path, stopped, **changes):
        with pytest.raises(CheckpointError) as error:
            build_trainer(tmp_path, PLAN, **changes).resume(stopped, "c.pth")
        return str(error.value)

    def test_another_model(self, tmp_path, stopped):
        model = ToyDetector()
        model.head = torch.nn.Linear(3, 9)
        assert (
            "2 of another shape: head.weight [7, 3], not [9, 3], head.bias [7], not [9]"
            in self.resume(tmp_path, stopped, model=model)
        )

    def test_another_optimizer(self, tmp_path, stopped):
        stopped["optimizer"]["param_groups"][0]["momentum"] = 0.9
        assert self.resume(tmp_path, stopped) == (
            "The optimizer state in c.pth belongs to another optimizer or to other parameter "
            "groups. Resume with the same `optimizer` and model keys, or start a new run from its "
            "weights (-c without --resume)."
        )

    def test_another_number_of_steps(self, tmp_path, stopped):
        stopped["steps_per_epoch"] = 7
        assert self.resume(tmp_path, stopped) == (
            "c.pth stopped at step 2 of an epoch of 7 steps, but an epoch now has 5. Resume with "
            "the same dataset, batch size (-b) and `accumulate`."
        )
