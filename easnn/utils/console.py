"""Text on consoles and in log files that cannot show every character."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

REPLACING = "easnn.replace"
"""Name of the error handler that :func:`show_everywhere` registers, for ``open(…, errors=…)``."""

PLAIN = str.maketrans(
    {
        **dict.fromkeys("–—−‑", "-"),
        **{"…": "...", "×": "x", "·": ".", "±": "+-", "→": "->", "←": "<-", "µ": "u", "μ": "u"},
        **{"≤": "<=", "≥": ">=", "≈": "~", "²": "2", "³": "3", "⁻": "-", "σ": "s", "τ": "tau"},
        **{"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"},
    }
)
"""Plain spellings of characters in the output of easnn."""


def show_everywhere() -> None:
    """Let standard output and error show any text on any console.

    Characters that the console does not have are spelled plainly (``–`` as ``-``) or replaced by
    ``?``, also parts of file names that are no text. An output that is closed takes everything.
    """
    codecs.register_error(REPLACING, _replace)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed when Python started, as after `>&-`
            nowhere = Path(os.devnull).open("w", encoding="utf-8", errors=REPLACING)  # noqa: SIM115
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):  # a test or a notebook may have put others there
            stream.reconfigure(errors=REPLACING)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return what to write instead of the characters that cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    shown = (character.translate(PLAIN) for character in characters)
    return "".join(text if text.isascii() else "?" for text in shown), error.end
