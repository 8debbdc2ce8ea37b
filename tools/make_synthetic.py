"""Simulate an event dataset, as `easnn make-synthetic` does."""

import sys

from checkout import run_command

if __name__ == "__main__":
    sys.exit(run_command("make-synthetic"))
