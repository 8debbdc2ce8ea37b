"""Which precision a device has, and what the commands make of it."""

import argparse

import pytest
import torch
from loguru import logger

from easnn.cli.tasks.experiment import set_precision
from easnn.exp import EventExp
from easnn.utils.errors import ConfigError
from easnn.utils.options import PRECISIONS, PrecisionName
from easnn.utils.precision import DTYPES, Precision, check_precision, mixed_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
NO_FP16 = r"^`precision fp16` needs a GPU, but this process uses the CPU. Use bf16 or exact.$"


def chosen(
    *words: str, fp16: bool = False, file: PrecisionName = "exact", recorded: bool = False
) -> PrecisionName:
    """Return what a command computes in on a CPU, for an experiment with a precision."""
    experiment = EventExp()
    experiment.precision = file
    experiment.merge(words)
    options = argparse.Namespace(fp16=fp16, pairs=list(words))
    set_precision(options, experiment, CPU, recorded=recorded)
    return experiment.precision


@pytest.mark.parametrize("name", ["exact", "bf16"])
def test_convolutions_compute_in_the_type_of_the_precision(name: PrecisionName) -> None:
    with Precision(CPU, name).autocast():
        outputs = torch.conv2d(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 1, 1))
    assert outputs.dtype == DTYPES[name]
    assert not Precision(CPU, name).scaler.is_enabled()


def test_the_default_is_float32() -> None:
    assert (PRECISIONS[0], EventExp().precision, chosen()) == ("exact", "exact", "exact")


def test_fp16_is_the_mixed_precision_of_the_device() -> None:
    assert (mixed_precision(CPU), mixed_precision(CUDA)) == ("bf16", "fp16")
    assert chosen(fp16=True) == chosen("precision", "bf16", fp16=True) == "bf16"
    assert chosen(fp16=True, file="fp16") == "bf16"  # a file made for a GPU


def test_float16_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match=NO_FP16):
        check_precision("fp16", CPU)
    for recorded in (False, True):
        with pytest.raises(ConfigError, match=NO_FP16):
            chosen("precision", "fp16", recorded=recorded)
    with pytest.raises(ConfigError, match=NO_FP16):
        chosen(file="fp16")


def test_a_network_of_another_device_is_evaluated_in_float32() -> None:
    messages: list[str] = []
    handler = logger.add(messages.append, format="{message}")
    try:
        assert chosen(file="bf16", recorded=True) == "bf16"
        assert not messages
        assert chosen(file="fp16", recorded=True) == "exact"
    finally:
        logger.remove(handler)
    assert messages == [
        "The network was trained with `precision fp16`, which a CPU does not have: it computes "
        "with `precision exact`.\n"
    ]


def test_the_command_line_must_not_contradict_itself() -> None:
    with pytest.raises(ConfigError, match=r"^`--fp16` is `precision bf16` on this device, but"):
        chosen("precision", "exact", fp16=True)


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bfloat16_needs_a_newer_gpu(
    capability: tuple[int, int], has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    if has:
        check_precision("bf16", CUDA)
        return
    with pytest.raises(ConfigError, match=r"needs a GPU with bfloat16, but Tesla T4 has none"):
        check_precision("bf16", CUDA)
