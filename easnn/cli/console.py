"""How a command ends: an error of the input gives a message, a fault of the program a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from easnn.utils.errors import EasnnError


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command and return 0, or print the one line of an error that the user can act on and return 1."""
    try:
        command()
    except EasnnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
