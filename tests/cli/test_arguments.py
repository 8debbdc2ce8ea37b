from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from easnn.cli import eval as evaluation
from easnn.cli import train
from easnn.cli.arguments import exit_code_of, parse
from easnn.cli.main import COMMANDS
from easnn.cli.tasks.experiment import named_experiment, run_directory_path
from easnn.models import SpikeMode

TRAIN_GEN1 = (
    "-n e-yolox-s -d 4 -b {batch} -expn NAME max_epoch 30 data_num_workers 4 T 3 eval_interval 10 "
    "embedding arsnn basic_lr_per_img {lr} seed 80 data_name gen1 data_dir DIR num_classes 2 "
    "scheduler fixed spike_attach True thresh 1 readout sum embedding_depth 2 embedding_ksize 5 "
    "write_zero True use_spike {spike} spike_fn atan"
)
TRAIN_NCALTECH = (
    "-n e-yolox-m -d 4 -b 32 -expn NAME max_epoch 60 data_num_workers 2 eval_interval 10 embedding "
    "arsnn basic_lr_per_img 0.000009375 seed 80 data_dir DIR no_aug_epochs 0 Tm 4 T 3 scheduler "
    "fixed spike_attach True write_zero True readout sum use_spike full_spike_v2 window 0 spike_fn "
    "atan alpha 1.5"
)
TRAIN_MEGAPIXEL = (
    "-n e-yolox-m -d 8 -b 108 -expn NAME --fp16 max_epoch 30 data_num_workers 4 Tl 4 T 3 "
    "eval_interval 10 embedding arsnn basic_lr_per_img 0.0000092592593 seed 80 data_name gen4 "
    "data_dir DIR num_classes 3 scheduler fixed spike_attach True thresh 1 readout sum "
    "embedding_depth 2 embedding_ksize 5 write_zero True spike_fn atan aggregation event_sum "
    "use_spike True"
)
EVAL_GEN1 = (
    "-n e-yolox-m -d 4 -b 36 -c ckpt.pth --conf 0.001 --eval_proh data_num_workers 4 embedding "
    "arsnn seed 80 data_name gen1 data_dir DIR num_classes 2 Tm 4 T 3 use_spike full_spike "
    "spike_fn atan"
)


def parse_train(line: str) -> argparse.Namespace:
    return parse(train.make_parser(), line.split())


def parse_eval(line: str) -> argparse.Namespace:
    return parse(evaluation.make_parser(), line.split())


@pytest.mark.parametrize(
    ("batch", "lr", "spike", "mode"),
    [
        (64, 0.000015625, "True", SpikeMode.BACKBONE),
        (58, 0.00001724, "full_spike", SpikeMode.FULL),
        (54, 0.00001851, "full_spike_v2", SpikeMode.FULL_V2),
    ],
)
def test_published_gen1_training_commands(
    batch: int, lr: float, spike: str, mode: SpikeMode
) -> None:
    options = parse_train(TRAIN_GEN1.format(batch=batch, lr=f"{lr:.9f}", spike=spike))
    assert (options.name, options.devices, options.batch_size) == ("e-yolox-s", 4, batch)
    experiment = named_experiment(options)
    experiment.validate()
    assert experiment.exp_name == "NAME"
    assert experiment.use_spike is mode
    assert experiment.basic_lr_per_img == pytest.approx(lr)
    assert (experiment.depth, experiment.max_epoch, experiment.T, experiment.embedding_ksize) == (
        0.33,
        30,
        3,
        5,
    )


@pytest.mark.parametrize("line", [TRAIN_NCALTECH, TRAIN_MEGAPIXEL])
def test_other_published_training_commands(line: str) -> None:
    named_experiment(parse_train(line)).validate()


def test_published_evaluation_command() -> None:
    options = parse_eval(EVAL_GEN1)
    assert (options.ckpt, options.batch_size, options.devices) == (Path("ckpt.pth"), 36, 4)
    experiment = named_experiment(options)
    experiment.validate()
    assert (experiment.test_conf, experiment.eval_proph, experiment.eval_split) == (
        0.001,
        True,
        "val",
    )


def test_options_of_evaluation_are_keys() -> None:
    line = "-n e-yolox-s -c x --conf 0.1 --nms 0.5 --tsize 320 --seed 3 --test --eval_proh"
    experiment = named_experiment(parse_eval(line))
    assert (experiment.test_conf, experiment.nmsthre, experiment.test_size) == (
        0.1,
        0.5,
        (320, 320),
    )
    assert (experiment.seed, experiment.eval_split, experiment.eval_proph) == (3, "test", True)


def test_the_published_protocol_is_a_preset() -> None:
    for parse_line in (parse_train, parse_eval):
        experiment = named_experiment(parse_line("-n e-yolox-s --published_protocol T 3"))
        assert (experiment.train_splits, experiment.eval_split, experiment.T) == (
            ("train", "val"),
            "test",
            3,
        )


def test_tsize_may_be_a_pair() -> None:
    assert named_experiment(parse_eval("-n e-yolox-s --tsize 256,320")).test_size == (256, 320)


def test_options_and_keys_may_alternate() -> None:
    options = parse_train("T 3 -b 8 window -100 --fp16 emb_lr -1e-3 -expn NAME Tm 5 -d 2")
    assert options.pairs == [
        "T",
        "3",
        "window",
        "-100",
        "emb_lr",
        "-1e-3",
        "exp_name",
        "NAME",
        "Tm",
        "5",
    ]
    assert (options.batch_size, options.devices, options.fp16) == (8, 2, True)


def test_defaults() -> None:
    options = parse_train("")
    assert options.pairs == []
    assert (options.batch_size, options.devices, options.logger, options.resume) == (
        64,
        None,
        "tensorboard",
        False,
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--bogus 3", "unrecognized arguments: --bogus"),
        ("T 3 --bogus", "unrecognized arguments: --bogus"),
        ("-b many", "argument -b/--batch-size: invalid int value: 'many'"),
        ("--resum", "unrecognized arguments: --resum"),
    ],
)
def test_wrong_options_exit_with_2(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_train(line)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_interrupt_key_ends_a_command_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert exit_code_of(interrupted, if_interrupted="Repeat the command.") == 130
    assert capsys.readouterr().err == "Interrupted. Repeat the command.\n"


def test_an_output_that_is_not_read_is_no_error() -> None:
    code = (
        "import sys\nfrom easnn.cli.arguments import exit_code_of\n"
        "sys.stdin.readline()\nsys.exit(exit_code_of(lambda: print('x' * 10**6)))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_broken_pipe_elsewhere_is_a_bug() -> None:
    def broken() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        exit_code_of(broken)


PATHS = {"FILE", "DIR", "CSV", "INPUT", "OUTPUT", "RECORDING"}
PARSED = [name for name in COMMANDS if name not in ("quickstart", "keys")]


@pytest.mark.parametrize("name", PARSED)
def test_every_option_that_names_a_file_knows_the_home_folder(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    parser = importlib.import_module(COMMANDS[name].module).make_parser()
    paths = [action for action in parser._actions if action.metavar in PATHS]
    assert paths
    for action in paths:
        assert action.type("~/a b.pth") == Path("/home/me/a b.pth"), action.dest


def test_the_home_folder_in_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell does not expand it after ``=`` or in quotes, and nobody does in a file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert evaluation.main(["--ckpt=~/a.pth"]) == 1
    assert capsys.readouterr().err == (
        f"error: Checkpoint {tmp_path / 'a.pth'} does not exist. Check the path given with -c.\n"
    )
    (tmp_path / "mine.py").write_text(
        "from easnn.exp import EventExp\n\n\nclass Exp(EventExp):\n"
        "    def __init__(self) -> None:\n        super().__init__()\n"
        "        self.data_dir = '~/gen1'\n"
    )
    options = parse(train.make_parser(), ["-f", "~/mine.py", "output_dir", "~/runs"])
    experiment = named_experiment(options)
    assert experiment.data_root() == tmp_path / "gen1"
    assert run_directory_path(experiment) == tmp_path / "runs" / "mine"


@pytest.mark.parametrize("word", ["--local-rank=3", "--local_rank=3"])
@pytest.mark.parametrize("module", [train, evaluation])
def test_the_local_rank_of_a_launcher(word: str, module: ModuleType) -> None:
    options = parse(module.make_parser(), [word, "-n", "e-yolox-s", "T", "3"])
    assert (options.local_rank, options.name, options.pairs) == (3, "e-yolox-s", ["T", "3"])
    assert "local" not in module.make_parser().format_help()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), ""),
        (
            MemoryError("Unable to allocate 8.00 EiB for an array."),
            ": Unable to allocate 8.00 EiB for an array",
        ),
        (torch.OutOfMemoryError("CUDA out of memory.\nMore."), ": CUDA out of memory"),
    ],
)
def test_lack_of_memory_is_told_in_one_line(
    error: Exception, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_large() -> None:
        raise error

    assert exit_code_of(too_large) == 1
    assert capsys.readouterr().err == (
        f"error: The memory does not suffice{reason}. End other programs, or make the work "
        "smaller: in a training, with a smaller batch (-b), --fp16, fewer `data_num_workers` or "
        "`activation_checkpointing True`.\n"
    )


def test_lack_of_memory_of_torch_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(lambda: torch.empty(2**60, dtype=torch.uint8)) == 1
    assert capsys.readouterr().err.startswith("error: The memory does not suffice: ")
