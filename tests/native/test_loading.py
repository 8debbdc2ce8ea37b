from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from loguru import logger

from easnn import native
from easnn.native import DECODERS, NativeLibrary, libraries, load

compiler = pytest.mark.skipif(
    shutil.which("c++") is None or not libraries(), reason="no C++ compiler, or not Linux"
)


@compiler
@pytest.mark.parametrize("library", libraries(), ids=lambda library: library.name)
def test_all_libraries_of_this_machine_are_built(library):
    if library is DECODERS or library.name.removeprefix("kernels_") in _flags():
        assert load(library) is not None


def test_a_library_that_is_not_built_is_named(monkeypatch):
    missing = NativeLibrary("missing", ("sources.cpp",))
    monkeypatch.setattr(native, "libraries", lambda: [missing])
    messages: list[str] = []
    sink = logger.add(lambda message: messages.append(message.record["message"]))
    try:
        assert native.load(missing) is None
    finally:
        logger.remove(sink)
    assert messages == [
        "The native library missing.so is not built. Install the package again, with a C++ "
        "compiler, for more speed: pip install -e ."
    ]


@compiler
def test_a_library_of_other_sources_is_not_used(tmp_path):
    """A checkout that was updated without a new build does not call functions that changed."""
    script = (
        "from easnn.native import DECODERS, load, sources\n"
        "from pathlib import Path\n"
        "import sys\n"
        "sources.FOLDER = Path(sys.argv[1])\n"
        "print(load(DECODERS))\n"
    )
    (tmp_path / "other.cpp").write_text("// changed")
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "None\n"
    assert "decoders.so was built from other sources and is not used" in result.stderr
    assert "pip install -e ." in result.stderr


def _flags() -> set[str]:
    words = set(Path("/proc/cpuinfo").read_text().split())
    return {"avx2"} & words | ({"avx512"} if "avx512bw" in words else set())
