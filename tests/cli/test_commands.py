"""Training and evaluation of a tiny network, through the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from easnn.cli import eval as evaluation
from easnn.cli import score, train
from easnn.events import MOTION_BOX_DTYPE, read_boxes, write_boxes

CHECKOUT = Path(__file__).resolve().parents[2]
TINY = (
    "width 0.125 T 2 Tm 3 embedding_depth 1 input_size 32,64 test_size 32,64 max_epoch 1 "
    "data_num_workers 0 test_conf 0.0001 eval_initial False"
)


class Run(NamedTuple):
    """A finished training run, and the words that start another one like it."""

    path: Path
    words: list[str]

    @property
    def best(self) -> Path:
        return self.path / "best_ckpt.pth"


def run_tool(name: str, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool from the checkout or from inside ``tools``, as users do."""
    script = (CHECKOUT / "tools" / name).relative_to(folder)
    return subprocess.run(
        [sys.executable, str(script), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


def words_for(dataset: Path, output: Path, *more: str, pictures: bool = False) -> list[str]:
    """Return the arguments of a training; pictures would take half of its time."""
    pairs = ["data_dir", str(dataset), "output_dir", str(output), *TINY.split(), *more]
    pairs += ["pictures", str(pictures)]
    return ["-n", "e-yolox-demo", "-b", "2", *pairs]


@pytest.fixture(scope="module")
def run(raw_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Train from the checkout for an epoch."""
    output = tmp_path_factory.mktemp("output")
    words = words_for(raw_dataset, output, "exp_name", "first", pictures=True)
    done = run_tool("train_event.py", words, CHECKOUT)
    assert done.returncode == 0, done.stderr
    return Run(output / "first", words)


def error_of(
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    main: Callable[[list[str]], int] = train.main,
) -> str:
    """Run a command that must fail, and return the line that it prints last."""
    assert main(command) == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_a_run_leaves_its_checkpoints_results_and_log(run: Run) -> None:
    for name in (
        "latest_ckpt.pth",
        "best_ckpt.pth",
        "results/epoch_1.json",
        "pictures/curves.png",
        "train_log.txt",
        "metrics.jsonl",
    ):
        assert (run.path / name).is_file(), name


def test_a_checkpoint_is_all_that_an_evaluation_needs(run: Run) -> None:
    done = run_tool("eval_event.py", ["-c", str(run.best)], CHECKOUT / "tools")
    assert done.returncode == 0, done.stderr
    for line in (["protocol", "coco"], ["split", "val"], ["frames", "4"], ["boxes", "4"]):
        assert line in [row.split() for row in done.stdout.splitlines()]
    result = json.loads((run.path / "results" / "best_ckpt_val_coco.json").read_text())
    while_training = json.loads((run.path / "results" / "epoch_1.json").read_text())
    assert {key: result[key] for key in while_training} == while_training
    assert result["keys"]["input_size"] == [32, 64]
    assert result["fused"] is False
    assert "differ" not in done.stderr


def test_keys_on_the_command_line_win_and_are_shown(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        evaluation.main(
            ["-c", str(run.best), "--conf", "0.2", "-b", "3", "-expn", "other", "--eval_proh"]
        )
        == 0
    )
    shown = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["test_conf", "0.0001", "0.2"] in shown
    assert ["eval_proph", "False", "True"] in shown
    assert (run.path.parent / "other" / "results" / "best_ckpt_val_prophesee.json").is_file()


def test_both_protocols_in_one_evaluation(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluation.main(["-c", str(run.best), "-expn", "other", "--both"]) == 0
    assert ["protocol", "coco", "prophesee"] in [
        row.split() for row in capsys.readouterr().out.splitlines()
    ]
    results = run.path.parent / "other" / "results"
    result = json.loads((results / "best_ckpt_val_coco_prophesee.json").read_text())
    assert [result["protocol"], result["beside"][0]["protocol"]] == ["coco", "prophesee"]


def test_the_network_comes_from_the_checkpoint(
    run: Run, raw_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "-n",
        "e-yolox-s",
        "data_name",
        "synthetic",
        "data_dir",
        str(raw_dataset),
        "--tsize",
        "64",
    ]
    words += ["output_dir", str(run.path.parent)]
    assert (
        evaluation.main(["-c", str(run.best), "-expn", "other", *words, "data_num_workers", "0"])
        == 0
    )
    shown = [line.split()[0] for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert "test_size" in shown
    assert not {"width", "T", "embedding", "use_spike"} & set(shown)


def test_a_typed_network_key_that_does_not_fit_the_weights(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(["-c", str(run.best), "width", "0.25"], capsys, evaluation.main)
    assert message.startswith(f"error: The weights of {run.best} belong to another model: ")


def test_resume_goes_on(run: Run, raw_dataset: Path, tmp_path: Path) -> None:
    words = words_for(raw_dataset, tmp_path, "exp_name", "longer")
    assert train.main(words) == 0
    words[words.index("max_epoch") + 1] = "2"
    assert train.main([*words, "--resume"]) == 0
    checkpoint = torch.load(tmp_path / "longer" / "latest_ckpt.pth", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["step"]) == (2, 0)


def test_resuming_elsewhere_leaves_the_run_that_is_there(
    run: Run, raw_dataset: Path, tmp_path: Path
) -> None:
    words = words_for(raw_dataset, tmp_path, "exp_name", "other")
    assert train.main(words) == 0
    before = (tmp_path / "other" / "latest_ckpt.pth").read_bytes()
    words[words.index("max_epoch") + 1] = "2"
    assert train.main([*words, "--resume", "-c", str(run.path / "latest_ckpt.pth")]) == 0
    assert (tmp_path / "other" / "earlier-1" / "latest_ckpt.pth").read_bytes() == before


def test_a_wrong_option_leaves_the_earlier_run(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of([*run.words, "-l", "tensorbord"], capsys)
    assert message == (
        "error: `--logger` must be one of tensorboard, wandb, but is tensorbord. Did you mean "
        "`tensorboard`?"
    )
    assert error_of([*run.words, "sync_bn", "True"], capsys).startswith(
        "error: `sync_bn` needs GPUs"
    )
    assert run.best.is_file()


def test_speed_is_measured_on_request(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluation.main(["-c", str(run.best), "--speed"]) == 0
    assert "network" in capsys.readouterr().out
    result = json.loads((run.path / "results" / "best_ckpt_val_coco.json").read_text())
    assert set(result["timing"]) == {"input", "network", "detections"}


def test_strata_on_request(
    run: Run, raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run.path / "results"
    assert evaluation.main(["-c", str(run.best), "--strata"]) == 0
    assert "silence is measured from events" in capsys.readouterr().out
    plain = json.loads((results / "best_ckpt_val_coco.json").read_text())
    assert {stratum["quantity"] for stratum in plain["strata"]} == {
        "silence by events (s)",
        "windows since the start",
        "size",
    }

    told = tmp_path / "told"
    shutil.copytree(raw_dataset, told)
    for path in told.rglob("*_bbox.npy"):
        boxes = read_boxes(path)
        with_motion = np.zeros(len(boxes), MOTION_BOX_DTYPE)
        for name in boxes.dtype.names or ():
            with_motion[name] = boxes[name]
        with_motion["speed"][::2], with_motion["still_s"][1::2] = 12.0, 0.01
        with_motion["visible"] = 1.0
        write_boxes(path, with_motion)
    for options in ([], ["--cache", "ram"]):
        words = ["-c", str(run.best), "--strata", *options, "data_dir", str(told)]
        assert evaluation.main(words) == 0
        assert "speed (px/s)" in capsys.readouterr().out
        result = json.loads((results / "best_ckpt_val_coco.json").read_text())
        assert result["ap"] == plain["ap"]
        boxes_of = {(s["quantity"], s["name"]): s["boxes"] for s in result["strata"]}
        assert boxes_of["speed (px/s)", "5 – 20"] > 0
        moving = boxes_of["silence (s)", "moves"]
        assert moving + boxes_of["silence (s)", "0 – 0.5"] == result["given"]["boxes"] == 4
    assert (results / "best_ckpt_val_coco_strata.png").read_bytes().startswith(b"\x89PNG")
    assert evaluation.main(["-c", str(run.best)]) == 0
    assert "strata" not in json.loads((results / "best_ckpt_val_coco.json").read_text())


def test_saved_detections_have_the_score_of_the_evaluation(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "found.json"
    assert evaluation.main(["-c", str(run.best), "--both", "--save-detections", str(found)]) == 0
    expected = json.loads((run.path / "results" / "best_ckpt_val_coco_prophesee.json").read_text())
    about = json.loads((tmp_path / "found_about.json").read_text())
    assert about["checkpoint"] == str(run.best)
    assert (about["split"], about["train_splits"]) == ("val", ["train"])
    assert about["parameters"] > 10_000
    words = [str(tmp_path / "found_ground_truth.json"), str(found), "--protocol", "both"]
    assert score.main([*words, "--json", str(tmp_path / "out.json")]) == 0
    (result,) = json.loads((tmp_path / "out.json").read_text())["results"]
    for name in ("ap", "ar100", "given", "counts"):
        assert result[name] == expected[name]
        assert result["beside"][0][name] == expected["beside"][0][name]
    capsys.readouterr()
    assert evaluation.main(["-c", str(run.best), "--save-detections", str(run.path)]) == 1
    assert (
        capsys.readouterr()
        .err.rstrip()
        .endswith(
            f"{run.path} must be an empty folder, a new one, or a file .json, but exists already. "
            "Choose another name or remove it."
        )
    )


def test_fused_it_finds_the_same(run: Run) -> None:
    path = run.path / "results" / "best_ckpt_val_coco.json"
    results = []
    for options in ([], ["--fuse", "--speed"]):
        assert evaluation.main(["-c", str(run.best), *options]) == 0
        results.append(json.loads(path.read_text()))
    plain, fused = results
    assert set(fused["timing"]) == {"input", "network", "detections"}
    assert fused["given"]["boxes"] == plain["given"]["boxes"] == 4
    assert fused["ap"] == pytest.approx(plain["ap"], abs=0.02)  # rounding may move a spike


def test_an_evaluation_needs_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error_of([], capsys, evaluation.main) == (
        "error: Give a checkpoint (-c FILE), or the experiment (-n or -f) of a run with a "
        "best_ckpt.pth."
    )
    words = ["-n", "e-yolox-s", "output_dir", str(tmp_path)]
    best = tmp_path / "e_yolox_s" / "best_ckpt.pth"
    assert error_of(words, capsys, evaluation.main) == (
        f"error: There is no checkpoint {best}. Give one with -c, or the name of the run with "
        "-expn."
    )


def test_the_untrained_network_is_evaluated_and_kept(raw_dataset: Path, tmp_path: Path) -> None:
    words = words_for(raw_dataset, tmp_path, "exp_name", "from_zero")
    words[words.index("eval_initial") + 1] = "True"
    assert train.main(words) == 0
    run = tmp_path / "from_zero"
    initial = torch.load(run / "initial_ckpt.pth", weights_only=True)
    assert (initial["epoch"], initial["step"]) == (0, 0)
    assert evaluation.main(["-c", str(run / "initial_ckpt.pth")]) == 0
    evaluated = json.loads((run / "results" / "initial_ckpt_val_coco.json").read_text())
    while_training = json.loads((run / "results" / "epoch_0.json").read_text())
    assert {key: evaluated[key] for key in while_training} == while_training


def test_start_weights_may_be_of_another_network(
    run: Run, raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_for(raw_dataset, tmp_path, "embedding", "count", "spike_attach", "False")
    assert train.main(["-c", str(run.best), *words]) == 0
    err = capsys.readouterr().err
    assert f"Not all weights of {run.best} fit this model" in err
    assert ["embedding", "arsnn", "count"] in [line.split() for line in err.splitlines()]


def test_a_seed_is_chosen_told_and_kept(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_for(raw_dataset, tmp_path, "exp_name", "seeded", "seed", "None")
    assert train.main(words) == 0
    checkpoint = torch.load(tmp_path / "seeded" / "best_ckpt.pth", weights_only=True)
    seed = checkpoint["experiment"]["keys"]["seed"]
    assert f"`seed` is {seed}" in capsys.readouterr().err


def test_two_processes(raw_dataset: Path, tmp_path: Path) -> None:
    words = words_for(raw_dataset, tmp_path, pictures=True)
    done = run_tool("train_event.py", ["-d", "2", *words], CHECKOUT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "e_yolox_demo" / "best_ckpt.pth").is_file()
    assert pictures_of(tmp_path / "e_yolox_demo") == {
        f"{what}/val_{time_ms}ms": [2]
        for what in ("detections", "sampler")
        for time_ms in (100, 300, 400)
    }


def pictures_of(run: Path) -> dict[str, list[int]]:
    """Return the steps after which TensorBoard got each picture of a run."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run / "tensorboard")).Reload()
    return {name: [image.step for image in events.Images(name)] for name in events.Tags()["images"]}


def test_samples_are_drawn_at_each_evaluation_without_an_effect_on_the_training(
    raw_dataset: Path, tmp_path: Path
) -> None:
    for name in ("drawn", "plain"):
        words = words_for(
            raw_dataset,
            tmp_path,
            "exp_name",
            name,
            "eval_interval",
            "1",
            pictures=name == "drawn",
        )
        words[words.index("max_epoch") + 1] = "2"
        words[words.index("eval_initial") + 1] = "True"
        assert train.main(words) == 0
    drawn = pictures_of(tmp_path / "drawn")
    assert len(drawn) == 6
    assert all(steps == [0, 2, 4] for steps in drawn.values())
    assert pictures_of(tmp_path / "plain") == {}
    one, other = (
        torch.load(tmp_path / name / "latest_ckpt.pth", weights_only=True)["raw_model"]
        for name in ("drawn", "plain")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_process_with_data_workers_that_fails_ends_the_run(
    raw_dataset: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(raw_dataset, tmp_path / "broken"))
    recording = min((broken / "train").glob("*_td.dat"))
    recording.write_bytes(recording.read_bytes()[:-3])
    words = words_for(broken, tmp_path / "output")
    words[words.index("data_num_workers") + 1] = "1"
    done = run_tool("train_event.py", ["-d", "2", *words], CHECKOUT)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {recording} is cut off")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["T", "3"],
            "Give either the name of an experiment (-n) or an experiment file (-f). The names are "
            "e-yolox-demo, e-yolox-l, e-yolox-m, e-yolox-m-memory, e-yolox-mds, e-yolox-meta, "
            "e-yolox-nano, e-yolox-s, e-yolox-s-memory, e-yolox-tiny.",
        ),
        (
            ["-n", "e-yolox-demo", "embeding", "arsnn"],
            "Unknown key `embeding`. Did you mean `embedding`?",
        ),
        (
            ["-n", "e-yolox-demo", "spike_attach", "yes"],
            "`spike_attach` must be True or False, but is 'yes'.",
        ),
        (["-n", "e-yolox-demo", "Ts", "2"], "`Ts` must be 1 or `T` (3), but is 2."),
        (
            ["-n", "e-yolox-demo", "-b", "0"],
            "`-b`, the samples per step over all processes, must be at least their number (1), but "
            "is 0.",
        ),
        (
            ["-n", "e-yolox-demo", "seed", "9223372036854775808"],
            "`seed` must be None or a whole number ≥ 0 and ≤ 9223372036854775807, but is "
            "'9223372036854775808'.",
        ),
        (
            ["-n", "e-yolox-demo", "--num_machines", "0"],
            "`--num_machines` must be at least 1, but is 0.",
        ),
        (
            ["-n", "e-yolox-demo", "--num_machines", "2", "--dist-url", "tcp://host:abc"],
            "`--dist-url` must be tcp://HOST:PORT of machine 0 for 2 machines, but is "
            "tcp://host:abc.",
        ),
        (
            ["-n", "e-yolox-demo", "-e", "99", "max_epoch", "3"],
            "`-e` must be at least 0 and below `max_epoch` (3), but is 99.",
        ),
        (
            ["-n", "e-yolox-demo", "--resume", "output_dir", "nowhere"],
            "There is no run to --resume: nowhere/e_yolox_demo/latest_ckpt.pth does not exist. "
            "Give the name of the run (-expn) or its checkpoint (-c).",
        ),
        (
            ["-n", "e-yolox-demo", "-expn", "a", "exp_name", "b"],
            "`exp_name` must be given once, but is 'a' and 'b'.",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error_of(words, capsys) == f"error: {message}"


def test_a_missing_dataset_leaves_no_run_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_for(tmp_path / "no_data", tmp_path / "output")
    assert error_of(words, capsys).startswith(f"error: {tmp_path / 'no_data'} is not a folder.")
    assert not (tmp_path / "output").exists()


def test_num_classes_must_be_those_of_the_dataset(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_for(raw_dataset, tmp_path / "output", "num_classes", "3")
    assert error_of(words, capsys).startswith("error: `num_classes` must be 2 (car, pedestrian)")


def test_an_error_in_an_experiment_file_keeps_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("from easnn.exp import EventExp\n\nclass Exp(EventExp):\n    x = undefined\n")
    done = run_tool("train_event.py", ["-f", str(path)], CHECKOUT)
    assert done.returncode == 1
    assert f'File "{path}", line 4' in done.stderr
    assert done.stderr.endswith("NameError: name 'undefined' is not defined\n")


def test_help_keys_prints_the_keys_of_the_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["-n", "e-yolox-s", "--help-keys", "T", "7"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["width", "0.5"] in rows
    assert ["T", "7"] in rows


def test_summary_prints_the_size_of_the_network(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        train.main(["-n", "e-yolox-s", "num_classes", "2", "--summary", "test_size", "32,32"]) == 0
    )
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert (rows[-1][0], f"{int(rows[-1][1]) / 1e6:.2f}") == ("all", "8.94")
    for option, norms in (("--summary", True), ("--fuse", False)):
        assert evaluation.main(["-c", str(run.best), "--summary", option]) == 0
        shown = capsys.readouterr().out
        assert "at 32×64, 3 slices, T 2" in shown
        assert ("BatchNorm2d" in shown) == norms
