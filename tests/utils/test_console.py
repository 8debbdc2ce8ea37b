"""Consoles and files that cannot show every character."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import easnn
from easnn.utils.console import show_everywhere

PACKAGE = Path(easnn.__file__).parent
TEXT = "0.31 ± 0.02 – 3×3 kernels, Tm·Ts ≥ 4 … → 5 µs² 事件 \udcff"
"""With characters that no old console has, and a byte of a file name that is no text."""


def shown(text: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what appears on a console of this encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    show_everywhere()
    print(text, end="", flush=True)
    return stream.detach().getvalue().decode(encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "0.31 +- 0.02 - 3x3 kernels, Tm.Ts >= 4 ... -> 5 us2 ?? ?"),
        ("latin-1", "0.31 ± 0.02 - 3×3 kernels, Tm·Ts >= 4 ... -> 5 µs² ?? ?"),
        ("cp1252", "0.31 ± 0.02 – 3×3 kernels, Tm·Ts >= 4 … -> 5 µs² ?? ?"),
        ("utf-8", "0.31 ± 0.02 – 3×3 kernels, Tm·Ts ≥ 4 … → 5 µs² 事件 ?"),
    ],
)
def test_what_a_console_does_not_have_is_spelled_plainly(
    encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(TEXT, encoding, monkeypatch) == expected


def test_a_closed_output_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    show_everywhere()
    print(TEXT, flush=True)
    assert not sys.stdout.isatty()
    sys.stdout.close()


def test_an_output_of_a_notebook_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    show_everywhere()
    assert sys.stdout is stream


CONSOLES = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0"},
}


@pytest.mark.parametrize("console", CONSOLES)
def test_commands_print_on_every_console(console: str, tmp_path: Path) -> None:
    """A help page, a list of keys with ``µ`` and ``×``, and an error that names a file."""
    program = (
        "import sys\n"
        "from easnn.cli.main import main\n"
        "assert main(['train', '-n', 'e-yolox-nano', '--help-keys']) == 0\n"
        "assert main(['eval', '-c', sys.argv[1]]) == 1\n"
        "main(['demo', '--help'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, os.fsencode(tmp_path / "Aufnahmen_für_µs")],
        env={**os.environ, **CONSOLES[console]},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"usage: easnn demo" in done.stdout
    assert done.stderr.startswith(b"error: Checkpoint " + os.fsencode(tmp_path / "Aufnahmen_f"))
    assert done.stderr.count(b"\n") == 1


def test_text_files_have_a_declared_encoding() -> None:
    """Otherwise they depend on the locale of the user."""
    assert [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and opens_text(call) and not declares_encoding(call)
    ] == []


def opens_text(call: ast.Call) -> bool:
    """Whether a call reads or writes text; a file of an unknown mode counts, unless it is ours."""
    name = ast.unparse(call.func)
    if name.endswith((".read_text", ".write_text")) or name == "subprocess.run":
        return name != "subprocess.run" or any(word.arg == "text" for word in call.keywords)
    is_path = name == "open" or (name.endswith(".open") and "path" in name.lower())
    modes = [ast.unparse(argument) for argument in call.args]
    return is_path and not any("b" in mode for mode in modes if mode[0] in "'\"")


def declares_encoding(call: ast.Call) -> bool:
    named = any(word.arg == "encoding" for word in call.keywords)
    return named or ast.unparse(call).endswith((".read_text('utf-8')", ".read_text('utf-8-sig')"))
