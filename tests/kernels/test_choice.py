from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from loguru import logger
from torch._subclasses.fake_tensor import FakeTensorMode

from easnn import native
from easnn.kernels import Kernels, computes_natively, default_kernels, use_kernels
from easnn.kernels.choice import has_matrix_unit, native_library
from easnn.models import ParametricLIF
from easnn.native import DECODERS, KERNELS, VARIABLE, NativeLibrary
from easnn.utils.errors import ConfigError

has_native = pytest.mark.skipif(native_library() is None, reason="no native kernels here")

LOADED_ONCE = (native._open, native.load, native_library, has_matrix_unit, default_kernels)
"""What a process finds out once."""


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is logged; the process is as if it had just started."""
    monkeypatch.setenv(native.WARNED, "")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    messages: list[str] = []
    sink = logger.add(lambda text: messages.append(text.rstrip()), format="{level} {message}")
    for function in LOADED_ONCE:
        function.cache_clear()
    yield messages
    for function in LOADED_ONCE:
        function.cache_clear()
    logger.remove(sink)


def chosen(monkeypatch: pytest.MonkeyPatch, value: str) -> str:
    """Return what this choice of the environment results in."""
    monkeypatch.setenv(VARIABLE, value)
    try:
        return default_kernels().value
    except ConfigError as error:
        return str(error)


@has_native
def test_native_kernels_are_the_default():
    """In a new process, where nothing has loaded a library."""
    script = "from easnn.kernels import default_kernels; print(default_kernels().value)"
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout == "native\n"
    processor = torch.backends.cpu.get_cpu_capability() + (", AMX" if has_matrix_unit() else "")
    assert f"CPU kernels: native ({processor}); decoders of recordings: native." in result.stderr


def test_the_environment_chooses(monkeypatch, log):
    assert chosen(monkeypatch, "plain") == "plain"
    capability = torch.backends.cpu.get_cpu_capability()
    assert log == [f"INFO CPU kernels: plain ({capability}); decoders of recordings: plain."]


@has_native
def test_an_empty_choice_is_none(monkeypatch, log):
    assert chosen(monkeypatch, "") == "native"
    assert len(log) == 1


def test_nobody_misses_native_libraries_who_does_not_want_them(monkeypatch, log):
    look_in(monkeypatch, "/nowhere")
    assert chosen(monkeypatch, "plain") == "plain"
    assert len(log) == 1  # the choice


def test_an_unknown_choice_is_named(monkeypatch, log):
    assert chosen(monkeypatch, "fast") == "EASNN_KERNELS must be plain or native, but is fast."


@pytest.mark.parametrize(
    ("choice", "result"),
    [
        ("", "plain"),
        (
            "native",
            "EASNN_KERNELS is native, but there are no native kernels for this machine: they need "
            "an x86-64 processor with AVX2, and Linux.",
        ),
    ],
)
def test_native_kernels_that_are_not_there(monkeypatch, log, choice, result):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT")
    assert chosen(monkeypatch, choice) == result


def look_in(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path | str,
    which: Callable[[NativeLibrary], bool] = lambda library: True,
) -> None:
    """Let libraries be looked for in another folder."""
    usual = native._path
    monkeypatch.setattr(
        native,
        "_path",
        lambda library: Path(folder) / library.file if which(library) else usual(library),
    )


AGAIN = "Install easnn again, with a C++ compiler (GCC 11 or newer): pip install -e ."


@has_native
def test_native_kernels_that_are_not_built(monkeypatch, log, tmp_path):
    file = KERNELS[torch.backends.cpu.get_cpu_capability()].file
    look_in(monkeypatch, tmp_path)
    assert chosen(monkeypatch, "native") == (
        f"EASNN_KERNELS is native, but the native library {file} is not built. {AGAIN}"
    )


@has_native
def test_native_kernels_of_other_sources(monkeypatch, log, tmp_path):
    file = KERNELS[torch.backends.cpu.get_cpu_capability()].file
    (tmp_path / file).write_bytes(b"an older build")
    look_in(monkeypatch, tmp_path)
    assert chosen(monkeypatch, "native") == (
        f"EASNN_KERNELS is native, but the native library {file} was built from other sources or "
        f"with other options. {AGAIN}"
    )


@has_native
def test_native_kernels_that_cannot_be_loaded(monkeypatch, log, tmp_path):
    library = KERNELS[torch.backends.cpu.get_cpu_capability()]
    path = tmp_path / library.file
    path.write_bytes(library.digest().to_bytes(8, "little"))
    look_in(monkeypatch, tmp_path)
    assert chosen(monkeypatch, "native") == (
        f"EASNN_KERNELS is native, but the native library {library.file} cannot be loaded ({path}: "
        f"file too short). {AGAIN}"
    )


@has_native
def test_native_decoders_belong_to_the_choice(monkeypatch, log):
    look_in(monkeypatch, "/nowhere", lambda library: library is DECODERS)
    assert chosen(monkeypatch, "native") == (
        f"EASNN_KERNELS is native, but the native library decoders.so is not built. {AGAIN}"
    )
    assert log == []
    assert chosen(monkeypatch, "") == "native"
    warning, choice = log
    assert choice.endswith("; decoders of recordings: plain.")
    assert warning.startswith(
        "WARNING Native libraries are not used: decoders.so is not built. Every"
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
