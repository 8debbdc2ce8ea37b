"""Run the commands of easnn from a checkout, whether it is installed or not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def run_command(name: str) -> int:
    """Run ``easnn NAME`` with the arguments of this program and return the exit code.

    ``data_dir`` and the imports of experiment files are also resolved in the checkout. If easnn is
    not installed, that of the checkout is used, here and in subprocesses.

    Args:
        name: name of the command.
    """
    os.environ.setdefault("EASNN_ROOT", str(CHECKOUT))
    if not _installed():
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = f"{before}{os.pathsep}{CHECKOUT}" if before else str(CHECKOUT)
    sys.path.append(str(CHECKOUT))
    from easnn.cli.main import load_command

    return load_command(name)(None)


def _installed() -> bool:
    try:
        import easnn  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True
