"""Detect objects in a stream of events, as `easnn watch` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("watch"))
