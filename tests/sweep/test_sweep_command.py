"""The whole command, with a stand-in for the commands that train and evaluate."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from sweep_case import SweepCase

from easnn.engine import RunDirectory
from easnn.sweep import SweepFolder, read_sweep

TWO_VARIANTS = "seeds = [1, 3]\n[variants.a]\nT = 2\n[variants.b]\nT = 4\n"
WITH_A_FAILURE = TWO_VARIANTS + "[variants.bad]\nT = 5\n"


def test_every_run_is_trained_and_evaluated_with_its_keys(case: SweepCase) -> None:
    case.write("seeds = [1]\nfp16 = true\n[keys]\nwindow = -100\n[variants.a]\nT = 2\n")
    assert case.sweep("max_epoch", "7") == 0
    own = ["output_dir", str(case.output), "exp_name", "a_seed1", "seed", "1"]
    options = ["-n", "e-yolox-demo", "-b", "4", "--fp16"]
    keys = ["window", "-100", "max_epoch", "7", "T", "2", *own]
    checkpoint = str(case.output / "a_seed1" / "best_ckpt.pth")
    assert [call["words"] for call in case.calls()] == [
        ["train", *options, *keys],
        ["eval", *options, "-c", checkpoint, *keys, "eval_split", "test"],
    ]


def test_the_table_has_mean_and_sample_deviation(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write(TWO_VARIANTS)
    assert case.sweep() == 0
    # The stand-in gives AP = 0.1·seed·T: 0.2 and 0.6, mean 0.4, deviation √((0.2² + 0.2²)/1) =
    # 0.283.
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["variant", "seeds", "AP", "AP50", "AP50 of each seed", "training, s"]
    assert cells[2][:5] == ["a", "2", "0.400 ± 0.283", "0.800 ± 0.566", "0.400, 1.200"]
    assert cells[3][:5] == ["b", "2", "0.800 ± 0.566", "1.600 ± 1.131", "0.800, 2.400"]
    assert (case.output / "table.md").read_text().splitlines() == lines
    table = json.loads((case.output / "table.json").read_text())
    assert table["settings"]["seeds"] == [1, 3]
    a = table["variants"][0]
    assert (a["variant"], a["keys"], a["expected"]) == ("a", {"T": "2"}, 2)
    assert [(row["seed"], row["ap"]) for row in a["seeds"]] == [
        (1, pytest.approx(0.2)),
        (3, pytest.approx(0.6)),
    ]
    assert a["ap"] == {"mean": pytest.approx(0.4), "deviation": pytest.approx(0.08**0.5)}


def test_strata_energy_and_differences_to_a_baseline(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = 'strata = true\nenergy_frames = 20\nbaseline = "a"\n'
    case.write(TWO_VARIANTS)
    assert case.sweep() == 0
    case.calls()
    case.write(wanted + TWO_VARIANTS.replace("[1, 3]", "[1, 3, 5]"))
    capsys.readouterr()
    assert case.sweep() == 0
    # What was evaluated without strata is evaluated again, and nothing is trained again.
    assert case.called() == [
        *("eval a_seed1", "energy a_seed1", "eval b_seed1", "energy b_seed1"),
        *("eval a_seed3", "energy a_seed3", "eval b_seed3", "energy b_seed3"),
        *("train a_seed5", "eval a_seed5", "energy a_seed5"),
        *("train b_seed5", "eval b_seed5", "energy b_seed5"),
    ]
    main, differences, speed, size = capsys.readouterr().out.split("\n\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in main.splitlines()]
    assert cells[0][5:] == ["mJ per frame", "training, s"]
    assert [row[5] for row in cells[2:]] == ["2.000 ± 0.000", "4.000 ± 0.000"]
    # AP of a: 0.2, 0.6, 1.0; of b twice as much. Differences 0.2, 0.6, 1.0: mean 0.6, standard
    # error 0.231, t 2.598, t(0.975; 2) = 4.303.
    row = [cell.strip() for cell in differences.splitlines()[2].strip("|").split("|")]
    assert row[:5] == ["b", "3", "+0.600", "-0.394 … +1.594", "0.122"]
    assert "AP by speed (px/s)" in speed
    assert speed.splitlines()[2].split("|")[2:4] == [" 0.300 ± 0.200 ", " 0.600 ± 0.400 "]
    assert size.rstrip().endswith("– |")
    table = json.loads((case.output / "table.json").read_text())
    assert table["variants"][0]["difference"] is None
    assert table["variants"][1]["difference"]["ap"]["p"] == pytest.approx(0.1217, abs=1e-3)
    assert table["variants"][1]["strata"][0]["ap"]["mean"] == pytest.approx(0.6)
    assert case.sweep() == 0
    assert case.called() == []


def test_a_run_that_fails_does_not_stop_the_others(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write(WITH_A_FAILURE)
    assert case.sweep("-d", "2") == 1
    printed = capsys.readouterr()
    assert "| bad       |  0 of 2 |" in printed.out
    for seed in (1, 3):
        assert (
            f"bad_seed{seed}: training failed with exit code 1: error: the loss is not finite "
            f"(see {case.output}/logs/bad_seed{seed}.log)" in printed.err
        )
    assert printed.err.splitlines()[-1] == "error: 2 of 6 runs failed."
    called = case.called()
    assert sorted(called) == sorted(
        [
            f"{step} {name}_seed{seed}"
            for step in ("train", "eval")
            for name in "ab"
            for seed in (1, 3)
        ]
        + ["train bad_seed1", "train bad_seed3"]
    )


def test_an_evaluation_that_leaves_no_result_is_a_failure(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write(
        "seeds = [1]\n[keys]\neval_proph = true\n"
    )  # the stand-in writes that of the COCO protocol
    assert case.sweep() == 1
    result = case.output / "e_yolox_demo_seed1" / "results" / "best_ckpt_test_prophesee.json"
    assert f"evaluation ended with exit code 0, but without {result}" in capsys.readouterr().err


def test_runs_that_are_done_are_skipped_and_failed_ones_repeated(case: SweepCase) -> None:
    case.write(WITH_A_FAILURE)
    case.sweep()
    case.calls()
    assert case.sweep() == 1
    assert case.called() == ["train bad_seed1", "train bad_seed3"]
    case.write(TWO_VARIANTS.replace("[1, 3]", "[1, 2, 3]"))
    assert case.sweep() == 0
    assert case.called() == ["train a_seed2", "eval a_seed2", "train b_seed2", "eval b_seed2"]


def test_another_split_or_checkpoint_takes_another_evaluation_only(case: SweepCase) -> None:
    case.write("seeds = [1]\n")
    case.sweep()
    case.calls()
    case.write('seeds = [1]\nsplit = "val"\ncheckpoint = "latest"\n')
    assert case.sweep() == 0
    assert case.called() == ["eval e_yolox_demo_seed1"]
    assert (case.output / "e_yolox_demo_seed1" / "results" / "latest_ckpt_val_coco.json").is_file()


def test_changed_settings_are_not_mixed(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write(TWO_VARIANTS)
    case.sweep()
    case.calls()
    capsys.readouterr()
    case.write(TWO_VARIANTS.replace("T = 4", "T = 8"))
    assert case.sweep() == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: 2 runs in {case.output} were made with other settings, e.g. b_seed1: T was 4, is "
        "8. Repeat them with --redo-changed, or choose another folder (--output)."
    )
    assert case.called() == []

    assert case.sweep("--table") == 0
    printed = capsys.readouterr()
    assert "| b         |  0 of 2 |" in printed.out
    assert (
        "Not in the table, because they were made with other settings: b_seed1, b_seed3"
        in printed.err
    )

    assert case.sweep("--redo-changed") == 0
    assert case.called() == [
        f"{step} b_seed{seed}" for seed in (1, 3) for step in ("train", "eval")
    ]
    assert (case.output / "b_seed1" / "earlier-1" / "best_ckpt.pth").is_file()


def test_a_key_that_a_later_version_added_changes_nothing(case: SweepCase) -> None:
    case.write("seeds = [1]\n")
    case.sweep()
    case.calls()
    path = case.output / "records" / "e_yolox_demo_seed1.json"
    record = json.loads(path.read_text())
    del record["definition"]["keys"]["speed_aug"]
    path.write_text(json.dumps(record))
    assert case.sweep() == 0
    assert case.called() == []
    case.write("seeds = [1]\n[keys]\nspeed_aug = true\n")
    assert case.sweep() == 1


def test_keys_of_the_output_may_change(case: SweepCase) -> None:
    case.write("seeds = [1]\n")
    case.sweep()
    case.calls()
    case.write("seeds = [1]\n[keys]\nprint_interval = 7\n")
    assert case.sweep() == 0
    assert case.called() == []


def test_a_record_of_an_earlier_version(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write("seeds = [1]\n[keys]\nT = 2\ninput_size = [64, 96]\n")
    case.sweep()
    case.calls()
    path = case.output / "records" / "e_yolox_demo_seed1.json"
    keys = json.loads(path.read_text())["definition"]["keys"]
    assert (keys["T"], keys["input_size"], keys["seed"], keys["use_spike"]) == (
        2,
        [64, 96],
        1,
        "True",
    )
    definition = {"exp_file": None, "batch_size": 4, "fp16": False, "keys": keys}
    path.write_text(json.dumps({"definition": definition, "trained": True, "train_s": 1234.4}))
    capsys.readouterr()
    assert case.sweep() == 0
    assert case.called() == []
    assert capsys.readouterr().out.splitlines()[2].endswith(" 1234 |")


def test_a_record_that_cannot_be_written_fails_its_run_only(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write(TWO_VARIANTS)
    (case.output / "records" / "a_seed1.json").mkdir(parents=True)
    assert case.sweep() == 1
    assert f"a_seed1: Cannot remove {case.output}/records/a_seed1.json: " in capsys.readouterr().err
    assert case.called()[:2] == ["train b_seed1", "eval b_seed1"]


def test_files_without_a_record_are_set_aside(case: SweepCase) -> None:
    case.write("seeds = [1]\n")
    stray = case.output / "e_yolox_demo_seed1"
    RunDirectory(stray).mark()
    (stray / "latest_ckpt.pth").touch()
    assert case.sweep() == 0
    assert case.called() == [
        "train e_yolox_demo_seed1",
        "eval e_yolox_demo_seed1",
    ]  # without --resume
    assert (stray / "earlier-1" / "latest_ckpt.pth").is_file()


def test_a_folder_that_is_no_run_is_left_alone(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write(TWO_VARIANTS)
    (case.output / "a_seed1" / "train").mkdir(parents=True)
    assert case.sweep() == 1
    assert (
        f"a_seed1: {case.output}/a_seed1 cannot be the directory of this run: it holds train, "
        "which no run of easnn wrote."
    ) in capsys.readouterr().err
    assert [entry.name for entry in (case.output / "a_seed1").iterdir()] == ["train"]
    assert case.called()[:2] == ["train b_seed1", "eval b_seed1"]


def test_the_cores_are_divided(case: SweepCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("easnn.sweep.runner.available_cores", lambda: 9)
    case.write(TWO_VARIANTS)
    case.sweep("-d", "4")
    assert {call["threads"] for call in case.calls()} == {"2"}


def test_one_sweep_at_a_time_in_a_folder(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write(TWO_VARIANTS)
    with SweepFolder(case.output, read_sweep(case.file)).locked():
        assert case.sweep() == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: Another sweep, or a run that it left behind, is active in {case.output}. Wait "
        "until it ends, stop it, or choose another folder (--output)."
    )
    assert case.calls() == []


def test_a_table_of_nothing(case: SweepCase, capsys: pytest.CaptureFixture[str]) -> None:
    case.write(TWO_VARIANTS)
    assert case.sweep("--table") == 1
    assert capsys.readouterr().err == (
        f"error: There are no runs in {case.output}: it does not exist (--output).\n"
    )
    assert not case.output.exists()


@pytest.mark.parametrize("devices", ["0", "-1"])
def test_too_few_devices(case: SweepCase, capsys: pytest.CaptureFixture[str], devices: str) -> None:
    case.write(TWO_VARIANTS)
    assert case.sweep("-d", devices) == 1
    assert capsys.readouterr().err == f"error: `-d` must be at least 1, but is {devices}.\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_after_a_signal_the_runs_save_their_state(case: SweepCase, number: int, code: int) -> None:
    case.write("seeds = [1, 2, 3]\n[keys]\nT = 6\n")
    active = ("e_yolox_demo_seed1", "e_yolox_demo_seed2")
    sweep = case.start("-d", "2", active=active)
    sweep.send_signal(number)
    _, error = sweep.communicate(timeout=60)
    assert sweep.returncode == code, error
    assert "2 runs save their state and stop; the same command resumes them." in error
    assert sorted(case.called()) == [f"train {run}" for run in active]

    assert case.sweep("--table") == 0
    case.write("seeds = [1, 2]\n[keys]\nT = 6\n")
    assert case.sweep() == 0
    assert case.called() == [
        call for run in active for call in (f"train {run} --resume", f"eval {run}")
    ]


def test_a_second_signal_kills_the_runs(case: SweepCase) -> None:
    case.write("seeds = [1, 2]\n[keys]\nT = 7\n")
    sweep = case.start(active=("e_yolox_demo_seed1",))
    assert sweep.stderr is not None
    sweep.send_signal(signal.SIGTERM)
    while "1 runs save their state" not in (line := sweep.stderr.readline()):
        assert line, "the sweep ended"
    assert sweep.poll() is None
    sweep.send_signal(signal.SIGINT)
    _, error = sweep.communicate(timeout=60)
    assert sweep.returncode == 143
    assert "Killing 1 runs." in error
    assert case.called() == ["train e_yolox_demo_seed1"]


def test_a_run_that_outlives_its_sweep_holds_the_lock(
    case: SweepCase, capsys: pytest.CaptureFixture[str]
) -> None:
    case.write("seeds = [1]\n[keys]\nT = 6\n")
    sweep = case.start(active=("e_yolox_demo_seed1",))
    sweep.kill()
    sweep.communicate()
    assert case.sweep() == 1
    assert "is active in" in capsys.readouterr().err
    os.kill(int((case.output / "e_yolox_demo_seed1" / "waits").read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 60
    while case.sweep() == 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert case.called()[-2:] == ["train e_yolox_demo_seed1 --resume", "eval e_yolox_demo_seed1"]


def test_what_a_killed_sweep_left_unfinished_is_removed(case: SweepCase) -> None:
    case.write("seeds = [1]\n")
    left = [case.output / "records" / ".x.json.abcd1234", case.output / ".table.md.abcd1234"]
    left[0].parent.mkdir(parents=True)
    for path in left:
        path.touch()
        os.utime(path, (0, 0))
    assert case.sweep() == 0
    assert [path for path in left if path.exists()] == []
