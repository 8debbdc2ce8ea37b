from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from easnn.kernels import Kernels, computes_natively, use_kernels
from easnn.kernels.choice import has_matrix_unit, native_library
from easnn.models import ParametricLIF
from easnn.native import KERNELS, VARIABLE

has_native = pytest.mark.skipif(native_library() is None, reason="no native kernels here")


def chosen(
    monkeypatch: pytest.MonkeyPatch, value: str | None, before: str = ""
) -> subprocess.CompletedProcess[str]:
    """Return what a new process with this choice prints, which runs the code ``before``."""
    if value is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, value)
    script = (
        f"{before}\n"
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
    processor = torch.backends.cpu.get_cpu_capability() + (", AMX" if has_matrix_unit() else "")
    assert f"CPU kernels: native ({processor}); decoders of recordings: native." in result.stderr


def test_the_environment_chooses(monkeypatch):
    result = chosen(monkeypatch, "plain")
    assert result.stdout == "plain\n"
    capability = torch.backends.cpu.get_cpu_capability()
    assert f"CPU kernels: plain ({capability}); decoders of recordings: plain." in result.stderr


def test_nobody_misses_native_libraries_who_does_not_want_them(monkeypatch):
    result = chosen(monkeypatch, "plain", elsewhere("/nowhere"))
    assert result.stdout == "plain\n"
    assert len(result.stderr.splitlines()) == 1  # the choice


def test_an_unknown_choice_is_named(monkeypatch):
    result = chosen(monkeypatch, "fast")
    assert result.stdout == "EASNN_KERNELS must be plain or native, but is fast.\n"


def test_native_kernels_that_are_not_there(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")  # torch then treats it as an old processor
    assert chosen(monkeypatch, None).stdout == "plain\n"
    assert chosen(monkeypatch, "native").stdout == (
        "EASNN_KERNELS is native, but there are no native kernels for this machine: they need an "
        "x86-64 processor with AVX2, and Linux.\n"
    )


def elsewhere(folder: Path | str) -> str:
    """Return code that lets libraries be looked for in another folder."""
    return (
        "from easnn import native\nfrom pathlib import Path\n"
        f"native._path = lambda library: Path({str(folder)!r}) / library.file"
    )


AGAIN = "Install easnn again, with a C++ compiler (GCC 11 or newer): pip install -e .\n"


@has_native
def test_native_kernels_that_are_not_built(monkeypatch, tmp_path):
    file = KERNELS[torch.backends.cpu.get_cpu_capability()].file
    assert chosen(monkeypatch, "native", elsewhere(tmp_path)).stdout == (
        f"EASNN_KERNELS is native, but the native library {file} is not built. {AGAIN}"
    )


@has_native
def test_native_kernels_of_other_sources(monkeypatch, tmp_path):
    file = KERNELS[torch.backends.cpu.get_cpu_capability()].file
    (tmp_path / file).write_bytes(b"an older build")
    assert chosen(monkeypatch, "native", elsewhere(tmp_path)).stdout == (
        f"EASNN_KERNELS is native, but the native library {file} was built from other sources or "
        f"with other options. {AGAIN}"
    )


@has_native
def test_native_kernels_that_cannot_be_loaded(monkeypatch, tmp_path):
    library = KERNELS[torch.backends.cpu.get_cpu_capability()]
    path = tmp_path / library.file
    path.write_bytes(library.digest().to_bytes(8, "little"))
    assert chosen(monkeypatch, "native", elsewhere(tmp_path)).stdout == (
        f"EASNN_KERNELS is native, but the native library {library.file} cannot be loaded ({path}: "
        f"file too short). {AGAIN}"
    )


@has_native
def test_native_decoders_belong_to_the_choice(monkeypatch):
    hidden = elsewhere("/nowhere").replace("native._path", "hidden")
    hidden += (
        "\nusual = native._path\n"
        "native._path = lambda library: (hidden if library is native.DECODERS else usual)(library)"
    )
    assert chosen(monkeypatch, "native", hidden).stdout == (
        f"EASNN_KERNELS is native, but the native library decoders.so is not built. {AGAIN}"
    )
    result = chosen(monkeypatch, None, hidden)
    assert result.stdout == "native\n"
    assert "; decoders of recordings: plain." in result.stderr
    assert result.stderr.count("WARNING") == 1
    assert "Native libraries are not used: decoders.so is not built. Every" in result.stderr


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
