"""Write the page of all keys: ``easnn keys docs/keys.md``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from easnn.cli.arguments import exit_code_of, file_path


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page and return the exit code."""
    parser = argparse.ArgumentParser(
        description="Write the page that documents every key of an experiment."
    )
    parser.add_argument("file", metavar="FILE", type=file_path, help="Markdown file to write")
    options = parser.parse_args(argv)
    return exit_code_of(lambda: _write(options.file))


def _write(path: Path) -> None:
    from easnn.exp import EventExp, keys_page
    from easnn.utils.files import atomic_write

    with atomic_write(path) as file:
        file.write(keys_page(EventExp()).encode())


if __name__ == "__main__":
    sys.exit(main())
