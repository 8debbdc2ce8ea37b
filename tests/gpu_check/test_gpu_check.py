"""The checks find nothing wrong with a CPU, and find what is wrong on purpose."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import DeviceType

from easnn.cli.gpu_check import main
from easnn.data import DetectionBatch
from easnn.engine.step import TrainingStep
from easnn.gpu_check import CHECKS, Outcome, Setting, run_checks, table
from easnn.gpu_check.parity import RECIPES, trained_by_recipe
from easnn.gpu_check.problem import Problem, make_problem, relative_error
from easnn.gpu_check.processes import check_many_processes
from easnn.gpu_check.speed import BUSY, WAITS, profile_numbers
from easnn.gpu_check.training import WAITING, check_mixed_precision, unexpected_waits
from easnn.models import ParametricLIF
from easnn.optim import build_optimizer

CPU = Setting(torch.device("cpu"), quick=True)
NEEDS_A_GPU = {
    "CUDA graphs",
    "host waits",
    "many processes",
    "transfer",
    "profile",
    "runtime compiled",
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_cpu_passes_every_check_that_does_not_need_a_gpu(name: str) -> None:
    [(_, outcome, _)] = run_checks(CPU, [name], 60.0)
    assert outcome.passed is (None if name in NEEDS_A_GPU else True), outcome


def test_the_recipes_train_what_their_keys_say() -> None:
    before = make_problem(dtype=torch.float64).model.state_dict()
    changed = {}
    for kind, recipe in RECIPES.items():
        losses, state = trained_by_recipe(recipe, CPU.device, "exact", graphs=False)
        assert losses.isfinite().all()
        names = [name for name, value in before.items() if value.is_floating_point()]
        pairs = zip(names, state, strict=True)
        changed[kind] = {name for name, value in pairs if not torch.equal(value, before[name])}
    frozen = changed["defaults"] - changed["all keys"]
    assert frozen and all(name.startswith("backbone.stem.") for name in frozen)


@pytest.mark.parametrize(
    "name", ["network in float64", "network in float32", "training in float64", "compiled"]
)
def test_another_network_on_the_device_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "compiled":
        monkeypatch.setattr(torch, "compile", lambda model, backend: lambda x: model(x) * 1.1)
    else:
        on = Problem.on

        def changed(problem: Problem, device: torch.device) -> Problem:
            moved = on(problem, device)
            with torch.no_grad():
                for parameter in moved.model.parameters():
                    parameter *= 1.01
            return moved

        monkeypatch.setattr(Problem, "on", changed)
    [(_, outcome, _)] = run_checks(CPU, [name], 60.0)
    assert outcome.passed is False, outcome
    assert "largest relative error" in outcome.detail


def test_other_neurons_on_the_device_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def to(layer: ParametricLIF, device: torch.device) -> ParametricLIF:
        torch.nn.init.constant_(layer.w, 0.1)
        return layer

    monkeypatch.setattr(ParametricLIF, "to", to)
    assert CHECKS["neurons"](CPU).passed is False


def test_a_loss_that_does_not_fall_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def idle(problem: Problem, precision: Any) -> TrainingStep:
        optimizer = build_optimizer(problem.model, name="SGD", lr=0.0)
        return TrainingStep(problem.model, optimizer, precision)

    monkeypatch.setattr("easnn.gpu_check.training._step_of", idle)
    outcome = check_mixed_precision(CPU)
    assert outcome.passed is False
    assert outcome.numbers["first loss"] == outcome.numbers["last loss"]


def test_detections_that_depend_on_the_batch_size_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "easnn.gpu_check.evaluation._detections",
        lambda predictor, frames, size: [torch.full((1, 6), float(size == 3))] * len(frames),
    )
    outcome = CHECKS["evaluation in groups"](CPU)
    assert outcome.passed is False
    assert outcome.detail == "11 detections in 11 frames, other ones with batches of [3]"


def test_other_input_on_the_device_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def to(batch: DetectionBatch, device: torch.device) -> DetectionBatch:
        return replace(batch, events=batch.events + 1)

    monkeypatch.setattr(DetectionBatch, "to", to)
    outcome = CHECKS["input"](CPU)
    assert outcome.passed is False
    assert "(frames, " in outcome.detail


@pytest.mark.parametrize("lost", [0, 1])
def test_other_detections_on_the_device_are_noticed(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = iter([torch.ones(3, 6), torch.full((3 - lost, 6), 1.01)])
    monkeypatch.setattr("easnn.gpu_check.evaluation.select_detections", lambda *_: [next(results)])
    outcome = CHECKS["suppression"](CPU)
    assert outcome.passed is False
    assert outcome.detail.startswith("3 detections from 504 anchors")


def test_two_processes_train_as_one() -> None:
    outcome = check_many_processes(CPU, processes=2)
    assert outcome.passed, outcome
    assert outcome.detail.startswith("3 steps of 2 processes: largest relative error ")


def test_a_process_group_that_exists_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    assert CHECKS["one process"](CPU).passed is None


def warning_at(file: str, line: int, text: str = WAITING) -> warnings.WarningMessage:
    return warnings.WarningMessage(UserWarning(text), UserWarning, file, line)


def test_waits_other_than_the_report_are_named() -> None:
    report = warning_at("easnn/engine/step.py", 113)
    scaler = warning_at("torch/amp/grad_scaler.py", 366)
    assert unexpected_waits([report], mixed=False) == []
    assert unexpected_waits([report, scaler], mixed=True) == []
    assert unexpected_waits([report, scaler], mixed=False) == ["grad_scaler.py:366 waits 1 times"]
    other = [warning_at("easnn/models/losses.py", 40)] * 3
    unrelated = warning_at("easnn/models/losses.py", 41, "this function is slow")
    assert unexpected_waits([*other, report, unrelated], mixed=False) == [
        "losses.py:40 waits 3 times"
    ]
    second_place = warning_at("easnn/engine/step.py", 90)
    assert unexpected_waits([report, second_place], mixed=False) == ["step.py:90 waits 1 times"]


def test_the_numbers_of_a_profile() -> None:
    def event(key: str, device: DeviceType, us: float, count: int = 1) -> Any:
        return SimpleNamespace(
            key=key,
            device_type=device,
            self_device_time_total=us,
            count=count,
            is_user_annotation=key == "step",
        )

    events = [
        event("aten::conv2d", DeviceType.CPU, 4000),  # its kernel is an event of its own
        event("kernel", DeviceType.CUDA, 4000),
        event("copy", DeviceType.CUDA, 2000),
        event("step", DeviceType.CUDA, 9000),
        event("cudaStreamSynchronize", DeviceType.CPU, 0, count=4),
    ]
    assert profile_numbers(events, seconds=0.012, steps=2) == {
        BUSY: pytest.approx(0.5),
        WAITS: 2.0,
        "ms per step: kernel": 2.0,
        "ms per step: copy": 1.0,
    }


def test_outcomes_of_comparisons() -> None:
    assert Outcome.within({"a": 1e-3, "b": 2e-3}, 2e-3, "two").passed is True
    assert Outcome.within({"a": 3e-3, "b": 1e-3}, 2e-3, "two") == Outcome(
        False,
        "two: largest relative error 3.0e-03 (a), limit 2e-03",
        {"a": 3e-3, "b": 1e-3},
    )
    not_a_number = Outcome.within({"a": 1.0, "b": math.nan}, 2.0, "two")
    assert (not_a_number.passed, not_a_number.detail) == (
        False,
        "two: largest relative error nan (b), limit 2e+00",
    )


def test_relative_errors() -> None:
    a, b = [torch.tensor([3.0, 4.0]), torch.tensor([0.0])], [torch.zeros(2), torch.tensor(2.0)]
    assert relative_error(a, a) == 0
    assert relative_error(b, a) == pytest.approx(math.sqrt(29) / 5)


def test_the_problem_is_lively_and_always_the_same() -> None:
    rates: list[float] = []

    def note(layer: ParametricLIF, inputs: tuple[Tensor], spikes: Tensor) -> None:
        rates.append(float(spikes.detach().mean()))

    problem, again = make_problem(), make_problem()
    for layer in problem.model.modules():
        if isinstance(layer, ParametricLIF):
            layer.register_forward_hook(note)
    problem.model.eval()(problem.events)
    assert len(rates) > 20
    assert all(0.01 < rate < 0.99 for rate in rates)
    state, same = problem.model.state_dict(), again.model.state_dict()
    assert torch.equal(problem.events, again.events)
    assert all(torch.equal(state[name], same[name]) for name in state)


@pytest.fixture
def strange_checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    def raises(setting: Setting) -> Outcome:
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setitem(CHECKS, "broken", raises)
    monkeypatch.setitem(
        CHECKS, "speed", lambda setting: Outcome(True, "measured", {"x": 12.34, "y": math.inf})
    )
    return ["broken", "speed"]


def test_a_check_that_raises_has_failed(strange_checks: Sequence[str]) -> None:
    (_, broken, _), (_, speed, _) = run_checks(CPU, strange_checks, 60.0)
    assert (broken.passed, broken.detail) == (False, "RuntimeError: no kernel image")
    assert "is available" in str(broken.numbers["traceback"])
    assert speed.passed is True


def test_no_check_begins_after_the_limit(strange_checks: Sequence[str]) -> None:
    outcomes = [outcome for _, outcome, _ in run_checks(CPU, strange_checks, -1.0)]
    assert [outcome.passed for outcome in outcomes] == [None, None]
    assert outcomes[0].detail == "not begun within -1 s"


def test_the_table(strange_checks: Sequence[str]) -> None:
    done = {name: (outcome, 1.25) for name, outcome, _ in run_checks(CPU, strange_checks, 60.0)}
    lines = table(done).splitlines()
    assert lines[0].split() == ["check", "result", "seconds", "found"]
    assert lines[2].split()[:3] == ["broken", "FAILED", "1.2"]
    assert lines[2].endswith("RuntimeError: no kernel image")
    assert lines[3].split() == ["speed", "passed", "1.2", "measured"]
    assert lines[5].split() == ["speed"]
    assert [line.split() for line in lines[7:]] == [["x", "12.3"], ["y", "inf"]]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    yield


@pytest.mark.usefixtures("no_gpu")
def test_a_machine_without_a_gpu_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--output", str(tmp_path / "a.json")]) == 1
    assert capsys.readouterr().err == (
        f"error: `easnn gpu-check` needs a GPU, but torch {torch.__version__} finds none on this "
        "machine.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    words = ["--device", "cpu", "--only", "neurons", "--only", "transfer", "--output", str(path)]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("check ")
    found = json.loads(path.read_text())
    assert found["machine"]["torch"] == torch.__version__
    assert {name: check["passed"] for name, check in found["checks"].items()} == {
        "neurons": True,
        "transfer": None,
    }
    assert "flips, atan, float32" in found["checks"]["neurons"]["numbers"]


def test_a_failed_check_is_the_exit_code(
    tmp_path: Path, strange_checks: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    only = [word for name in strange_checks for word in ("--only", name)]
    assert main(["--device", "cpu", *only, "--output", str(path)]) == 1
    assert capsys.readouterr().err.endswith("error: 1 of 2 checks failed: broken.\n")
    assert json.loads(path.read_text())["checks"]["speed"]["numbers"] == {"x": 12.34, "y": "inf"}


def test_an_unknown_check_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--only", "neuron"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: `--only` must be one of network in float64, ")
    assert message.endswith("but is neuron. Did you mean `neurons`?\n")
