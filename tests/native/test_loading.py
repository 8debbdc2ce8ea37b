from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from easnn import native
from easnn.native import DECODERS, NativeLibrary, libraries, load, problem

ROOT = Path(__file__).resolve().parents[2]
SLOWER = (
    "Everything works without them, but DAT and RAW files are read 4 to 14 times more slowly and "
    "networks take about 1.5 times as long on a CPU. "
)
AGAIN = "Install easnn again, with a C++ compiler (GCC 11 or newer): pip install -e ."

compiler = pytest.mark.skipif(
    shutil.which("c++") is None or not libraries(), reason="no C++ compiler, or not Linux"
)


@compiler
@pytest.mark.parametrize("library", libraries(), ids=lambda library: library.name)
def test_all_libraries_of_this_machine_are_built(library):
    if library is DECODERS or library.name.removeprefix("kernels_") in _flags():
        assert load(library) is not None


@pytest.fixture
def warnings(monkeypatch) -> Iterator[list[str]]:
    """Messages of this process, as if it were the first one of a run."""
    monkeypatch.setenv(native.WARNED, "")
    messages: list[str] = []
    sink = logger.add(lambda message: messages.append(message.record["message"]), level="WARNING")
    yield messages
    logger.remove(sink)


def test_a_warning_names_all_libraries_once(monkeypatch, warnings, tmp_path):
    all_of_them = [DECODERS, *native.KERNELS.values()]
    monkeypatch.setattr(native, "libraries", lambda: all_of_them)
    monkeypatch.setattr(native, "_path", lambda library: tmp_path / library.file)
    native._open.cache_clear()
    native.load.cache_clear()
    try:
        assert [load(library) for library in all_of_them] == [None, None, None]
        assert problem(DECODERS) == "is not built"
    finally:
        native._open.cache_clear()
        native.load.cache_clear()
    assert warnings == [
        "Native libraries are not used: decoders.so is not built, kernels_avx2.so is not built, "
        f"kernels_avx512.so is not built. {SLOWER}{AGAIN}"
    ]


def test_a_library_for_another_machine_is_no_problem(monkeypatch, warnings):
    monkeypatch.setattr(native, "libraries", list)
    other = NativeLibrary("other", ("sources.cpp",))
    assert load(other) is None
    assert problem(other) == "cannot be built for this machine"
    assert warnings == []


def test_only_the_first_rank_of_a_machine_warns(monkeypatch, warnings):
    missing = NativeLibrary("missing_on_rank_1", ("sources.cpp",))
    monkeypatch.setattr(native, "libraries", lambda: [missing])
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert load(missing) is None
    assert warnings == []


STALE = """
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from easnn.native import DECODERS, KERNELS, load, sources

sources.FOLDER = Path(sys.argv[1])
print(load(DECODERS), *map(load, KERNELS.values()), flush=True)
if len(sys.argv) == 2:
    subprocess.run([sys.executable, __file__, sys.argv[1], "again"], check=True)
"""


@compiler
def test_libraries_of_other_sources_are_not_used(monkeypatch, tmp_path):
    """A checkout that was updated without a new build does not call functions that changed.

    The process and the one that it starts warn once.
    """
    monkeypatch.delenv(native.WARNED, raising=False)
    script = tmp_path / "script.py"
    script.write_text(STALE)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "other.cpp").write_text("// changed")
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "src")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "None None None\n" * 2
    assert len(result.stderr.splitlines()) == 1
    listed = ", ".join(
        f"{library.file} was built from other sources or with other options"
        for library in libraries()
    )
    assert f"Native libraries are not used: {listed}. Everything works without" in result.stderr
    assert result.stderr.endswith(f"{AGAIN}\n")


def test_the_digest_covers_sources_and_options(monkeypatch, tmp_path):
    library = NativeLibrary("library", ("a.cpp",), ("-O2",))
    before = library.digest()
    assert NativeLibrary("library", ("a.cpp",), ("-O3",)).digest() != before
    assert NativeLibrary("library", ("b.cpp",), ("-O2",)).digest() != before
    assert library.digest() == before
    monkeypatch.setattr(native.sources, "FOLDER", tmp_path)
    assert library.digest() != before


def test_libraries_are_built_again_if_a_source_or_an_option_changes():
    script = (
        "from distutils.core import run_setup\n"
        "for extension in run_setup('setup.py', stop_after='init').ext_modules:\n"
        "    print(*sorted(extension.depends))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", f"import setuptools\n{script}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    files = ["easnn/native/sources.py", *(ROOT / "easnn/native/src").iterdir()]
    expected = " ".join(sorted(str(ROOT.joinpath(file).relative_to(ROOT)) for file in files))
    assert result.stdout == f"{expected}\n" * len(libraries())


def _flags() -> set[str]:
    words = set(Path("/proc/cpuinfo").read_text().split())
    return {"avx2"} & words | ({"avx512"} if "avx512bw" in words else set())
