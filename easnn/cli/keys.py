"""Write the page of all keys: ``easnn keys docs/keys.md``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from easnn.exp import EventExp, keys_page


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page and return the exit code."""
    parser = argparse.ArgumentParser(
        description="Write the page that documents every key of an experiment."
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="Markdown file to write")
    parser.parse_args(argv).file.write_text(keys_page(EventExp()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
