"""How a command ends: with a message for an error of the input, with a traceback for a fault of the program."""

from __future__ import annotations

import sys
from collections.abc import Callable

from easnn.utils.errors import EasnnError


def exit_code_of(command: Callable[[], None]) -> int:
    """Run a command and return 0, or print the one line of an error that the user can act on and return 1."""
    try:
        command()
    except EasnnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
