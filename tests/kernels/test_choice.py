from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from easnn.kernels import Kernels, computes_natively, use_kernels
from easnn.kernels.choice import VARIABLE, native_library
from easnn.models import ParametricLIF

has_native = pytest.mark.skipif(native_library() is None, reason="no native kernels here")


def chosen(monkeypatch: pytest.MonkeyPatch, value: str | None) -> subprocess.CompletedProcess[str]:
    """Return what a new process with this choice prints."""
    if value is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, value)
    script = (
        "from easnn.kernels import default_kernels\n"
        "from easnn.utils.errors import ConfigError\n"
        "try:\n    print(default_kernels().value)\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )


@has_native
def test_native_kernels_are_the_default(monkeypatch):
    result = chosen(monkeypatch, None)
    assert result.stdout == "native\n"
    assert "CPU kernels: native (" in result.stderr


def test_the_environment_chooses(monkeypatch):
    assert chosen(monkeypatch, "plain").stdout == "plain\n"


def test_an_unknown_choice_is_named(monkeypatch):
    result = chosen(monkeypatch, "fast")
    assert result.stdout == "EASNN_KERNELS must be plain or native, but is fast.\n"


def test_native_kernels_that_are_not_there(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")  # torch then treats it as an old processor
    assert chosen(monkeypatch, None).stdout == "plain\n"
    assert chosen(monkeypatch, "native").stdout == (
        "EASNN_KERNELS is native, but there are no native kernels for this machine: they need an "
        "x86-64 processor with AVX2, Linux, and a C++ compiler when easnn is installed.\n"
    )


def test_use_kernels_sets_every_part_of_a_model():
    model = torch.nn.Sequential(ParametricLIF(2, "atan", 2.0), ParametricLIF(2, "rect", 2.0))
    other = copy.deepcopy(model)
    use_kernels(other, Kernels.PLAIN)
    assert all(layer.kernels is Kernels.PLAIN for layer in other)
    assert all(layer.kernels is model[0].kernels for layer in model)


def test_what_is_not_computed_natively():
    assert not computes_natively(Kernels.PLAIN, torch.zeros(1))
    assert not computes_natively(Kernels.NATIVE, torch.zeros(1, dtype=torch.float16))
    assert not computes_natively(Kernels.NATIVE, torch.zeros(0))
    assert not computes_natively(Kernels.NATIVE, torch.zeros(1, device="meta"))
    with FakeTensorMode():
        assert not computes_natively(Kernels.NATIVE, torch.zeros(1))
